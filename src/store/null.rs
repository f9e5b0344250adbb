//! The engine `null`: bodies are read, summed and dropped, and nothing is sent. What everything before the network costs.
//!
//! For benchmarks: a ceiling that no server can lift. It says yes to every upload and knows of no object.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::{
    ByteSink, CompleteUpload, CreateUpload, GetObject, ListPage, ListRequest, ObjectHead, ObjectStore,
    OpenUpload, Payload, PutObject, StoreError, StoreErrorKind, StoreResult, Stored, StoredPart, UploadPart,
};

/// Names for multipart uploads, unique in this process.
static UPLOAD_IDS: AtomicU64 = AtomicU64::new(1);

/// See the module.
pub(super) struct NullStore;

fn drop_body(payload: &Payload) -> StoreResult<Stored> {
    let sums = payload.sums()?;
    Ok(Stored {
        etag: sums.md5.clone().unwrap_or_default(),
        checksum: Some(sums.checksum.clone()),
        opaque_etag: payload.md5_is_unwanted(),
    })
}

fn nothing_here(key: &str) -> StoreError {
    StoreError::new(StoreErrorKind::NoSuchKey, format!("'{key}': nothing was kept"))
}

#[async_trait]
impl ObjectStore for NullStore {
    async fn put_object(&self, request: &PutObject) -> StoreResult<Stored> {
        drop_body(&request.payload)
    }

    async fn create_multipart_upload(&self, _request: &CreateUpload) -> StoreResult<String> {
        Ok(UPLOAD_IDS.fetch_add(1, Ordering::Relaxed).to_string())
    }

    async fn upload_part(&self, request: &UploadPart) -> StoreResult<Stored> {
        drop_body(&request.payload)
    }

    async fn complete_multipart_upload(&self, request: &CompleteUpload) -> StoreResult<Stored> {
        Ok(Stored {
            etag: String::new(),
            checksum: Some(request.checksum.clone()),
            opaque_etag: true,
        })
    }

    async fn abort_multipart_upload(&self, _key: &str, _upload_id: &str) -> StoreResult<()> {
        Ok(())
    }

    async fn head_object(&self, key: &str) -> StoreResult<ObjectHead> {
        Err(nothing_here(key))
    }

    async fn get_object(&self, request: &GetObject<'_>, _sink: &mut ByteSink<'_>) -> StoreResult<ObjectHead> {
        Err(nothing_here(request.key))
    }

    async fn copy_object(&self, from: &str, _to: &str, _size_bytes: u64) -> StoreResult<()> {
        Err(nothing_here(from))
    }

    async fn list_objects(&self, _request: &ListRequest<'_>) -> StoreResult<ListPage> {
        Ok(ListPage::default())
    }

    async fn delete_object(&self, _key: &str) -> StoreResult<()> {
        Ok(())
    }

    async fn delete_objects(&self, keys: &[String]) -> StoreResult<Vec<StoreResult<()>>> {
        Ok(keys.iter().map(|_| Ok(())).collect())
    }

    async fn list_multipart_uploads(&self, _prefix: &str) -> StoreResult<Vec<OpenUpload>> {
        Ok(Vec::new())
    }

    async fn list_parts(&self, _key: &str, _upload_id: &str) -> StoreResult<Vec<StoredPart>> {
        Ok(Vec::new())
    }

    async fn head_bucket(&self) -> StoreResult<()> {
        Ok(())
    }

    async fn create_bucket(&self) -> StoreResult<()> {
        Ok(())
    }
}
