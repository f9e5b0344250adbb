//! Multipart uploads that have begun and not ended: whatever happens to workers, these can be aborted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Upload ids with their keys.
#[derive(Debug, Default)]
pub struct OpenUploads(Mutex<HashMap<String, String>>);

impl OpenUploads {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An upload has begun.
    pub fn add(&self, upload_id: &str, key: &str) {
        self.map().insert(upload_id.to_owned(), key.to_owned());
    }

    /// An upload is complete or aborted.
    pub fn remove(&self, upload_id: &str) {
        self.map().remove(upload_id);
    }

    /// Takes all that are left: pairs of upload id and key.
    pub fn take(&self) -> Vec<(String, String)> {
        self.map().drain().collect()
    }
}
