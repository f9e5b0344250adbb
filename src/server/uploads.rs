//! Listing unfinished multipart uploads and their parts.
//!
//! Called by: `service.rs`, `handle.rs` (open uploads). Must not know: HTTP connections.

use super::buckets::owner;
use super::checksum::set_checksum;
use super::handle::OpenUpload;
use super::index::failure;
use super::listing::{encoder, is_empty, page_limit, shown};
use super::records::{UploadRecord, timestamp};
use super::store::{Store, etag};
use super::tables::{self, object_key, prefix_end, split_upload_key};
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, Initiator, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Part, StorageClass,
};
use s3s::{S3Result, s3_error};
use std::ops::Bound;

/// What a page of uploads gives.
#[derive(Default)]
struct Page {
    uploads: Vec<(String, String, UploadRecord)>,
    prefixes: Vec<String>,
    /// Key (or common prefix) and upload identifier of the last entry, when there is more.
    next: Option<(String, String)>,
}

impl Store {
    /// The parts of an upload in ascending order.
    ///
    /// # Errors
    /// `NoSuchUpload`, or `InvalidArgument` for a bad marker or limit.
    pub(super) fn list_parts(&self, input: ListPartsInput) -> S3Result<ListPartsOutput> {
        let view = self.index.view()?;
        let upload = view.upload(&input.bucket, &input.key, &input.upload_id)?;
        let limit = page_limit(input.max_parts)?;
        let after = u32::try_from(input.part_number_marker.unwrap_or(0))
            .map_err(|_| s3_error!(InvalidArgument, "part-number-marker must not be negative"))?;
        let mut parts = view.parts_after(&input.upload_id, after, limit + 1)?;
        let truncated = parts.len() > limit && limit > 0;
        parts.truncate(limit);
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let next = parts.last().map_or(0, |(last, _)| number(*last));
        let parts = parts.into_iter().map(|(position, record)| {
            let mut part = Part {
                part_number: Some(number(position)),
                e_tag: Some(etag(&record.etag)),
                last_modified: Some(timestamp(record.modified)),
                size: i64::try_from(record.blob.length).ok(),
                ..Part::default()
            };
            if let Some((algorithm, value)) = record.checksum {
                set_checksum!(part, algorithm, value);
            }
            part
        });
        Ok(ListPartsOutput {
            parts: Some(parts.collect()),
            is_truncated: Some(truncated),
            next_part_number_marker: Some(next),
            part_number_marker: Some(input.part_number_marker.unwrap_or(0)),
            max_parts: Some(shown(limit)),
            checksum_algorithm: upload
                .checksum
                .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: upload
                .checksum
                .map(|(_, kind)| ChecksumType::from_static(kind.name())),
            storage_class: Some(storage_class(&upload)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            owner: Some(owner()),
            initiator: Some(initiator()),
            ..ListPartsOutput::default()
        })
    }

    /// The unfinished uploads of a bucket, by key, then by age.
    ///
    /// # Errors
    /// `NoSuchBucket`, or `InvalidArgument` for a bad limit or encoding.
    pub(super) fn list_uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> S3Result<ListMultipartUploadsOutput> {
        let limit = page_limit(input.max_uploads)?;
        let encode = encoder(input.encoding_type.as_ref())?;
        let page = self.read_uploads(&input, limit)?;
        let uploads = page.uploads.into_iter().map(|(key, id, record)| MultipartUpload {
            key: Some(encode(&key)),
            upload_id: Some(id),
            initiated: Some(timestamp(record.initiated)),
            storage_class: Some(storage_class(&record)),
            checksum_algorithm: record
                .checksum
                .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: record
                .checksum
                .map(|(_, kind)| ChecksumType::from_static(kind.name())),
            owner: Some(owner()),
            initiator: Some(initiator()),
        });
        let prefixes = page.prefixes.iter().map(|prefix| CommonPrefix {
            prefix: Some(encode(prefix)),
        });
        let truncated = page.next.is_some();
        let (next_key, next_id) = page.next.unzip();
        Ok(ListMultipartUploadsOutput {
            uploads: Some(uploads.collect()),
            common_prefixes: Some(prefixes.collect()),
            is_truncated: Some(truncated),
            next_key_marker: next_key.as_deref().map(encode),
            next_upload_id_marker: next_id,
            max_uploads: Some(shown(limit)),
            key_marker: Some(encode(input.key_marker.as_deref().unwrap_or_default())),
            prefix: input.prefix.as_deref().map(encode),
            delimiter: input.delimiter.as_deref().map(encode),
            upload_id_marker: input.upload_id_marker,
            encoding_type: input.encoding_type,
            bucket: Some(input.bucket),
            ..ListMultipartUploadsOutput::default()
        })
    }

    fn read_uploads(&self, input: &ListMultipartUploadsInput, limit: usize) -> S3Result<Page> {
        let view = self.index.view()?;
        view.require_bucket(&input.bucket)?;
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let marker = input.key_marker.as_deref().unwrap_or_default();
        let marker_id = input.upload_id_marker.as_deref().filter(|_| !marker.is_empty());
        let start = Bound::Included(object_key(&input.bucket, prefix.max(marker)));
        let end = prefix_end(&object_key(&input.bucket, prefix));
        let mut page = Page::default();
        if limit == 0 || is_empty(&start, &end) {
            return Ok(page);
        }
        let mut last = None;
        let bounds = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        for entry in view.uploads_between(bounds)? {
            let (stored, value) = entry.map_err(failure)?;
            let (_, key, id) = split_upload_key(stored.value())?;
            let beyond_marker = key.as_str() > marker
                || (key == marker && marker_id.is_some_and(|given| id.as_str() > given));
            let common = input
                .delimiter
                .as_deref()
                .and_then(|delimiter| common_prefix(&key, prefix, delimiter));
            let repeated = common.is_some_and(|common| {
                common <= marker || page.prefixes.last().is_some_and(|last| last == common)
            });
            if !beyond_marker && !marker.is_empty() || repeated {
                continue;
            }
            if page.uploads.len() + page.prefixes.len() == limit {
                page.next = last;
                return Ok(page);
            }
            last = Some((common.unwrap_or(&key).to_owned(), id.clone()));
            match common {
                Some(common) => page.prefixes.push(common.to_owned()),
                None => page.uploads.push((key, id, tables::decode(value.value())?)),
            }
        }
        Ok(page)
    }

    /// Every unfinished upload of every bucket.
    ///
    /// # Errors
    /// `InternalError` when the index cannot be read.
    pub(super) fn open_uploads(&self) -> S3Result<Vec<OpenUpload>> {
        let entries = self
            .index
            .view()?
            .uploads_between((Bound::Unbounded, Bound::Unbounded))?;
        entries
            .map(|entry| {
                let (stored, _) = entry.map_err(failure)?;
                let (bucket, key, upload_id) = split_upload_key(stored.value())?;
                Ok(OpenUpload {
                    bucket,
                    key,
                    upload_id,
                })
            })
            .collect()
    }
}

fn common_prefix<'key>(key: &'key str, prefix: &str, delimiter: &str) -> Option<&'key str> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = key.get(prefix.len()..)?;
    key.get(..prefix.len() + rest.find(delimiter)? + delimiter.len())
}

fn storage_class(upload: &UploadRecord) -> StorageClass {
    let class = upload.attributes.storage_class.clone();
    class.map_or_else(
        || StorageClass::from_static(StorageClass::STANDARD),
        StorageClass::from,
    )
}

fn initiator() -> Initiator {
    let owner = owner();
    Initiator {
        display_name: owner.display_name,
        id: owner.id,
    }
}
