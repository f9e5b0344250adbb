//! The tables of the index, their keys, and typed access to them inside one transaction.
//!
//! Called by: `index.rs` (opening), `view.rs` (reading) and the changes of the storage operations.
//! Must not know: HTTP, threads, or files other than by their identifiers.

use super::index::failure;
use super::ingest::StagedBody;
use super::records::{BlobReference, BucketRecord, ObjectRecord, PartRecord, UploadRecord};
use redb::{Database, Range, ReadableTable, Table, TableDefinition, WriteTransaction};
use s3s::{S3Result, s3_error};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Bound;

pub(super) const BUCKETS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("buckets");
pub(super) const OBJECTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("objects");
pub(super) const UPLOADS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("uploads");
pub(super) const PARTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("parts");
/// Bodies kept in the index, by blob identifier.
pub(super) const INLINE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("inline");
/// Body files in use, by blob identifier: what is not here may be removed at start.
pub(super) const FILES: TableDefinition<&[u8], ()> = TableDefinition::new("files");

/// Length of an upload identifier, in bytes; upload keys end with one.
pub(super) const UPLOAD_ID_LENGTH: usize = 32;

/// Keys and values of nearly all tables.
pub(super) type Bytes = &'static [u8];

/// The tables inside a write transaction.
pub(super) struct Tables<'transaction> {
    buckets: Table<'transaction, Bytes, Bytes>,
    objects: Table<'transaction, Bytes, Bytes>,
    uploads: Table<'transaction, Bytes, Bytes>,
    parts: Table<'transaction, Bytes, Bytes>,
    inline: Table<'transaction, Bytes, Bytes>,
    files: Table<'transaction, Bytes, ()>,
    garbage: Vec<String>,
    failed: Option<String>,
}

/// `bucket`, a zero byte (which no bucket name has), `key`.
pub(super) fn object_key(bucket: &str, key: &str) -> Vec<u8> {
    [bucket.as_bytes(), &[0], key.as_bytes()].concat()
}

/// `bucket`, zero, `key`, zero, upload identifier.
pub(super) fn upload_key(bucket: &str, key: &str, upload_id: &str) -> Vec<u8> {
    [
        bucket.as_bytes(),
        &[0],
        key.as_bytes(),
        &[0],
        upload_id.as_bytes(),
    ]
    .concat()
}

/// Upload identifier, part number in big-endian order.
pub(super) fn part_key(upload_id: &str, number: u32) -> Vec<u8> {
    [upload_id.as_bytes(), &number.to_be_bytes()].concat()
}

/// Splits a key of the uploads table into bucket, object key and upload identifier.
pub(super) fn split_upload_key(stored: &[u8]) -> S3Result<(String, String, String)> {
    let malformed = || failure("malformed key in table uploads");
    let text = std::str::from_utf8(stored).map_err(|_| malformed())?;
    let (bucket, rest) = text.split_once('\0').ok_or_else(malformed)?;
    let end = rest
        .len()
        .checked_sub(UPLOAD_ID_LENGTH + 1)
        .ok_or_else(malformed)?;
    let key = rest.get(..end).ok_or_else(malformed)?;
    let id = rest.get(end + 1..).ok_or_else(malformed)?;
    Ok((bucket.to_owned(), key.to_owned(), id.to_owned()))
}

/// Decodes a record.
///
/// # Errors
/// `InternalError` for bytes that are not such a record.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> S3Result<T> {
    serde_json::from_slice(bytes).map_err(failure)
}

fn encode<T: Serialize>(record: &T) -> S3Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(failure)
}

/// One record, decoded.
pub(super) fn get<T: DeserializeOwned>(
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
) -> S3Result<Option<T>> {
    table
        .get(key)
        .map_err(failure)?
        .map(|value| decode(value.value()))
        .transpose()
}

/// Creates the tables that are missing, so that every later view finds all of them.
pub(super) fn create(database: &Database) -> S3Result<()> {
    let transaction = database.begin_write().map_err(failure)?;
    drop(Tables::open(&transaction)?);
    transaction.commit().map_err(failure)
}

