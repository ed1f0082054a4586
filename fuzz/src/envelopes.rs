//! What the host posts and what people submit.

use jiff::Timestamp;
use landfall::event;
use landfall::group::{self, Submission};
use landfall::stores::blobs::BlobPath;
use landfall::stores::ledger::Origin;

/// Takes the bytes for an invocation and for a submission.
pub fn run(bytes: &[u8]) {
    if let Ok(events) = event::blob_events(bytes) {
        for event in events {
            let again = BlobPath::parse(&event.path.to_string(), "elsewhere");
            assert_eq!(again.ok(), Some(event.path.clone()));
            let _ = (
                group::series_of(&event.path),
                group::is_data_file(&event.path),
            );
        }
    }
    if let Ok(message) = event::message(bytes) {
        let text = serde_json::to_string(&message).expect("a message is JSON");
        let wrapped = format!("{{\"Data\":{{\"msg\":{text}}}}}");
        assert_eq!(event::message(wrapped.as_bytes()).ok(), Some(message));
    }
    let Ok(submission) = serde_json::from_slice::<Submission>(bytes) else {
        return;
    };
    let home = BlobPath::new("local", "bronze", "series/");
    let Ok(declaration) = submission.into_declaration(Origin::Auto, &home, Timestamp::UNIX_EPOCH)
    else {
        return;
    };
    let file = BlobPath::new("local", "bronze", "series/a_2000.nc");
    let _ = group::takes(&declaration, &file);
    assert!(!declaration.dataset_id.contains('/') && !declaration.resource_id.contains('/'));
    assert!(declaration.prefix.is_address(), "{}", declaration.prefix);
}
