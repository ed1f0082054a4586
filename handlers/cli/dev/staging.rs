//! The function app as the host wants it, laid out from what this program was built with.

use std::path::Path;

use anyhow::Context as _;

use crate::function_app::{FUNCTIONS, HOST};

/// Writes `host.json` and the function folders below `app`.
pub(super) fn lay_out(app: &Path) -> anyhow::Result<()> {
    std::fs::write(app.join("host.json"), HOST).context("writing host.json")?;
    for (name, definition) in FUNCTIONS {
        let folder = app.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        std::fs::write(folder.join("function.json"), definition)
            .with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}
