//! Operations on buckets.
//!
//! Called by: `service.rs`. Must not know: how objects are stored.

use super::records::{BucketRecord, now_milliseconds, timestamp};
use super::store::Store;
use s3s::dto::{Bucket, ListBucketsOutput, Owner};
use s3s::{S3Result, s3_error};

impl Store {
    /// Creates a bucket.
    ///
    /// # Errors
    /// `BucketAlreadyOwnedByYou` when it is there.
    pub(super) async fn create_bucket(&self, name: String) -> S3Result<()> {
        self.index
            .write(move |tables| {
                if tables.bucket(&name)?.is_some() {
                    return Err(s3_error!(
                        BucketAlreadyOwnedByYou,
                        "the bucket is there already and you own it"
                    ));
                }
                tables.insert_bucket(
                    &name,
                    &BucketRecord {
                        created: now_milliseconds(),
                    },
                )
            })
            .await
    }

    /// Deletes a bucket; its unfinished uploads go with it.
    ///
    /// # Errors
    /// `NoSuchBucket`, or `BucketNotEmpty` while it has an object.
    pub(super) async fn delete_bucket(&self, name: String) -> S3Result<()> {
        self.index
            .write(move |tables| {
                tables.require_bucket(&name)?;
                if tables.has_objects(&name)? {
                    return Err(s3_error!(
                        BucketNotEmpty,
                        "The bucket you tried to delete is not empty"
                    ));
                }
                for (key, upload_id) in tables.uploads_of(&name)? {
                    tables.remove_upload(&name, &key, &upload_id, &[])?;
                }
                tables.remove_bucket(&name)
            })
            .await
    }

    /// All buckets in order of name.
    ///
    /// # Errors
    /// `InternalError` when the index cannot be read.
    pub(super) fn list_buckets(&self, prefix: Option<&str>) -> S3Result<ListBucketsOutput> {
        let buckets = self
            .index
            .view()?
            .buckets()?
            .into_iter()
            .filter(|(name, _)| prefix.is_none_or(|prefix| name.starts_with(prefix)))
            .map(|(name, record)| Bucket {
                name: Some(name),
                creation_date: Some(timestamp(record.created)),
                ..Bucket::default()
            })
            .collect();
        Ok(ListBucketsOutput {
            buckets: Some(buckets),
            owner: Some(owner()),
            ..ListBucketsOutput::default()
        })
    }
}

/// The one owner of everything here.
pub(super) fn owner() -> Owner {
    Owner {
        display_name: Some("s3haul".to_owned()),
        id: Some("s3haul".to_owned()),
    }
}
