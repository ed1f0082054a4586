//! The reader of reference documents: what it accepts is written, and read back as the same.

use virtualize::{VirtualDataset, kerchunk, rules};

/// Reads the bytes as a document.
pub fn run(bytes: &[u8]) {
    let dataset = match kerchunk::json::read(bytes) {
        Ok(dataset) => dataset,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let _ = rules::judge(&dataset);
    let Some(document) = written(&dataset) else {
        return;
    };
    let back = kerchunk::json::read(&document).expect("what was written is read");
    let again = written(&back).expect("what was read is written");
    assert!(document == again, "a document changes when it is read back");
}

/// A document may name more sources in its entries than it lists; that is the one thing that cannot be written.
fn written(dataset: &VirtualDataset) -> Option<Vec<u8>> {
    let mut document = Vec::new();
    kerchunk::json::write(dataset, &mut document).ok()?;
    Some(document)
}
