//! Where the objects of an examination lie, what it may have made there, and the removal of all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Left;
use crate::store::{ListRequest, ObjectStore, StoreError, StoreErrorKind, StoreResult};

/// A request that was dropped may have its effect a moment later.
const SECOND_LOOK: Duration = Duration::from_millis(500);
/// Times that what is listed is removed.
const ROUNDS: usize = 3;

/// A prefix that nobody else has, and what was begun below it.
#[derive(Debug)]
pub(super) struct Place {
    prefix: String,
    /// Keys under which something may be stored, also if the answer never came.
    keys: BTreeSet<String>,
    /// Keys of which a multipart upload may be open, with the ids that are known.
    uploads: BTreeMap<String, Vec<String>>,
}

impl Place {
    /// One below `directory`.
    pub(super) fn below(directory: &str) -> Self {
        Self {
            prefix: format!("{directory}.s3haul-doctor-{:016x}/", fastrand::u64(..)),
            keys: BTreeSet::new(),
            uploads: BTreeMap::new(),
        }
    }

    /// What all keys begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A key, under which something is going to be stored.
    pub(super) fn key(&mut self, name: &str) -> String {
        let key = format!("{}{name}", self.prefix);
        self.keys.insert(key.clone());
        key
    }

    /// A multipart upload of `key` is going to begin.
    pub(super) fn begins(&mut self, key: &str) {
        self.uploads.entry(key.to_owned()).or_default();
    }

    /// It has begun under this id.
    pub(super) fn began(&mut self, key: &str, upload_id: &str) {
        self.uploads
            .entry(key.to_owned())
            .or_default()
            .push(upload_id.to_owned());
    }

    /// No upload of `key` is open any more.
    pub(super) fn ended(&mut self, key: &str) {
        self.uploads.remove(key);
    }
}

/// Removes everything at `place`, and says what is there still.
pub(super) async fn clean_up(store: &dyn ObjectStore, place: &Place) -> Vec<Left> {
    let mut left = abort_all(store, place).await;
    left.extend(delete_all(store, place).await);
    left
}

async fn abort_all(store: &dyn ObjectStore, place: &Place) -> Vec<Left> {
    let mut left = Vec::new();
    for (key, known) in &place.uploads {
        let mut ids: BTreeSet<String> = known.iter().cloned().collect();
        if let Ok(open) = store.list_multipart_uploads(key).await {
            // The key is nobody else's.
            let ours = open.into_iter().filter(|upload| upload.key == *key);
            ids.extend(ours.map(|upload| upload.upload_id));
        }
        for upload_id in ids {
            if let Err(error) = store.abort_multipart_upload(key, &upload_id).await {
                left.push(Left {
                    key: key.clone(),
                    upload_id: Some(upload_id),
                    why: error.to_string(),
                });
            }
        }
    }
    left
}

async fn delete_all(store: &dyn ObjectStore, place: &Place) -> Vec<Left> {
    let mut wanted = place.keys.clone();
    let mut left: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..ROUNDS {
        let listed = keys_below(store, place.prefix()).await;
        let is_known = listed.is_ok();
        let listed = listed.unwrap_or_default();
        if round > 0 && listed.iter().all(|key| left.contains_key(key)) {
            // What is not listed is not there, if the listing is good for anything.
            left.retain(|key, _| !is_known || listed.contains(key));
            break;
        }
        wanted.extend(listed.iter().cloned());
        for key in std::mem::take(&mut wanted) {
            match store.delete_object(&key).await {
                Ok(()) => _ = left.remove(&key),
                Err(error) if is_away(&error) => {
                    left.insert(key, error.to_string());
                    // The others would have to wait as long, and for nothing.
                    left.extend(place.keys.iter().map(|key| (key.clone(), error.to_string())));
                    return told(left);
                }
                Err(error) => _ = left.insert(key, error.to_string()),
            }
        }
        tokio::time::sleep(SECOND_LOOK).await;
    }
    told(left)
}

fn told(left: BTreeMap<String, String>) -> Vec<Left> {
    let left = left.into_iter().map(|(key, why)| Left {
        key,
        upload_id: None,
        why,
    });
    left.collect()
}

fn is_away(error: &StoreError) -> bool {
    matches!(
        error.kind,
        StoreErrorKind::Unreachable | StoreErrorKind::Connection | StoreErrorKind::Stalled
    )
}

/// Every key below `prefix`.
pub(super) async fn keys_below(store: &dyn ObjectStore, prefix: &str) -> StoreResult<BTreeSet<String>> {
    let (mut keys, mut continuation) = (BTreeSet::new(), None::<String>);
    loop {
        let request = ListRequest {
            prefix,
            recursive: true,
            continuation: continuation.as_deref(),
            ..ListRequest::default()
        };
        let page = store.list_objects(&request).await?;
        // What a server lists beside that is not ours to remove.
        let ours = page
            .objects
            .into_iter()
            .filter(|object| object.key.starts_with(prefix));
        keys.extend(ours.map(|object| object.key));
        match page.continuation {
            Some(next) if continuation.as_ref() != Some(&next) => continuation = Some(next),
            _ => return Ok(keys),
        }
    }
}
