//! Polls what is written as `async` code, until it ends or waits for bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::{Either, JoinAll, Ready, join_all, ready};

use crate::decode::{DecodeError, Decoded, SourceBuffer};

/// An `async` walk over a [`SourceBuffer`], polled by hand.
pub(crate) struct Walk<T> {
    task: Pin<Box<dyn Future<Output = Result<T, DecodeError>> + Send>>,
    woken: Arc<Flag>,
}

impl<T> Walk<T> {
    pub(crate) fn new(task: impl Future<Output = Result<T, DecodeError>> + Send + 'static) -> Self {
        Self {
            task: Box::pin(task),
            woken: Arc::new(Flag(AtomicBool::new(true))),
        }
    }

    /// Polls until the walk ends or nothing more can go on without new bytes.
    pub(crate) fn advance(&mut self, buffer: &SourceBuffer) -> Result<Decoded<T>, DecodeError> {
        buffer.wake_served();
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        loop {
            self.woken.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(result) = self.task.as_mut().poll(&mut context) {
                return result.map(Decoded::Done);
            }
            // A set of many futures stops after a share of them and wakes itself to go on.
            if !self.woken.0.load(Ordering::Relaxed) {
                return buffer.missing().map(Decoded::NeedsData);
            }
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A future that was polled once: its output, or what waits for bytes.
pub(crate) type Begun<F> = Either<Ready<<F as Future>::Output>, Pin<Box<F>>>;

/// Waits for all of a set of futures. Unlike `join_all` it keeps only those that wait for bytes: of many thousands most
/// end at once, and each takes kilobytes while it is there.
pub(crate) fn settle<F: Future>(futures: impl IntoIterator<Item = F>) -> JoinAll<Begun<F>> {
    // Who waits is polled again, and by then told apart.
    let mut context = Context::from_waker(Waker::noop());
    let begun = futures.into_iter().map(|future| {
        let mut future = Box::pin(future);
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => Either::Left(ready(output)),
            Poll::Pending => Either::Right(future),
        }
    });
    join_all(begun)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rstest::rstest;

    use super::*;
    use crate::decode::ByteRange;

    fn file(len: u8) -> Vec<u8> {
        (0..len).collect()
    }

    fn part(file: &[u8], range: ByteRange) -> Bytes {
        let index = |at: u64| usize::try_from(at).unwrap();
        Bytes::copy_from_slice(&file[index(range.start)..index(range.end())])
    }

    fn serve<T>(walk: &mut Walk<T>, buffer: &SourceBuffer, file: &[u8]) -> (T, usize) {
        let mut rounds = 0;
        loop {
            match walk.advance(buffer).unwrap() {
                Decoded::Done(value) => return (value, rounds),
                Decoded::NeedsData(ranges) => {
                    rounds += 1;
                    assert!(!ranges.is_empty(), "waits for nothing");
                    for range in ranges {
                        buffer.push(range.start, part(file, range));
                    }
                }
            }
        }
    }

    #[test]
    fn everything_at_one_depth_is_asked_for_at_once() {
        let file = file(250);
        let buffer = SourceBuffer::new(250, 1000);
        let inner = buffer.clone();
        let mut walk = Walk::new(async move {
            let reads = (0..100u64).map(|i| inner.read("a byte", 2 * i, 2));
            let all = join_all(reads)
                .await
                .into_iter()
                .collect::<Result<Vec<_>, _>>()?;
            Ok(all.iter().map(|b| u32::from(b[0])).sum::<u32>())
        });
        assert_eq!(
            serve(&mut walk, &buffer, &file),
            ((0..100).map(|i| 2 * i).sum(), 1)
        );
    }

    #[rstest]
    #[case::touches_the_end(228, 28, true)]
    #[case::one_past_the_end(229, 28, false)]
    #[case::length_is_garbage(100, u64::MAX, false)]
    fn a_read_stays_inside_the_file(#[case] at: u64, #[case] len: u64, #[case] fine: bool) {
        let buffer = SourceBuffer::new(256, 1000);
        let inner = buffer.clone();
        let mut walk = Walk::new(async move { inner.read("heap", at, len).await });
        assert_eq!(walk.advance(&buffer).is_ok(), fine);
    }

    #[test]
    fn more_than_the_budget_is_an_error() {
        let buffer = SourceBuffer::new(256, 100);
        let inner = buffer.clone();
        let mut walk = Walk::new(async move { inner.read("heap", 0, 101).await });
        let error = walk.advance(&buffer).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Budget {
                what: "metadata bytes",
                limit: 100
            }
        );
    }
}
