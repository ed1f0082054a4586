//! What became of a series: its error and how to go on, what was found, what was made and where it is reached.

use serde_json::{Value, json};

use super::{Changed, MOST_FILES, Story, reason};
use crate::catalog::item::zarr_url;
use crate::catalog::published::{Addresses, titiler_links};
use crate::stores::ledger::{FileState, GroupState, ProcessingStatus};

impl Story<'_> {
    pub(super) fn error(&self) -> Value {
        let Some(group) = self.group.filter(|group| group.fault.is_some()) else {
            let message = self.release.last_error.as_ref();
            return message.map_or(Value::Null, |message| {
                json!({"message": message, "code": "failed", "category": "system", "remediation": null,
                       "user_fixable": false, "files": []})
            });
        };
        let is_input = group.state == GroupState::Blocked;
        let fault = group.fault.as_ref();
        let remediation = fault.and_then(|fault| fault.remediation.as_deref());
        json!({
            "message": fault.map(|fault| &fault.message),
            "code": fault.map(|fault| &fault.code),
            "category": if is_input { "input" } else { "system" },
            "remediation": remediation.unwrap_or(how_to_go_on(is_input)),
            "user_fixable": is_input,
            "files": self.files_at_fault(),
        })
    }

    /// The members that keep the series from being combined, each with its reason.
    fn files_at_fault(&self) -> Vec<Value> {
        let at_fault = self
            .files
            .iter()
            .filter(|file| matches!(file.state, FileState::Rejected | FileState::Failed));
        let told = at_fault.take(MOST_FILES).map(|file| {
            let mut out = file.fault.as_ref().map_or_else(|| json!({}), reason);
            out["url"] = json!(file.path.short());
            out
        });
        told.collect()
    }

    pub(super) fn failed_job(&self) -> Value {
        let job = self.job.as_ref();
        json!({
            "job_id": self.release.job_id,
            "status": job.map(|job| &job.status),
            "attempt": job.map(|job| job.attempt),
            "error_details": job.and_then(|job| job.error_details.as_ref()),
            "tasks_url": format!("{}/api/dbadmin/tasks/{}", self.app.config.http.public_url, self.release.job_id),
        })
    }

    pub(super) fn warnings(&self) -> Vec<Value> {
        let of_group = self
            .group
            .map(|group| group.findings.as_slice())
            .unwrap_or_default();
        let of_files = self.files.iter().flat_map(|file| {
            file.findings
                .iter()
                .map(|finding| json!({"file": file.path.file_name(), "finding": finding}))
        });
        let of_changes = self.changed.iter().flat_map(Changed::warnings);
        let of_group = of_group
            .iter()
            .map(|finding| json!({"file": null, "finding": finding}));
        of_changes
            .chain(of_group)
            .chain(of_files)
            .take(MOST_FILES)
            .collect()
    }

    fn zarr_url(&self) -> String {
        let release = self.release;
        let public_url = &self.app.config.http.public_url;
        zarr_url(public_url, &release.release_id, release.revision)
    }

    pub(super) fn outputs(&self) -> Value {
        let release = self.release;
        let Some(blob_path) = &release.blob_path else {
            return Value::Null;
        };
        let zarr = self.zarr_url();
        json!({
            "stac_item_id": release.stac_item_id,
            "stac_collection_id": release.stac_collection_id,
            "blob_path": blob_path,
            "container": self.app.blobs.silver("").container,
            "zarr_url": zarr,
            "reference_url": format!("{zarr}/combined.json"),
            "result": release.result,
        })
    }

    /// Where an approved Release is reached.
    pub(super) fn services(&self) -> Value {
        let release = self.release;
        if release.approval_state != "approved" || release.blob_path.is_none() {
            return Value::Null;
        }
        let config = &self.app.config.http;
        let addresses = Addresses {
            public_url: &config.public_url,
            titiler_url: config.titiler_url.as_deref(),
        };
        let collection = release.stac_collection_id.as_deref();
        let item = collection.zip(release.stac_item_id.as_deref());
        let zarr = self.zarr_url();
        let mut services = json!({
            "service_url": zarr,
            "reference": format!("{zarr}/combined.json"),
            "stac_collection": collection.map(|collection| addresses.collection(collection)),
            "stac_item": item.map(|(collection, item)| addresses.item(collection, item)),
        });
        // TiTiler has no token: it shows what everybody may read.
        let shown = addresses.titiler_url.zip(release.stac_item_json.as_ref());
        if let (Some((titiler, item)), Value::Object(fields)) = (shown, &mut services)
            && release.clearance_state == "public"
        {
            fields.extend(titiler_links(item, titiler));
        }
        services
    }

    /// Where to decide about a Release that waits for it.
    pub(super) fn approval(&self) -> Value {
        let release = self.release;
        let waits = release.approval_state == "pending_review"
            && release.processing_status == ProcessingStatus::Completed;
        if !waits {
            return Value::Null;
        }
        let platform = format!("{}/api/platform", self.app.config.http.public_url);
        json!({
            "approve_url": format!("{platform}/approve"),
            "reject_url": format!("{platform}/reject"),
            "release_id": release.release_id,
            "asset_id": release.asset_id,
            "viewer_url": self.zarr_url(),
        })
    }
}

/// What to do about a fault that says nothing itself.
pub(super) const fn how_to_go_on(is_input: bool) -> &'static str {
    match is_input {
        true => {
            "upload good copies of the files; the series goes on by itself. Or submit it again with other options and overwrite"
        }
        false => {
            "it is tried again by itself; the log has the cause. Submitting it again tries it at once"
        }
    }
}
