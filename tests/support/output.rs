//! What a program that runs on has printed so far.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::NamedTempFile;

/// The standard output of a program, in a file: what it printed before it answered is there once the answer is.
pub(crate) struct Output {
    file: NamedTempFile,
}

impl Output {
    /// Takes what the command will print.
    pub(crate) fn of(command: &mut Command) -> Self {
        let file = NamedTempFile::new().unwrap();
        command.stdout(Stdio::from(file.reopen().unwrap()));
        Self { file }
    }

    /// The lines so far, without one that is not ended yet.
    pub(crate) fn lines(&self) -> Vec<String> {
        let bytes = fs::read(self.file.path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let whole = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'));
        whole.map(String::from).collect()
    }
}
