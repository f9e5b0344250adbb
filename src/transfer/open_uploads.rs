//! Multipart uploads that have begun and not ended: whatever happens to workers, these can be aborted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Uploads by what is known of them.
#[derive(Debug, Default)]
pub struct OpenUploads {
    /// Keys by upload id.
    begun: Mutex<HashMap<String, String>>,
    /// Keys whose upload was asked for; a worker that is lost takes the answer with it.
    asked: Mutex<HashMap<String, Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenUploads {
    /// The server is about to be asked to begin an upload.
    pub fn asked(&self, key: &str) {
        lock(&self.asked).insert(key.to_owned(), Instant::now());
    }

    /// The question was answered, whatever the answer.
    pub fn answered(&self, key: &str) {
        lock(&self.asked).remove(key);
    }

    /// An upload has begun.
    pub fn add(&self, upload_id: &str, key: &str) {
        lock(&self.begun).insert(upload_id.to_owned(), key.to_owned());
    }

    /// An upload is complete or aborted.
    pub fn remove(&self, upload_id: &str) {
        lock(&self.begun).remove(upload_id);
    }

    /// Takes all that have begun and not ended: pairs of upload id and key.
    pub fn take(&self) -> Vec<(String, String)> {
        lock(&self.begun).drain().collect()
    }

    /// Takes the keys whose upload was asked for without an answer, and since when.
    pub fn take_unanswered(&self) -> Vec<(String, Instant)> {
        lock(&self.asked).drain().collect()
    }
}
