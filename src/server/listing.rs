//! Listing objects: range scans over the index that jump over common prefixes.
//!
//! Called by: `service.rs`, `uploads.rs` (key encoding). Must not know: HTTP connections.
//! Memory is bounded by one page: keys under a common prefix are skipped by seeking, not read.

use super::records::{ObjectRecord, timestamp};
use super::store::{Store, etag};
use super::tables::{self, object_key, prefix_end};
use super::view::View;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass,
};
use s3s::{S3Result, s3_error};
use std::fmt::Write as _;
use std::ops::Bound;

/// Most entries of one page.
const PAGE_LIMIT: i32 = 1000;

/// What a page is asked for.
struct PageRequest<'request> {
    bucket: &'request str,
    prefix: &'request str,
    delimiter: &'request str,
    /// Only names above this one are given.
    after: &'request str,
    limit: usize,
}

/// One page.
#[derive(Default)]
struct Page {
    objects: Vec<(String, ObjectRecord)>,
    prefixes: Vec<String>,
    /// The last name given, when there is more.
    next: Option<String>,
}

impl Store {
    /// One page of a listing, version 2.
    ///
    /// # Errors
    /// `NoSuchBucket`, or `InvalidArgument` for a bad token, limit or encoding.
    pub(super) fn list_objects_v2(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        let view = self.index.view()?;
        view.require_bucket(&input.bucket)?;
        let limit = page_limit(input.max_keys)?;
        let encode = encoder(input.encoding_type.as_ref())?;
        let after = match &input.continuation_token {
            Some(token) => decode_token(token)?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let page = PageRequest {
            bucket: &input.bucket,
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref().unwrap_or_default(),
            after: &after,
            limit,
        }
        .read(&view)?;
        let count = page.objects.len() + page.prefixes.len();
        let next_continuation_token = page.next.as_deref().map(|last| URL_SAFE_NO_PAD.encode(last));
        let (contents, common_prefixes) = page.encoded(encode);
        Ok(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(encode(input.prefix.as_deref().unwrap_or_default())),
            max_keys: Some(shown(limit)),
            key_count: Some(shown(count)),
            is_truncated: Some(next_continuation_token.is_some()),
            continuation_token: input.continuation_token,
            next_continuation_token,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            delimiter: input.delimiter.as_deref().map(encode),
            encoding_type: input.encoding_type,
            start_after: input.start_after.as_deref().map(encode),
            ..ListObjectsV2Output::default()
        })
    }

    /// One page of a listing, version 1.
    ///
    /// # Errors
    /// As [`Self::list_objects_v2`].
    pub(super) fn list_objects(&self, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
        let view = self.index.view()?;
        view.require_bucket(&input.bucket)?;
        let limit = page_limit(input.max_keys)?;
        let encode = encoder(input.encoding_type.as_ref())?;
        let page = PageRequest {
            bucket: &input.bucket,
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref().unwrap_or_default(),
            after: input.marker.as_deref().unwrap_or_default(),
            limit,
        }
        .read(&view)?;
        let next_marker = page.next.as_deref().map(encode);
        let (contents, common_prefixes) = page.encoded(encode);
        Ok(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(encode(input.prefix.as_deref().unwrap_or_default())),
            marker: Some(encode(input.marker.as_deref().unwrap_or_default())),
            max_keys: Some(shown(limit)),
            is_truncated: Some(next_marker.is_some()),
            next_marker,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            delimiter: input.delimiter.as_deref().map(encode),
            encoding_type: input.encoding_type,
            ..ListObjectsOutput::default()
        })
    }
}

