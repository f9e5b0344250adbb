//! The narrow seam to S3: what s3haul asks of a bucket, in its own types.
//!
//! Everything above this module speaks [`ObjectStore`]; the SDK, HTTP and signing are known only below it.
//! [`Connector`] opens stores: it knows the server, the credentials and how many connections were made.
//! Retries happen here and nowhere else ([`Retrying`]).

mod answer;
mod attempt;
mod body;
mod capabilities;
pub(crate) mod checksum;
mod connector;
mod credentials;
mod direct;
mod error;
mod explain;
mod http;
mod listing;
mod null;
mod pace;
mod payload;
mod preflight;
mod profile;
mod proof;
mod reading;
mod resolved;
mod retry;
mod sdk;
mod signer;
mod strays;
mod target;
mod throttle;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::config::{ChecksumAlgorithm, ObjectAttributes};

pub use body::{Body, FileRange, SLICE_BYTES};
pub use capabilities::{Capabilities, KnownServer, ServerKind};
pub use connector::Connector;
pub use error::{StoreError, StoreErrorKind};
pub use explain::explain;
pub use http::ping;
pub use listing::Listing;
#[cfg(fuzzing)]
pub(crate) use listing::fuzz_listing;
pub use pace::Pace;
pub use payload::{Payload, Sums};
pub use preflight::{check_bucket, first_contact};
pub use profile::ServerProfile;
pub(crate) use proof::{hex, push_hex};
pub use reading::{Through, read_through};
pub use retry::{RetryObserver, Retrying};
pub use strays::abort_strays;
pub use throttle::{Gate, Throttle};

/// The seam's result.
pub type StoreResult<T> = Result<T, StoreError>;

/// Takes the bytes of an object piece by piece. Its error ends the reading, as [`StoreErrorKind::LocalWrite`].
pub type ByteSink<'a> = dyn for<'b> FnMut(&'b [u8]) -> io::Result<()> + Send + 'a;

/// A checksum as S3 writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// Which one.
    pub algorithm: ChecksumAlgorithm,
    /// Base64 of its big-endian bytes; with `-N` at the end when it is composite.
    pub value: String,
}

impl Checksum {
    /// `algorithm:base64`, as records have it.
    pub fn text(&self) -> String {
        [self.algorithm.name(), ":", &self.value].concat()
    }

    /// What [`Self::text`] made; none of what it did not make.
    pub fn from_text(text: &str) -> Option<Self> {
        let (name, value) = text.split_once(':')?;
        Some(Self {
            algorithm: ChecksumAlgorithm::of_name(name)?,
            value: value.to_owned(),
        })
    }
}

/// What an object carries beside its bytes.
#[derive(Clone, Debug, Default)]
pub struct ObjectProperties {
    /// What the user asked for, the same for all objects of a run.
    pub attributes: Arc<ObjectAttributes>,
    /// MIME type.
    pub content_type: Cow<'static, str>,
    /// Metadata of this object alone, such as `mtime`.
    pub metadata: Vec<(&'static str, String)>,
}

impl ObjectProperties {
    /// Metadata of the run, and then its own, which counts where both have a name.
    pub(crate) fn all_metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_run = self.attributes.metadata.iter();
        let own = self.metadata.iter();
        of_run
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(own.map(|(name, value)| (*name, value.as_str())))
    }
}

/// A whole object in one request.
#[derive(Clone, Debug)]
pub struct PutObject {
    /// Object key.
    pub key: String,
    /// Its bytes.
    pub payload: Payload,
    /// What is stored with it.
    pub properties: ObjectProperties,
    /// Fail with [`StoreErrorKind::PreconditionFailed`] when the key exists.
    pub if_none_match: bool,
}

/// The beginning of a multipart upload.
#[derive(Clone, Debug)]
pub struct CreateUpload {
    /// Object key.
    pub key: String,
    /// Checksum that all parts will carry.
    pub algorithm: ChecksumAlgorithm,
    /// What is stored with the object.
    pub properties: ObjectProperties,
}

