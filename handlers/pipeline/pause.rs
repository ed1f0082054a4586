//! Steps at which a crash test can stop the handler and kill it.

use super::Pipeline;

impl Pipeline {
    /// Waits for ever at the step that `LANDFALL_PAUSE_AT` names, after telling so by a file; else does nothing.
    pub(super) async fn step(&self, name: &str) {
        let pipeline = &self.config.pipeline;
        if pipeline.pause_at.as_deref() != Some(name) {
            return;
        }
        if let Some(file) = &pipeline.pause_file {
            tokio::fs::write(file, name).await.ok();
        }
        std::future::pending::<()>().await;
    }
}
