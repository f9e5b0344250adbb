//! A request in the making: headers, signature.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::config::ChecksumAlgorithm;
use crate::store::http::RequestBody;
use crate::store::sdk::tagging;
use crate::store::signer::{Signer, ToSign, percent_encode};
use crate::store::target::Target;
use crate::store::{Checksum, ListRequest, ObjectProperties, StoreError, StoreErrorKind, StoreResult};

const OUR_NAME: &str = concat!("s3haul/", env!("CARGO_PKG_VERSION"), " (direct)");

/// See the module.
#[derive(Clone)]
pub(super) struct Draft {
    method: Method,
    path: String,
    query: String,
    /// All headers that are signed.
    headers: Vec<(HeaderName, HeaderValue)>,
}

const STORAGE_CLASS: HeaderName = HeaderName::from_static("x-amz-storage-class");
pub(super) const ENCRYPTION: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");
const TAGGING: HeaderName = HeaderName::from_static("x-amz-tagging");
const OWN_METADATA: HeaderName = HeaderName::from_static("x-amz-meta-mtime");

/// The header that carries a checksum of `algorithm`.
pub(super) fn checksum_header(algorithm: ChecksumAlgorithm) -> HeaderName {
    const CRC64_NVME: HeaderName = HeaderName::from_static("x-amz-checksum-crc64nvme");
    const CRC32_C: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");
    const CRC32: HeaderName = HeaderName::from_static("x-amz-checksum-crc32");
    const SHA256: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme => CRC64_NVME,
        ChecksumAlgorithm::Crc32C => CRC32_C,
        ChecksumAlgorithm::Crc32 => CRC32,
        ChecksumAlgorithm::Sha256 => SHA256,
    }
}

/// The header of one piece of user metadata.
fn metadata_header(name: &str) -> StoreResult<HeaderName> {
    if name == "mtime" {
        return Ok(OWN_METADATA);
    }
    HeaderName::try_from(format!("x-amz-meta-{name}")).map_err(|error| impossible(&error))
}

impl Draft {
    /// A PUT of `key`.
    pub(super) fn new(target: &Target, key: &str) -> Self {
        let mut path = String::with_capacity(target.path.len() + key.len() + 16);
        path.push_str(&target.path);
        path.push('/');
        percent_encode(key, true, &mut path);
        let mut headers = Vec::with_capacity(12);
        headers.push((HOST, target.host.clone()));
        Self {
            method: Method::PUT,
            path,
            query: String::new(),
            headers,
        }
    }

    /// A question for a page of a listing. Parameters stand in the order of their names, as the signature wants them.
    pub(super) fn listing(target: &Target, request: &ListRequest<'_>) -> Self {
        let most = request.max_keys.map(|most| most.to_string());
        let mut query = String::new();
        for (name, value) in [
            ("continuation-token", request.continuation),
            ("delimiter", (!request.recursive).then_some("/")),
            ("encoding-type", Some("url")),
            ("list-type", Some("2")),
            ("max-keys", most.as_deref()),
            ("prefix", Some(request.prefix)),
            ("start-after", request.start_after),
        ] {
            if let Some(value) = value {
                let sign = if query.is_empty() { "" } else { "&" };
                let _ = write!(query, "{sign}{name}=");
                percent_encode(value, false, &mut query);
            }
        }
        Self {
            method: Method::GET,
            path: format!("{}/", target.path),
            query,
            headers: vec![(HOST, target.host.clone())],
        }
    }

    /// The checksum of its body.
    pub(super) fn checksum(&mut self, checksum: &Checksum) -> StoreResult<()> {
        self.header(checksum_header(checksum.algorithm), &checksum.value)
    }

    pub(super) fn header(&mut self, name: HeaderName, value: &str) -> StoreResult<()> {
        self.headers.push((name, value_of(value)?));
        Ok(())
    }

    /// What is stored beside the bytes.
    pub(super) fn properties(&mut self, properties: &ObjectProperties) -> StoreResult<()> {
        let attributes = &properties.attributes;
        let content_type = match &properties.content_type {
            Cow::Borrowed(known) => HeaderValue::from_static(known),
            Cow::Owned(asked_for) => value_of(asked_for)?,
        };
        self.headers.push((CONTENT_TYPE, content_type));
        for (name, value) in properties.all_metadata() {
            self.header(metadata_header(name)?, value)?;
        }
        if let Some(class) = &attributes.storage_class {
            self.header(STORAGE_CLASS, class)?;
        }
        if let Some(encryption) = &attributes.server_side_encryption {
            self.header(ENCRYPTION, encryption)?;
        }
        if let Some(tags) = tagging(attributes) {
            self.header(TAGGING, &tags)?;
        }
        Ok(())
    }

    /// Makes it a part of an upload.
    pub(super) fn part(&mut self, number: u32, upload_id: &str) {
        let _ = write!(self.query, "partNumber={number}&uploadId=");
        percent_encode(upload_id, false, &mut self.query);
    }

    /// The whole request, signed where there is an identity. `payload_hash` is none when the body is not signed.
    pub(super) fn finish(
        mut self,
        body: RequestBody,
        payload_hash: Option<String>,
        signing: Option<(&Signer, &Credentials)>,
        now: SystemTime,
    ) -> StoreResult<Request<RequestBody>> {
        let mut map = HeaderMap::with_capacity(12);
        map.insert(USER_AGENT, HeaderValue::from_static(OUR_NAME));
        if self.method == Method::PUT && content_length(&body) == 0 {
            // hyper says how long a body is, but nothing of one that is empty.
            map.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if let Some((signer, identity)) = signing {
            let to_sign = ToSign {
                method: self.method.as_str(),
                path: &self.path,
                query: &self.query,
            };
            let authorization = signer.sign(&to_sign, &mut self.headers, payload_hash, identity, now);
            map.insert(AUTHORIZATION, authorization.map_err(|error| impossible(&error))?);
        }
        for (name, value) in self.headers {
            map.insert(name, value);
        }
        if !self.query.is_empty() {
            self.path.push('?');
            self.path.push_str(&self.query);
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::try_from(self.path).map_err(|error| impossible(&error))?;
        *request.headers_mut() = map;
        Ok(request)
    }
}

fn content_length(body: &RequestBody) -> u64 {
    http_body::Body::size_hint(body).exact().unwrap_or(0)
}

fn value_of(text: &str) -> StoreResult<HeaderValue> {
    HeaderValue::from_str(text).map_err(|error| impossible(&error))
}

fn impossible(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::new(
        StoreErrorKind::Refused,
        format!("the request could not be made: {error}"),
    )
}