/// One part.
#[derive(Clone, Debug)]
pub struct UploadPart {
    /// Object key.
    pub key: String,
    /// From [`ObjectStore::create_multipart_upload`].
    pub upload_id: String,
    /// From 1.
    pub number: u32,
    /// Its bytes.
    pub payload: Payload,
}

/// A part as the server confirmed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedPart {
    /// From 1.
    pub number: u32,
    /// ETag without quotes.
    pub etag: String,
    /// Checksum as sent.
    pub checksum: Checksum,
}

/// The end of a multipart upload.
#[derive(Clone, Debug)]
pub struct CompleteUpload {
    /// Object key.
    pub key: String,
    /// From [`ObjectStore::create_multipart_upload`].
    pub upload_id: String,
    /// All parts in rising order.
    pub parts: Vec<CompletedPart>,
    /// Checksum of the whole object.
    pub checksum: Checksum,
    /// Bytes of the whole object.
    pub size_bytes: u64,
    /// The ETag must be composed of the parts' ETags, as AWS and MinIO do it.
    pub strict_etag: bool,
    /// Fail with [`StoreErrorKind::PreconditionFailed`] when the key exists.
    pub if_none_match: bool,
}

/// What the server said it stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// ETag without quotes.
    pub etag: String,
    /// Checksum of the algorithm that was sent, if the server returned one.
    pub checksum: Option<Checksum>,
    /// The ETag is not the MD5 of the content, because the server encrypted with a key of its own.
    pub opaque_etag: bool,
}

/// Which bytes of an object to read.
#[derive(Clone, Copy, Debug)]
pub struct GetObject<'a> {
    /// Object key.
    pub key: &'a str,
    /// The first byte and how many; none for all of them. How many must not be 0.
    pub range: Option<(u64, u64)>,
    /// Fail with [`StoreErrorKind::PreconditionFailed`] unless the object still has this ETag.
    pub if_match: Option<&'a str>,
}

impl<'a> GetObject<'a> {
    /// All bytes of the object at `key`.
    pub fn whole(key: &'a str) -> Self {
        Self {
            key,
            range: None,
            if_match: None,
        }
    }
}

/// What HEAD or GET says about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Bytes.
    pub size_bytes: u64,
    /// ETag without quotes.
    pub etag: String,
    /// The ETag is not the MD5 of the content, because the server encrypted with a key of its own.
    pub opaque_etag: bool,
    /// Checksums that the server keeps.
    pub checksums: Vec<Checksum>,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
    /// When the server took it.
    pub last_modified: Option<SystemTime>,
}

impl ObjectHead {
    /// The checksum of `algorithm`, if the server keeps it.
    pub fn checksum(&self, algorithm: ChecksumAlgorithm) -> Option<&Checksum> {
        self.checksums
            .iter()
            .find(|checksum| checksum.algorithm == algorithm)
    }

    /// A checksum of the whole content, of whatever algorithm; none of parts whose lengths are not known.
    pub fn whole_checksum(&self) -> Option<&Checksum> {
        self.checksums
            .iter()
            .find(|checksum| !checksum.value.contains('-'))
    }
}

/// Which objects to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListRequest<'a> {
    /// Only keys that begin with this.
    pub prefix: &'a str,
    /// All keys; when false, only down to the next `/`.
    pub recursive: bool,
    /// Only keys behind this one, in the order of their bytes.
    pub start_after: Option<&'a str>,
    /// [`ListPage::continuation`] of the page before.
    pub continuation: Option<&'a str>,
    /// Most entries of this page; none means the server's 1,000.
    pub max_keys: Option<u16>,
}

/// What a listing says about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Key, decoded.
    pub key: String,
    /// Bytes.
    pub size_bytes: u64,
    /// When the server took it.
    pub last_modified: Option<SystemTime>,
    /// ETag without quotes.
    pub etag: String,
}

