//! The records kept in the index, as serialised values.
//!
//! Called by: every storage file of the server. Must not know: HTTP, redb, or where bodies lie on disk.

use super::checksum::{Algorithm, ChecksumKind};
use http::HeaderMap;
use s3s::dto::Timestamp;
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Largest total of user metadata names and values, in bytes, as S3 counts it.
const METADATA_LIMIT: usize = 2048;
/// Name prefix of user metadata headers.
const METADATA_PREFIX: &str = "x-amz-meta-";
/// Headers of a write that are given back word for word by reads.
const REPLAYED_HEADERS: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-amz-website-redirect-location",
];

/// A bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BucketRecord {
    /// Creation time in milliseconds since 1970.
    pub(super) created: u64,
}

/// Where one stretch of an object's bytes lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BlobReference {
    /// Identifier, also the file name when the bytes are in a file.
    pub(super) id: String,
    /// Length in bytes.
    pub(super) length: u64,
    /// True when the bytes are in the index itself.
    pub(super) inline: bool,
}

/// A checksum that was declared by the client and verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredChecksum {
    pub(super) algorithm: Algorithm,
    /// Base64, with a `-N` suffix when it is a composite of N parts.
    pub(super) value: String,
    pub(super) kind: ChecksumKind,
}

/// What a client says about an object besides its bytes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Attributes {
    pub(super) content_type: Option<String>,
    /// Lower-case header names with the values exactly as they came, user metadata included.
    pub(super) headers: Vec<(String, String)>,
    pub(super) storage_class: Option<String>,
    pub(super) encryption: Option<String>,
    pub(super) tags: Vec<(String, String)>,
}

/// A complete object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ObjectRecord {
    /// Length in bytes.
    pub(super) length: u64,
    /// Without quotes.
    pub(super) etag: String,
    /// Milliseconds since 1970.
    pub(super) modified: u64,
    /// In order; one per part for a multipart object, none for an empty object.
    pub(super) blobs: Vec<BlobReference>,
    pub(super) attributes: Attributes,
    pub(super) checksum: Option<StoredChecksum>,
    /// Number of parts, 0 when the object was written by one request.
    pub(super) parts: u32,
}

/// A multipart upload that is neither completed nor aborted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct UploadRecord {
    /// Milliseconds since 1970.
    pub(super) initiated: u64,
    pub(super) attributes: Attributes,
    pub(super) checksum: Option<(Algorithm, ChecksumKind)>,
}

/// One uploaded part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PartRecord {
    pub(super) blob: BlobReference,
    /// Without quotes.
    pub(super) etag: String,
    /// Milliseconds since 1970.
    pub(super) modified: u64,
    pub(super) checksum: Option<(Algorithm, String)>,
}

impl Attributes {
    /// Takes the attributes from the headers of a write.
    ///
    /// Header values are kept byte for byte, since a decoder between the client and the record
    /// would change non-ASCII metadata.
    ///
    /// # Errors
    /// `MetadataTooLarge` over 2 KiB of user metadata, `InvalidArgument` for a value that is not
    /// UTF-8 or an encryption other than AES256, `InvalidTag` for unusable tags.
    pub(super) fn from_headers(headers: &HeaderMap) -> S3Result<Self> {
        let mut attributes = Self {
            content_type: text_header(headers, "content-type")?,
            storage_class: text_header(headers, "x-amz-storage-class")?,
            encryption: text_header(headers, "x-amz-server-side-encryption")?,
            ..Self::default()
        };
        if attributes
            .encryption
            .as_deref()
            .is_some_and(|value| value != "AES256")
        {
            return Err(s3_error!(
                InvalidArgument,
                "only AES256 server-side encryption is known here"
            ));
        }
        let mut metadata_size = 0;
        for (name, value) in headers {
            let name = name.as_str();
            let metadata_name = name.strip_prefix(METADATA_PREFIX);
            if metadata_name.is_none() && !REPLAYED_HEADERS.contains(&name) {
                continue;
            }
            let text = utf8(name, value.as_bytes())?;
            metadata_size += metadata_name.map_or(0, |short| short.len() + text.len());
            let kept = if name == "content-encoding" {
                without_chunked(text)
            } else {
                text.to_owned()
            };
            if metadata_name.is_some() || !kept.is_empty() {
                attributes.headers.push((name.to_owned(), kept));
            }
        }
        if metadata_size > METADATA_LIMIT {
            return Err(s3_error!(
                MetadataTooLarge,
                "user metadata may have 2048 bytes, this has {metadata_size}"
            ));
        }
        if let Some(tagging) = text_header(headers, "x-amz-tagging")? {
            attributes.tags = super::tagging::parse_header(&tagging)?;
        }
        Ok(attributes)
    }
}

/// The current time in milliseconds since 1970.
pub(super) fn now_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A record's time as the protocol layer wants it.
pub(super) fn timestamp(milliseconds: u64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(milliseconds))
}

fn text_header(headers: &HeaderMap, name: &str) -> S3Result<Option<String>> {
    match headers.get(name) {
        None => Ok(None),
        Some(value) if value.is_empty() => Ok(None),
        Some(value) => Ok(Some(utf8(name, value.as_bytes())?.to_owned())),
    }
}

fn utf8<'value>(name: &str, value: &'value [u8]) -> S3Result<&'value str> {
    std::str::from_utf8(value).map_err(|_| s3_error!(InvalidArgument, "header {name} is not UTF-8"))
}

/// Removes the transfer marker `aws-chunked`, which says nothing about the stored bytes.
fn without_chunked(value: &str) -> String {
    let kept: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty() && !item.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    kept.join(",")
}
