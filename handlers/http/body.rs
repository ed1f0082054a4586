//! The body of a request, taken whole even where an answer does not need it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::future::poll_fn;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Bytes that are taken of a body that nobody reads.
const MOST: usize = 32 << 20;

/// How long they are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body of which the rest is taken when it is dropped.
///
/// A connection that is closed with bytes still coming is reset, and the answer may be lost with it: who asks then sees
/// no 405 or 404, only that we hung up.
#[derive(Debug)]
pub(super) struct WholeBody(Option<Incoming>);

impl WholeBody {
    pub(super) const fn of(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for WholeBody {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(rest), Ok(runtime)) = (rest, runtime) {
            runtime.spawn(tokio::time::timeout(PATIENCE, take(rest)));
        }
    }
}

async fn take(mut body: Incoming) {
    let mut taken = 0;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        taken += frame.data_ref().map_or(0, |data| data.remaining());
        if taken > MOST {
            return;
        }
    }
}
