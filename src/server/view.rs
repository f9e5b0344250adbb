//! Reading the index: typed look-ups in one consistent view.
//!
//! Called by: `index.rs` (opening) and the look-ups of the storage operations.
//! Must not know: HTTP, threads, or how changes are made.

use super::index::failure;
use super::records::{BucketRecord, ObjectRecord, PartRecord, UploadRecord};
use super::tables::{
    self, BUCKETS, Bytes, FILES, INLINE, OBJECTS, PARTS, UPLOADS, decode, decode_part, get, no_such_bucket,
    no_such_key, no_such_upload, object_key, part_key, upload_key,
};
use redb::{Range, ReadOnlyTable, ReadTransaction, TableDefinition};
use s3s::S3Result;
use std::ops::Bound;

/// The tables as of one moment, for reading; each is opened when it is asked for.
pub(super) struct View {
    transaction: ReadTransaction,
}

impl View {
    pub(super) fn of(transaction: ReadTransaction) -> Self {
        Self { transaction }
    }

    fn table(
        &self,
        definition: TableDefinition<'static, Bytes, Bytes>,
    ) -> S3Result<ReadOnlyTable<Bytes, Bytes>> {
        self.transaction.open_table(definition).map_err(failure)
    }

    /// Whether a record names this body file.
    pub(super) fn knows_file(&self, id: &str) -> S3Result<bool> {
        let files = self.transaction.open_table(FILES).map_err(failure)?;
        Ok(files.get(id.as_bytes()).map_err(failure)?.is_some())
    }

    /// All buckets in order of name.
    pub(super) fn buckets(&self) -> S3Result<Vec<(String, BucketRecord)>> {
        let mut found = Vec::new();
        let table = self.table(BUCKETS)?;
        for entry in tables::range(&table, &[])? {
            let (name, value) = entry.map_err(failure)?;
            found.push((
                String::from_utf8_lossy(name.value()).into_owned(),
                decode(value.value())?,
            ));
        }
        Ok(found)
    }

    /// # Errors
    /// `NoSuchBucket` when there is none of that name.
    pub(super) fn require_bucket(&self, name: &str) -> S3Result<BucketRecord> {
        get(&self.table(BUCKETS)?, name.as_bytes())?.ok_or_else(|| no_such_bucket(name))
    }

    /// # Errors
    /// `NoSuchBucket` or `NoSuchKey`.
    pub(super) fn require_object(&self, bucket: &str, key: &str) -> S3Result<ObjectRecord> {
        self.require_bucket(bucket)?;
        get(&self.table(OBJECTS)?, &object_key(bucket, key))?.ok_or_else(no_such_key)
    }

    /// # Errors
    /// `NoSuchBucket` or `NoSuchUpload`.
    pub(super) fn upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<UploadRecord> {
        self.require_bucket(bucket)?;
        get(&self.table(UPLOADS)?, &upload_key(bucket, key, id))?.ok_or_else(no_such_upload)
    }

    /// The bytes of a blob kept in the index.
    pub(super) fn inline(&self, id: &str) -> S3Result<Vec<u8>> {
        let table = self.table(INLINE)?;
        let found = table.get(id.as_bytes()).map_err(failure)?;
        found
            .map(|data| data.value().to_vec())
            .ok_or_else(|| failure("a body is missing from table inline"))
    }

    /// Raw object entries between two keys of the objects table.
    pub(super) fn objects_between(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> S3Result<Range<'static, Bytes, Bytes>> {
        self.table(OBJECTS)?.range::<&[u8]>(bounds).map_err(failure)
    }

    /// Raw upload entries between two keys of the uploads table.
    pub(super) fn uploads_between(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> S3Result<Range<'static, Bytes, Bytes>> {
        self.table(UPLOADS)?.range::<&[u8]>(bounds).map_err(failure)
    }

    /// Up to `limit` parts whose number is above `after`, in ascending order.
    pub(super) fn parts_after(&self, id: &str, after: u32, limit: usize) -> S3Result<Vec<(u32, PartRecord)>> {
        let (low, high) = (part_key(id, after), part_key(id, u32::MAX));
        let bounds = (Bound::Excluded(low.as_slice()), Bound::Included(high.as_slice()));
        let entries = self.table(PARTS)?.range::<&[u8]>(bounds).map_err(failure)?;
        entries
            .take(limit)
            .map(|entry| decode_part(&entry.map_err(failure)?))
            .collect()
    }
}
