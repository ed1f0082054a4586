//! The one signal by which everything in the host ends.

use tokio::sync::watch;

/// Tells when the host stops; a host that was dropped has stopped.
#[derive(Debug, Clone)]
pub(crate) struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// The sender of the signal, and the signal.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    pub(crate) fn is_given(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until the host stops.
    pub(crate) async fn given(&self) {
        let mut receiver = self.0.clone();
        drop(receiver.wait_for(|stop| *stop).await);
    }
}