/// Up to 1,000 entries of a listing, in key order.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// Objects.
    pub objects: Vec<ListedObject>,
    /// Prefixes up to and including the next `/`, when the listing is not recursive.
    pub common_prefixes: Vec<String>,
    /// Pass it to get the next page; none at the end.
    pub continuation: Option<String>,
}

/// Most objects that one request can remove.
pub const MAX_DELETED: usize = 1_000;

/// A part of a multipart upload that is neither complete nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// From 1.
    pub number: u32,
    /// ETag without quotes.
    pub etag: String,
    /// Bytes.
    pub size_bytes: u64,
}

/// Largest object that one CopyObject can copy, in bytes: 5 GiB, by the limits of Amazon S3.
pub const MAX_COPIED: u64 = 5 * 1024 * 1024 * 1024;

/// A multipart upload that is neither complete nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    /// Object key.
    pub key: String,
    /// Upload id.
    pub upload_id: String,
    /// Time since it began, by the server's clock; none when the server does not say.
    pub age: Option<Duration>,
}

/// One bucket of an S3 server. Every method is one request (plus retries, where the store retries); dropping
/// the future cancels it, and the server may or may not have acted on it.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Stores a whole object.
    async fn put_object(&self, request: &PutObject) -> StoreResult<Stored>;
    /// Begins a multipart upload and returns its id.
    async fn create_multipart_upload(&self, request: &CreateUpload) -> StoreResult<String>;
    /// Stores one part; sending a number again replaces that part.
    async fn upload_part(&self, request: &UploadPart) -> StoreResult<Stored>;
    /// Makes the object of its parts, at once and whole.
    async fn complete_multipart_upload(&self, request: &CompleteUpload) -> StoreResult<Stored>;
    /// Gives up an upload and frees its parts. An upload that is gone already is not an error.
    async fn abort_multipart_upload(&self, key: &str, upload_id: &str) -> StoreResult<()>;
    /// Asks about an object.
    async fn head_object(&self, key: &str) -> StoreResult<ObjectHead>;
    /// Reads bytes of an object and hands each piece to `sink`. The size that is returned is the number of bytes that
    /// came. What fails behind the first of them is not tried again: the sink has seen some.
    async fn get_object(&self, request: &GetObject<'_>, sink: &mut ByteSink<'_>) -> StoreResult<ObjectHead>;
    /// Copies an object of `size_bytes` with what is stored beside its bytes; one beyond [`MAX_COPIED`] in parts, by more
    /// than one request.
    async fn copy_object(&self, from: &str, to: &str, size_bytes: u64) -> StoreResult<()>;
    /// One page of a listing.
    async fn list_objects(&self, request: &ListRequest<'_>) -> StoreResult<ListPage>;
    /// Removes an object. One that is gone already is not an error.
    async fn delete_object(&self, key: &str) -> StoreResult<()>;
    /// Removes up to [`MAX_DELETED`] objects by one request. One answer for each of `keys`, in their order; what is gone
    /// already is no error.
    async fn delete_objects(&self, keys: &[String]) -> StoreResult<Vec<StoreResult<()>>>;
    /// All open multipart uploads of keys that begin with `prefix`, page by page. MinIO knows a prefix only if it is empty
    /// or a whole key.
    async fn list_multipart_uploads(&self, prefix: &str) -> StoreResult<Vec<OpenUpload>>;
    /// All parts that an upload has, page by page, in rising order.
    async fn list_parts(&self, key: &str, upload_id: &str) -> StoreResult<Vec<StoredPart>>;
    /// Whether the bucket exists and these credentials see it.
    async fn head_bucket(&self) -> StoreResult<()>;
    /// Makes the bucket; one that is ours already is not an error.
    async fn create_bucket(&self) -> StoreResult<()>;
}