/// The end of the range that starts with `prefix`: the first key after all that have it.
pub(super) fn prefix_end(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

impl<'transaction> Tables<'transaction> {
    pub(super) fn open(transaction: &'transaction WriteTransaction) -> S3Result<Self> {
        Ok(Self {
            buckets: transaction.open_table(BUCKETS).map_err(failure)?,
            objects: transaction.open_table(OBJECTS).map_err(failure)?,
            uploads: transaction.open_table(UPLOADS).map_err(failure)?,
            parts: transaction.open_table(PARTS).map_err(failure)?,
            inline: transaction.open_table(INLINE).map_err(failure)?,
            files: transaction.open_table(FILES).map_err(failure)?,
            garbage: Vec::new(),
            failed: None,
        })
    }

    /// Marks the whole group as failed; nothing of it will be committed.
    pub(super) fn fail(&mut self, reason: String) {
        self.failed = Some(reason);
    }

    /// The body files to remove after the commit, or why there must be no commit.
    pub(super) fn finish(self) -> Result<Vec<String>, String> {
        self.failed.map_or(Ok(self.garbage), Err)
    }

    pub(super) fn bucket(&self, name: &str) -> S3Result<Option<BucketRecord>> {
        get(&self.buckets, name.as_bytes())
    }

    /// # Errors
    /// `NoSuchBucket` when there is none of that name.
    pub(super) fn require_bucket(&self, name: &str) -> S3Result<()> {
        self.bucket(name)?.map(|_| ()).ok_or_else(|| no_such_bucket(name))
    }

    pub(super) fn insert_bucket(&mut self, name: &str, record: &BucketRecord) -> S3Result<()> {
        self.buckets
            .insert(name.as_bytes(), encode(record)?.as_slice())
            .map_err(failure)?;
        Ok(())
    }

    pub(super) fn remove_bucket(&mut self, name: &str) -> S3Result<()> {
        self.buckets.remove(name.as_bytes()).map_err(failure)?;
        Ok(())
    }

    /// Whether the bucket has an object.
    pub(super) fn has_objects(&self, bucket: &str) -> S3Result<bool> {
        let prefix = object_key(bucket, "");
        has_any(&self.objects, &prefix)
    }

    /// The unfinished uploads of a bucket.
    pub(super) fn uploads_of(&self, bucket: &str) -> S3Result<Vec<(String, String)>> {
        let prefix = object_key(bucket, "");
        let mut found = Vec::new();
        for entry in range(&self.uploads, &prefix)? {
            let (stored, _) = entry.map_err(failure)?;
            let (_, key, id) = split_upload_key(stored.value())?;
            found.push((key, id));
        }
        Ok(found)
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> S3Result<Option<ObjectRecord>> {
        get(&self.objects, &object_key(bucket, key))
    }

    /// Inserts an object; the blobs of the object it replaces are given up.
    pub(super) fn insert_object(&mut self, bucket: &str, key: &str, record: &ObjectRecord) -> S3Result<()> {
        if let Some(replaced) = self.object(bucket, key)? {
            self.release(&replaced.blobs)?;
        }
        self.store_object(bucket, key, record)
    }

    /// Writes a record whose blobs are those of the record it replaces (a change of tags).
    pub(super) fn store_object(&mut self, bucket: &str, key: &str, record: &ObjectRecord) -> S3Result<()> {
        self.objects
            .insert(object_key(bucket, key).as_slice(), encode(record)?.as_slice())
            .map_err(failure)?;
        Ok(())
    }

    /// Removes an object and gives its blobs up; without one this does nothing.
    pub(super) fn remove_object(&mut self, bucket: &str, key: &str) -> S3Result<()> {
        if let Some(removed) = self.object(bucket, key)? {
            self.objects
                .remove(object_key(bucket, key).as_slice())
                .map_err(failure)?;
            self.release(&removed.blobs)?;
        }
        Ok(())
    }

    /// # Errors
    /// `NoSuchUpload` when it was completed, aborted or never there.
    pub(super) fn upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<UploadRecord> {
        get(&self.uploads, &upload_key(bucket, key, id))?.ok_or_else(no_such_upload)
    }

    pub(super) fn insert_upload(
        &mut self,
        bucket: &str,
        key: &str,
        id: &str,
        record: &UploadRecord,
    ) -> S3Result<()> {
        self.uploads
            .insert(upload_key(bucket, key, id).as_slice(), encode(record)?.as_slice())
            .map_err(failure)?;
        Ok(())
    }

    /// The parts of an upload in ascending order of number.
    pub(super) fn parts(&self, id: &str) -> S3Result<Vec<(u32, PartRecord)>> {
        range(&self.parts, id.as_bytes())?
            .map(|entry| decode_part(&entry.map_err(failure)?))
            .collect()
    }

    /// Inserts a part; a part of the same number is replaced and its blob given up.
    pub(super) fn insert_part(&mut self, id: &str, number: u32, record: &PartRecord) -> S3Result<()> {
        let key = part_key(id, number);
        if let Some(replaced) = get::<PartRecord>(&self.parts, &key)? {
            self.release(&[replaced.blob])?;
        }
        self.parts
            .insert(key.as_slice(), encode(record)?.as_slice())
            .map_err(failure)?;
        Ok(())
    }

    /// Removes an upload with its parts; the blobs not named in `kept` are given up.
    pub(super) fn remove_upload(
        &mut self,
        bucket: &str,
        key: &str,
        id: &str,
        kept: &[BlobReference],
    ) -> S3Result<()> {
        let kept: std::collections::HashSet<&str> = kept.iter().map(|blob| blob.id.as_str()).collect();
        for (number, part) in self.parts(id)? {
            self.parts
                .remove(part_key(id, number).as_slice())
                .map_err(failure)?;
            if !kept.contains(part.blob.id.as_str()) {
                self.release(&[part.blob])?;
            }
        }
        self.uploads
            .remove(upload_key(bucket, key, id).as_slice())
            .map_err(failure)?;
        Ok(())
    }

    /// Takes over a received body, which from now on belongs to the index.
    pub(super) fn adopt(&mut self, body: StagedBody) -> S3Result<()> {
        match body {
            StagedBody::Empty => {}
            StagedBody::Inline { id, data } => {
                self.inline
                    .insert(id.as_bytes(), data.as_ref())
                    .map_err(failure)?;
            }
            StagedBody::File { id, staged, .. } => {
                self.files.insert(id.as_bytes(), ()).map_err(failure)?;
                staged.keep();
            }
        }
        Ok(())
    }

    fn release(&mut self, blobs: &[BlobReference]) -> S3Result<()> {
        for blob in blobs {
            if blob.inline {
                self.inline.remove(blob.id.as_bytes()).map_err(failure)?;
            } else {
                self.files.remove(blob.id.as_bytes()).map_err(failure)?;
                self.garbage.push(blob.id.clone());
            }
        }
        Ok(())
    }
}

/// The error for a missing bucket.
pub(super) fn no_such_bucket(name: &str) -> s3s::S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist: {name}")
}

/// The error for a missing object.
pub(super) fn no_such_key() -> s3s::S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

/// The error for a missing upload.
pub(super) fn no_such_upload() -> s3s::S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified multipart upload does not exist. The upload ID may be \
        invalid, or the upload may have been aborted or completed."
    )
}

/// An entry of a table.
pub(super) type Entry<'entry> = (redb::AccessGuard<'entry, Bytes>, redb::AccessGuard<'entry, Bytes>);

/// Decodes an entry of the parts table.
pub(super) fn decode_part((key, value): &Entry<'_>) -> S3Result<(u32, PartRecord)> {
    let number = key
        .value()
        .last_chunk::<4>()
        .ok_or_else(|| failure("malformed key in table parts"))?;
    Ok((u32::from_be_bytes(*number), decode(value.value())?))
}

/// The entries whose key starts with `prefix`.
pub(super) fn range<'table>(
    table: &'table impl ReadableTable<Bytes, Bytes>,
    prefix: &[u8],
) -> S3Result<Range<'table, Bytes, Bytes>> {
    let end = prefix_end(prefix);
    let end = end.as_ref().map(Vec::as_slice);
    table
        .range::<&[u8]>((Bound::Included(prefix), end))
        .map_err(failure)
}

fn has_any(table: &impl ReadableTable<Bytes, Bytes>, prefix: &[u8]) -> S3Result<bool> {
    range(table, prefix)?
        .next()
        .transpose()
        .map(|entry| entry.is_some())
        .map_err(failure)
}
