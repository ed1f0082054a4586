//! Steps at which a crash test can stop the handler and kill it.

use super::Pipeline;

impl Pipeline {
    /// Waits for ever at the step that `LANDFALL_PAUSE_AT` names, after telling so by a file; once, so that the
    /// handler that is started in its place goes on.
    pub(super) async fn step(&self, name: &str) {
        let pipeline = &self.config.pipeline;
        if pipeline.pause_at.as_deref() != Some(name) {
            return;
        }
        let Some(file) = pipeline.pause_file.as_ref().filter(|file| !file.exists()) else {
            return;
        };
        if tokio::fs::write(file, name).await.is_err() {
            return;
        }
        std::future::pending::<()>().await;
    }
}
