//! The tasks of a job as rows: scan, validate, `generate_ref`, combine, `register_stac`. Pure, for every store.
//!
//! Files are read when they land, before there is a job to do it for. Their tasks follow from what is known of them:
//! written when a claim says which versions count, or when a file at fault blocks the series; shown as they stand until
//! then.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Fault, FileState, SourceFile, Task};

/// Type of a task and its stage.
pub(super) type Kind = (&'static str, i64);

pub(super) const SCAN: Kind = ("scan", 1);
pub(super) const VALIDATE: Kind = ("validate", 2);
pub(super) const GENERATE_REF: Kind = ("generate_ref", 3);
pub(super) const COMBINE: Kind = ("combine", 4);
pub(super) const REGISTER_STAC: Kind = ("register_stac", 5);

/// A task to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewTask {
    pub(super) kind: Kind,
    pub(super) index: usize,
    pub(super) status: &'static str,
    pub(super) result: Option<Value>,
    pub(super) error: Option<String>,
    pub(super) started: Option<Timestamp>,
    /// Its end where it is over.
    pub(super) updated: Timestamp,
}

impl NewTask {
    fn new(kind: Kind, index: usize, status: &'static str, at: Timestamp) -> Self {
        Self {
            kind,
            index,
            status,
            result: None,
            error: None,
            started: None,
            updated: at,
        }
    }

    /// Its id: the job's, with what it is.
    pub(super) fn id(&self, job_id: &str) -> String {
        let (name, stage) = self.kind;
        format!("{job_id}-s{stage}-{name}-{}", self.index)
    }

    fn into_task(self, job_id: &str) -> Task {
        Task {
            task_id: self.id(job_id),
            task_index: self.index.to_string(),
            task_type: self.kind.0.to_owned(),
            stage: self.kind.1,
            status: self.status.to_owned(),
            result_data: self.result,
            error_details: self.error,
            execution_started_at: self.started,
            created_at: self.started.unwrap_or(self.updated),
            updated_at: self.updated,
        }
    }
}

/// The tasks of a job that is queued.
pub(super) fn planned(now: Timestamp) -> Vec<NewTask> {
    let kinds = [SCAN, COMBINE, REGISTER_STAC];
    kinds
        .map(|kind| NewTask::new(kind, 0, "pending", now))
        .into()
}

/// The tasks of a run that begins: what was read of its members is done, the combine is under way.
pub(super) fn begun(members: &[SourceFile], now: Timestamp) -> Vec<NewTask> {
    let mut tasks = of_files(members, now);
    tasks.push(NewTask {
        started: Some(now),
        ..NewTask::new(COMBINE, 0, "processing", now)
    });
    tasks.push(NewTask::new(REGISTER_STAC, 0, "pending", now));
    tasks
}

/// The tasks of a job whose members are at fault: which they are, and that nothing came after.
pub(super) fn blocked(members: &[SourceFile], now: Timestamp) -> Vec<NewTask> {
    let mut tasks = of_files(members, now);
    tasks.extend([COMBINE, REGISTER_STAC].map(|kind| NewTask::new(kind, 0, "cancelled", now)));
    tasks
}

/// The result of a task that failed.
pub(super) fn failure(fault: &Fault) -> Value {
    json!({
        "success": false, "error_type": fault.code, "error": fault.message, "remediation": fault.remediation,
    })
}

/// The tasks of a job whose series is still being collected, or waits for a good copy of a file, as its files stand.
pub fn tasks_of_files(
    job_id: &str,
    members: &[SourceFile],
    is_blocked: bool,
    now: Timestamp,
) -> Vec<Task> {
    let tasks = match is_blocked {
        true => blocked(members, now),
        false => collected(members, now),
    };
    tasks
        .into_iter()
        .map(|task| task.into_task(job_id))
        .collect()
}

fn collected(members: &[SourceFile], now: Timestamp) -> Vec<NewTask> {
    let mut tasks = of_files(members, now);
    if let Some(scan) = tasks.first_mut() {
        scan.status = "processing";
    }
    tasks.extend([COMBINE, REGISTER_STAC].map(|kind| NewTask::new(kind, 0, "pending", now)));
    tasks
}

/// Scan, and validate and `generate_ref` of each file; files that are gone count for nothing.
fn of_files(members: &[SourceFile], now: Timestamp) -> Vec<NewTask> {
    let mut files: Vec<&SourceFile> = members
        .iter()
        .filter(|file| file.state != FileState::Gone)
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let numbered = || files.iter().enumerate();
    let mut tasks = vec![scan(&files, now)];
    tasks.extend(numbered().map(|(index, file)| validate(index, file)));
    tasks.extend(numbered().map(|(index, file)| generate_ref(index, file)));
    tasks
}

