//! The stores that are kept in memory, and how one comes there.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore};
use virtualize::{VirtualDataset, kerchunk};

use super::access::Permit;
use super::address::Place;
use super::store::Store;
use crate::http::App;
use crate::http::error::ApiError;
use crate::stores::blobs::{BlobError, BlobPath};

/// What is read of a document at once; a longer one goes through a file, piece by piece.
const PIECE: u64 = 8 << 20;

/// Documents that are read at the same time: reading one takes more memory than keeping it.
const LOADING: usize = 2;

/// The stores used last, as many as fit a budget and always one; each is loaded once, also when many ask at the same time.
#[derive(Debug)]
pub struct Stores {
    /// The one used last stands in front.
    slots: Mutex<VecDeque<(Place, Slot)>>,
    loading: Semaphore,
}

type Slot = Arc<OnceCell<Arc<Store>>>;

impl Default for Stores {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            loading: Semaphore::new(LOADING),
        }
    }
}

impl Stores {
    pub(super) async fn get(
        &self,
        app: &App,
        place: &Place,
        permit: &Permit,
    ) -> Result<Arc<Store>, ApiError> {
        let slot = self.slot(place);
        if let Some(store) = slot.get() {
            return Ok(Arc::clone(store));
        }
        let loaded = slot.get_or_try_init(|| async {
            let _turn = self.loading.acquire().await;
            load(app, place, permit).await.map(Arc::new)
        });
        let store = Arc::clone(loaded.await?);
        self.trim(app.config.http.stores_bytes);
        Ok(store)
    }

    fn slot(&self, place: &Place) -> Slot {
        let mut slots = self.lock();
        let found = slots
            .iter()
            .position(|(other, _)| other == place)
            .and_then(|at| slots.remove(at));
        let (place, slot) = found.unwrap_or_else(|| (place.clone(), Slot::default()));
        slots.push_front((place, Arc::clone(&slot)));
        slot
    }

    /// Lets go of those that were not used for longest, and of those that could not be loaded.
    fn trim(&self, budget: u64) {
        let mut used = 0u64;
        let mut is_first = true;
        self.lock().retain(|(_, slot)| {
            let Some(store) = slot.get() else {
                return Arc::strong_count(slot) > 1;
            };
            used = used.saturating_add(store.bytes());
            let is_first = std::mem::take(&mut is_first);
            used <= budget || is_first
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Place, Slot)>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn load(app: &App, place: &Place, permit: &Permit) -> Result<Store, ApiError> {
    let at = match (&permit.document, place) {
        (Some(at), _) => at.clone(),
        (None, Place::File { id, .. }) => reference_of(app, id).await?,
        (None, Place::Revision { .. }) => return Err(ApiError::internal("no document is named")),
    };
    let store = Store::new(dataset(app, &at).await?);
    if let Place::File { etag, .. } = place
        && !store.is_of(etag)
    {
        return Err(ApiError::gone("there is another version of this file now"));
    }
    tracing::debug!(blob.url = %at.short(), bytes = store.bytes(), "Loaded a store");
    Ok(store)
}

/// Where the reference of a file lies.
async fn reference_of(app: &App, id: &str) -> Result<BlobPath, ApiError> {
    let file = app.ledger.file_by_store_id(id).await?;
    let file = file.ok_or_else(|| ApiError::gone("there is no such file"))?;
    let reference = file.reference_path;
    let reference = reference.ok_or_else(|| ApiError::gone("this file has no reference"))?;
    Ok(app.blobs.silver(&reference))
}

async fn dataset(app: &App, at: &BlobPath) -> Result<VirtualDataset, ApiError> {
    let first = app.blobs.get_first(at, None, PIECE).await;
    let (info, first) = first.map_err(document_error)?;
    let file = match info.length > PIECE {
        true => Some(spooled(app, at, &info.etag, info.length).await?),
        false => None,
    };
    let parsed = tokio::task::spawn_blocking(move || match file {
        Some(file) => kerchunk::json::read_from(|| file.reopen()),
        None => kerchunk::json::read(&first),
    });
    parsed
        .await
        .map_err(ApiError::internal)?
        .map_err(ApiError::internal)
}

/// A long document as a temporary file.
async fn spooled(
    app: &App,
    at: &BlobPath,
    etag: &str,
    length: u64,
) -> Result<tempfile::NamedTempFile, ApiError> {
    let mut file = tempfile::NamedTempFile::new().map_err(ApiError::internal)?;
    let mut start = 0;
    while start < length {
        let piece = virtualize::ByteRange::new(start, PIECE.min(length - start));
        let parts = app.blobs.get_ranges(at, etag, &[piece]).await;
        for part in parts.map_err(document_error)? {
            file.write_all(&part).map_err(ApiError::internal)?;
        }
        start += piece.len;
    }
    Ok(file)
}

/// A document that is not there any more is not a key that the store lacks.
pub(super) fn document_error(error: BlobError) -> ApiError {
    match error {
        BlobError::NotFound(_) => ApiError::gone("the references of this store are gone"),
        error => ApiError::unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use virtualize::VirtualGroup;
    use virtualize::dataset::Format;

    use super::*;

    fn place(revision: i64) -> Place {
        Place::Revision {
            release_id: String::from("a"),
            revision,
        }
    }

    fn use_store(stores: &Stores, revision: i64, budget: u64) {
        let dataset = VirtualDataset::new(Format::Hdf5, VirtualGroup::default(), 0);
        let slot = stores.slot(&place(revision));
        if slot.get().is_none() {
            slot.set(Arc::new(Store::new(dataset))).unwrap();
        }
        stores.trim(budget);
    }

    fn kept(stores: &Stores) -> Vec<Place> {
        let slots = stores.lock();
        slots.iter().map(|(place, _)| place.clone()).collect()
    }

    #[test]
    fn the_stores_used_last_stay_within_the_budget() {
        let one = Store::new(VirtualDataset::new(
            Format::Hdf5,
            VirtualGroup::default(),
            0,
        ))
        .bytes();
        let stores = Stores::default();
        for revision in [1, 2, 3, 1, 4] {
            use_store(&stores, revision, 3 * one);
        }
        assert_eq!(kept(&stores), [place(4), place(1), place(3)]);
        use_store(&stores, 5, one - 1);
        assert_eq!(kept(&stores), [place(5)], "one always stays");
    }

    #[test]
    fn what_could_not_be_loaded_takes_no_room() {
        let stores = Stores::default();
        let being_loaded = stores.slot(&place(1));
        drop(stores.slot(&place(2)));
        use_store(&stores, 3, u64::MAX);
        assert_eq!(kept(&stores), [place(3), place(1)]);
        drop(being_loaded);
    }
}
