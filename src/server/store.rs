//! The store behind the protocol: the index and the body files of one data directory.
//!
//! Called by: `service.rs` and `handle.rs`; the operations are in `buckets.rs`, `objects.rs`,
//! `multipart.rs`, `listing.rs` and `uploads.rs`. Must not know: connections, counters, faults.

use super::blobs::BlobStore;
use super::error::ServerError;
use super::index::Index;
use super::records::ObjectRecord;
use s3s::dto::{ETag, ETagCondition};
use s3s::{S3Result, s3_error};
use std::path::Path;
use std::sync::Arc;

/// One data directory, opened.
pub(super) struct Store {
    pub(super) index: Index,
    pub(super) blobs: Arc<BlobStore>,
}

/// `If-Match` and `If-None-Match` of a write.
#[derive(Clone, Debug, Default)]
pub(super) struct WriteCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl Store {
    /// Opens or creates the data directory.
    ///
    /// # Errors
    /// [`ServerError::InUse`] when another server has it, otherwise why it cannot be used.
    pub(super) fn open(root: &Path) -> Result<Self, ServerError> {
        std::fs::create_dir_all(root).map_err(|source| ServerError::DataDirectory {
            path: root.to_owned(),
            source,
        })?;
        // The index is locked before the files are touched: `incoming/` may be another server's.
        let lock = Index::lock(root)?;
        let blobs = Arc::new(BlobStore::open(root)?);
        let index = Index::open(root, lock, &blobs)?;
        Ok(Self { index, blobs })
    }
}

impl WriteCondition {
    /// Checks the condition against the object that is there now.
    ///
    /// # Errors
    /// `PreconditionFailed`, or `NoSuchKey` for `If-Match` without an object.
    pub(super) fn check(&self, current: Option<&ObjectRecord>) -> S3Result<()> {
        let failed = || {
            s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            )
        };
        if let Some(wanted) = &self.if_match {
            let current = current.ok_or_else(super::tables::no_such_key)?;
            if !matches(wanted, current) {
                return Err(failed());
            }
        }
        match (&self.if_none_match, current) {
            (Some(unwanted), Some(current)) if matches(unwanted, current) => Err(failed()),
            _ => Ok(()),
        }
    }
}

/// Whether an entity-tag condition names this object.
pub(super) fn matches(condition: &ETagCondition, record: &ObjectRecord) -> bool {
    condition.as_etag().is_none_or(|etag| etag.value() == record.etag)
}

/// The entity tag of a record as the protocol layer wants it.
pub(super) fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

/// An S3 error whose code the protocol layer does not know.
pub(super) fn custom(code: &'static str, status: http::StatusCode, message: &'static str) -> s3s::S3Error {
    let mut error = s3s::S3Error::with_message(s3s::S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}