fn scan(files: &[&SourceFile], now: Timestamp) -> NewTask {
    let urls: Vec<String> = files.iter().map(|file| file.path.short()).collect();
    let sizes = files.iter().map(|file| file.size);
    let total = sizes.fold(0, u64::saturating_add);
    let started = files.iter().map(|file| file.landed_at).min();
    let ended = files.iter().map(|file| file.landed_at).max();
    NewTask {
        result: Some(
            json!({"nc_files": urls, "file_count": urls.len(), "total_size_bytes": total}),
        ),
        started: started.or(Some(now)),
        ..NewTask::new(SCAN, 0, "completed", ended.unwrap_or(now))
    }
}

/// A file is read, judged and referenced in one go: both of its tasks take from its landing to its outcome.
fn of_file(kind: Kind, index: usize, file: &SourceFile, status: &'static str) -> NewTask {
    NewTask {
        started: (status != "pending").then_some(file.landed_at),
        ..NewTask::new(kind, index, status, file.updated_at)
    }
}

fn validate(index: usize, file: &SourceFile) -> NewTask {
    let status = match file.state {
        FileState::Referenced => "completed",
        FileState::Rejected | FileState::Failed => "failed",
        FileState::Reading => "processing",
        FileState::Landed | FileState::Gone => "pending",
    };
    let mut task = of_file(VALIDATE, index, file, status);
    let mut result = json!({"nc_url": file.path.short(), "findings": file.findings});
    if status == "failed"
        && let Some(fault) = &file.fault
    {
        merge(&mut result, failure(fault));
        task.error = Some(fault.message.clone());
    }
    task.result = Some(result);
    task
}

fn generate_ref(index: usize, file: &SourceFile) -> NewTask {
    let status = match file.state {
        FileState::Referenced => "completed",
        FileState::Rejected | FileState::Failed | FileState::Gone => "cancelled",
        FileState::Reading | FileState::Landed => "pending",
    };
    NewTask {
        result: Some(json!({"nc_url": file.path.short(), "reference_path": file.reference_path})),
        ..of_file(GENERATE_REF, index, file, status)
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::blobs::BlobPath;
    use crate::stores::ledger::FileId;

    fn file(name: &str, state: FileState, size: u64) -> SourceFile {
        let fault = Fault {
            code: String::from("not_netcdf"),
            message: String::from("it is text"),
            remediation: Some(String::from("upload a NetCDF file")),
        };
        SourceFile {
            id: FileId(1),
            path: BlobPath::new("local", "bronze", format!("era5/{name}")),
            etag: String::from("e"),
            size,
            sequencer: None,
            state,
            reference_path: None,
            findings: Vec::new(),
            fault: (state == FileState::Rejected).then_some(fault),
            span: None,
            landed_at: Timestamp::constant(100, 0),
            updated_at: Timestamp::constant(107, 0),
        }
    }

    fn statuses(tasks: &[NewTask]) -> Vec<(&str, &str)> {
        tasks
            .iter()
            .map(|task| (task.kind.0, task.status))
            .collect()
    }

    #[test]
    fn a_file_at_fault_is_named_with_its_reason() {
        let members = [
            file("b.nc", FileState::Rejected, 5),
            file("a.nc", FileState::Referenced, 7),
            file("gone.nc", FileState::Gone, 9),
        ];
        let tasks = blocked(&members, Timestamp::constant(200, 0));
        let expected = [
            ("scan", "completed"),
            ("validate", "completed"),
            ("validate", "failed"),
            ("generate_ref", "completed"),
            ("generate_ref", "cancelled"),
            ("combine", "cancelled"),
            ("register_stac", "cancelled"),
        ];
        assert_eq!(statuses(&tasks), expected);
        assert_eq!(
            tasks[0].result,
            Some(json!({
                "nc_files": ["abfs://bronze/era5/a.nc", "abfs://bronze/era5/b.nc"], "file_count": 2,
                "total_size_bytes": 12,
            }))
        );
        let failed = &tasks[2];
        assert_eq!(failed.result.as_ref().unwrap()["error_type"], "not_netcdf");
        assert_eq!(failed.error.as_deref(), Some("it is text"));
        let took = failed.updated.duration_since(failed.started.unwrap());
        assert_eq!(took.as_secs(), 7);
    }

    #[test]
    fn a_series_that_is_collected_shows_what_has_come() {
        let members = [
            file("a.nc", FileState::Referenced, 1),
            file("b.nc", FileState::Landed, 1),
        ];
        let tasks = tasks_of_files("j", &members, false, Timestamp::constant(200, 0));
        let shown: Vec<_> = tasks
            .iter()
            .map(|task| (task.task_id.as_str(), task.status.as_str()))
            .collect();
        let expected = [
            ("j-s1-scan-0", "processing"),
            ("j-s2-validate-0", "completed"),
            ("j-s2-validate-1", "pending"),
            ("j-s3-generate_ref-0", "completed"),
            ("j-s3-generate_ref-1", "pending"),
            ("j-s4-combine-0", "pending"),
            ("j-s5-register_stac-0", "pending"),
        ];
        assert_eq!(shown, expected);
    }
}