impl PageRequest<'_> {
    fn read(&self, view: &View) -> S3Result<Page> {
        let mut page = Page::default();
        if self.limit == 0 {
            return Ok(page);
        }
        let bucket_length = self.bucket.len() + 1;
        let everything = prefix_end(&object_key(self.bucket, self.prefix));
        let mut start = if self.after > self.prefix {
            Bound::Excluded(object_key(self.bucket, self.after))
        } else {
            Bound::Included(object_key(self.bucket, self.prefix))
        };
        let mut last = String::new();
        'seek: loop {
            if is_empty(&start, &everything) {
                return Ok(page);
            }
            let bounds = (
                start.as_ref().map(Vec::as_slice),
                everything.as_ref().map(Vec::as_slice),
            );
            for entry in view.objects_between(bounds)? {
                let (stored, value) = entry.map_err(super::index::failure)?;
                let key = stored
                    .value()
                    .get(bucket_length..)
                    .and_then(|key| std::str::from_utf8(key).ok());
                let key = key.ok_or_else(|| super::index::failure("malformed key in table objects"))?;
                let common = self.common_prefix(key);
                // A common prefix at or below the marker was given on an earlier page.
                let given_before = common.is_some_and(|common| common <= self.after);
                if !given_before {
                    if page.objects.len() + page.prefixes.len() == self.limit {
                        page.next = Some(last);
                        return Ok(page);
                    }
                    common.unwrap_or(key).clone_into(&mut last);
                }
                if let Some(common) = common {
                    if !given_before {
                        page.prefixes.push(common.to_owned());
                    }
                    start = seek_past(self.bucket, common);
                    continue 'seek;
                }
                page.objects
                    .push((key.to_owned(), tables::decode(value.value())?));
            }
            return Ok(page);
        }
    }

    fn common_prefix<'key>(&self, key: &'key str) -> Option<&'key str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = key.get(self.prefix.len()..)?;
        let end = self.prefix.len() + rest.find(self.delimiter)? + self.delimiter.len();
        key.get(..end)
    }
}

impl Page {
    fn encoded(self, encode: fn(&str) -> String) -> (Vec<Object>, Vec<CommonPrefix>) {
        let contents = self
            .objects
            .into_iter()
            .map(|(key, record)| object(encode(&key), record))
            .collect();
        let prefixes = self
            .prefixes
            .iter()
            .map(|prefix| CommonPrefix {
                prefix: Some(encode(prefix)),
            })
            .collect();
        (contents, prefixes)
    }
}

fn object(key: String, record: ObjectRecord) -> Object {
    let class = record
        .attributes
        .storage_class
        .unwrap_or_else(|| ObjectStorageClass::STANDARD.to_owned());
    let checksum = record.checksum.as_ref();
    Object {
        key: Some(key),
        e_tag: Some(etag(&record.etag)),
        size: i64::try_from(record.length).ok(),
        last_modified: Some(timestamp(record.modified)),
        storage_class: Some(ObjectStorageClass::from(class)),
        checksum_algorithm: checksum
            .map(|checksum| vec![ChecksumAlgorithm::from_static(checksum.algorithm.name())]),
        checksum_type: checksum.map(|checksum| ChecksumType::from_static(checksum.kind.name())),
        ..Object::default()
    }
}

/// Where to go on after everything that starts with a common prefix.
fn seek_past(bucket: &str, common: &str) -> Bound<Vec<u8>> {
    match prefix_end(&object_key(bucket, common)) {
        Bound::Excluded(first_after) => Bound::Included(first_after),
        other => other,
    }
}

/// Whether nothing can lie between the two bounds; redb panics on a reversed range.
pub(super) fn is_empty(start: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>) -> bool {
    match (start, end) {
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end) | Bound::Included(end)) => {
            start >= end
        }
        _ => false,
    }
}

/// The number of entries a page may have.
///
/// # Errors
/// `InvalidArgument` below 0; more than 1000 means 1000.
pub(super) fn page_limit(asked: Option<i32>) -> S3Result<usize> {
    usize::try_from(asked.unwrap_or(PAGE_LIMIT).min(PAGE_LIMIT)).map_err(|_| {
        s3_error!(
            InvalidArgument,
            "Argument max-keys must be an integer between 0 and 2147483647"
        )
    })
}

/// How names are written into the answer.
///
/// # Errors
/// `InvalidArgument` for an encoding other than `url`.
pub(super) fn encoder(encoding: Option<&EncodingType>) -> S3Result<fn(&str) -> String> {
    match encoding.map(EncodingType::as_str) {
        None | Some("") => Ok(str::to_owned),
        Some("url") => Ok(percent_encode),
        Some(_) => Err(s3_error!(
            InvalidArgument,
            "Invalid Encoding Method specified in Request"
        )),
    }
}

/// Percent-encodes everything but unreserved characters and the slash.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn decode_token(token: &str) -> S3Result<String> {
    let decoded = URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

/// A count as the protocol writes it.
pub(super) fn shown(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
