//! The mismatch matrix: series whose files differ in one way each are joined with the values that the files have, or
//! refused by code, file and variable. `tests/fixtures/make_mismatch.py` writes them and says what must come of each.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{fixture, landfall, python, repository};

/// One row of the matrix.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    files: Vec<String>,
    pub(crate) options: Vec<String>,
    /// Code, file and variable of the disagreement that must be listed.
    refused: Option<Value>,
    /// What its cure must name.
    cure: Option<String>,
    /// The error where there is no disagreement to list.
    unknown: Option<Value>,
    /// Code of a finding that must be there, and of one that must not.
    finding: Option<String>,
    silent: Option<String>,
    #[serde(default)]
    without: Vec<String>,
}

/// What the program said to a case.
struct Answer {
    exit: Option<i32>,
    line: Value,
    output: PathBuf,
}

impl Case {
    pub(crate) fn files(&self, root: &Path) -> Vec<PathBuf> {
        let folder = root.join(&self.name);
        self.files.iter().map(|file| folder.join(file)).collect()
    }

    fn combine(&self, root: &Path) -> Answer {
        let output = root.join(format!("{}.json", self.name));
        let done = landfall()
            .arg("combine")
            .args(self.files(root))
            .arg("-o")
            .arg(&output)
            .arg("--json")
            .args(&self.options)
            .output()
            .unwrap();
        let line = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
        Answer {
            exit: done.status.code(),
            line,
            output,
        }
    }

    pub(crate) fn must_join(&self) -> bool {
        self.refused.is_none() && self.unknown.is_none()
    }

    /// Whether the refusal names what differs, and nothing was written.
    fn is_refused(&self, answer: &Answer) -> bool {
        let error = &answer.line["error"];
        let listed = match (&self.refused, &self.unknown) {
            (Some(expected), _) => {
                let all = error["disagreements"].as_array();
                all.into_iter()
                    .flatten()
                    .any(|one| self.is_named(one, expected))
            }
            (None, Some(expected)) => {
                let message = error["message"].as_str().unwrap_or_default();
                error["code"] == expected["code"]
                    && message.starts_with(expected["message"].as_str().unwrap())
            }
            (None, None) => false,
        };
        answer.exit == Some(3) && listed && !answer.output.exists()
    }

    fn is_named(&self, one: &Value, expected: &Value) -> bool {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        let cured = self
            .cure
            .as_ref()
            .is_none_or(|cure| text("cure").contains(cure));
        let told = text("message").contains(text("file")) && !text("cure").is_empty();
        cured
            && told
            && ["code", "file", "variable"]
                .iter()
                .all(|key| one[*key] == expected[*key])
    }

    /// Whether it was joined and proven, with the findings that it must have.
    fn is_joined(&self, answer: &Answer) -> bool {
        let findings = answer.line["findings"].as_array();
        let has = |code: &String| {
            let mut all = findings.into_iter().flatten();
            all.any(|finding| finding["code"] == *code)
        };
        let verified = answer.line["verified"]["files"] == self.files.len();
        let told = self.finding.as_ref().is_none_or(has);
        answer.exit == Some(0) && verified && told && !self.silent.as_ref().is_some_and(has)
    }
}

/// The rows, written into a folder.
pub(crate) fn matrix() -> (tempfile::TempDir, Vec<Case>) {
    let root = tempfile::tempdir().unwrap();
    let made = Command::new(python())
        .arg(fixture("make_mismatch.py"))
        .arg(root.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{errors}");
    let text = std::fs::read(root.path().join("cases.json")).unwrap();
    (root, serde_json::from_slice(&text).unwrap())
}

#[test]
fn what_cannot_be_joined_is_refused_by_name() {
    let (root, cases) = matrix();
    let mut wrong = Vec::new();
    let refused: Vec<&Case> = cases.iter().filter(|case| !case.must_join()).collect();
    assert!(refused.len() > 35, "{} cases", refused.len());
    for case in refused {
        let answer = case.combine(root.path());
        if !case.is_refused(&answer) {
            wrong.push(format!("{}: {}", case.name, answer.line));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_joined_has_the_values_of_the_files() {
    let (root, cases) = matrix();
    let (mut wrong, mut joined) = (Vec::new(), Vec::new());
    for case in cases.iter().filter(|case| case.must_join()) {
        let answer = case.combine(root.path());
        if !case.is_joined(&answer) {
            wrong.push(format!("{}: {}", case.name, answer.line));
        }
        joined.push(json!({
            "reference": answer.output, "files": case.files(root.path()), "without": case.without,
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(joined.len() > 110, "{} cases", joined.len());
    std::fs::write(
        root.path().join("joined.json"),
        Value::from(joined).to_string(),
    )
    .unwrap();
    let checked = Command::new(python())
        .arg(repository().join("tests/support/check_joined.py"))
        .arg(root.path())
        .output()
        .unwrap();
    let differences = String::from_utf8_lossy(&checked.stdout);
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{differences}\n{errors}");
}
