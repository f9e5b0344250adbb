//! A request in the making: target, headers, signature.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::endpoint::Endpoint;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use sha2::{Digest as _, Sha256};

use super::signer::{Signer, ToSign, UNSIGNED_PAYLOAD, percent_encode, stamp};
use crate::config::ChecksumAlgorithm;
use crate::store::http::{Address, RequestBody};
use crate::store::sdk::tagging;
use crate::store::{Body, Checksum, ObjectProperties, StoreError, StoreErrorKind, StoreResult, hex};

const OUR_NAME: &str = concat!("s3haul/", env!("CARGO_PKG_VERSION"), " (direct)");

/// Where the requests of one bucket go.
pub(super) struct Target {
    pub(super) address: Address,
    /// As in the `Host` header.
    host: String,
    /// Path before the key, without a `/` at its end.
    path: String,
    /// Region to sign for.
    pub(super) region: String,
}

impl Target {
    /// `None` where the endpoint wants anything but plain Signature Version 4 for S3.
    pub(super) fn of(endpoint: &Endpoint) -> Option<Self> {
        let uri: Uri = endpoint.url().parse().ok()?;
        let scheme = endpoint.auth_schemes().first()?;
        let word = |name| scheme.get(name).and_then(|value| value.as_string());
        if scheme.name() != "sigv4"
            || word("signingName") != Some("s3")
            || endpoint.headers().next().is_some()
        {
            return None;
        }
        Some(Self {
            address: Address::of(&uri)?,
            host: uri.authority()?.as_str().to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
            region: word("signingRegion")?.to_owned(),
        })
    }
}

/// See the module.
pub(super) struct Draft<'a> {
    path: String,
    query: String,
    /// All headers that are signed; their names are in lower case.
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// The header that carries a checksum of `algorithm`.
pub(super) fn checksum_header(algorithm: ChecksumAlgorithm) -> &'static str {
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
        ChecksumAlgorithm::Crc32C => "x-amz-checksum-crc32c",
        ChecksumAlgorithm::Crc32 => "x-amz-checksum-crc32",
        ChecksumAlgorithm::Sha256 => "x-amz-checksum-sha256",
    }
}

impl<'a> Draft<'a> {
    /// A PUT of `key`.
    pub(super) fn new(target: &'a Target, key: &str) -> Self {
        let mut path = String::with_capacity(target.path.len() + key.len() + 16);
        path.push_str(&target.path);
        path.push('/');
        percent_encode(key, true, &mut path);
        let mut draft = Self {
            path,
            query: String::new(),
            headers: Vec::with_capacity(12),
        };
        draft.header("host", &target.host);
        draft
    }

    /// The checksum of its body.
    pub(super) fn checksum(&mut self, checksum: &'a Checksum) {
        self.header(checksum_header(checksum.algorithm), &checksum.value);
    }

    pub(super) fn header(&mut self, name: &'static str, value: &'a str) {
        self.headers.push((name.into(), value.into()));
    }

    /// What is stored beside the bytes.
    pub(super) fn properties(&mut self, properties: &'a ObjectProperties) {
        let attributes = &properties.attributes;
        self.header("content-type", &properties.content_type);
        for (name, value) in attributes.metadata.iter().chain(&properties.metadata) {
            let name = format!("x-amz-meta-{}", name.to_ascii_lowercase());
            self.headers.push((name.into(), value.into()));
        }
        if let Some(class) = &attributes.storage_class {
            self.header("x-amz-storage-class", class);
        }
        if let Some(encryption) = &attributes.server_side_encryption {
            self.header("x-amz-server-side-encryption", encryption);
        }
        if let Some(tags) = tagging(attributes) {
            self.headers.push(("x-amz-tagging".into(), tags.into()));
        }
    }

    /// Makes it a part of an upload.
    pub(super) fn part(&mut self, number: u32, upload_id: &str) {
        let _ = write!(self.query, "partNumber={number}&uploadId=");
        percent_encode(upload_id, false, &mut self.query);
    }

    /// The whole request, signed where there is an identity. `payload_hash` is none when the body is not signed.
    pub(super) fn finish(
        mut self,
        target: &Target,
        body: RequestBody,
        payload_hash: Option<String>,
        signing: Option<(&Signer, &Credentials)>,
        now: SystemTime,
    ) -> StoreResult<Request<RequestBody>> {
        let mut map = HeaderMap::with_capacity(16);
        map.insert(USER_AGENT, HeaderValue::from_static(OUR_NAME));
        map.insert(CONTENT_LENGTH, content_length(&body).into());
        if let Some((signer, identity)) = signing {
            let stamp = stamp(now);
            let payload_hash = payload_hash.map_or(Cow::Borrowed(UNSIGNED_PAYLOAD), Cow::Owned);
            self.headers.push(("x-amz-date".into(), stamp.clone().into()));
            self.headers
                .push(("x-amz-content-sha256".into(), payload_hash.clone()));
            if let Some(token) = identity.session_token() {
                self.headers
                    .push(("x-amz-security-token".into(), token.to_owned().into()));
            }
            self.headers.sort_unstable();
            let headers: Vec<(&str, &str)> = self
                .headers
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            let to_sign = ToSign {
                method: "PUT",
                path: &self.path,
                query: &self.query,
                headers: &headers,
                payload_hash: &payload_hash,
            };
            let authorization = signer.authorization(&to_sign, &stamp, identity);
            map.insert(AUTHORIZATION, value_of(&authorization)?);
        }
        for (name, value) in &self.headers {
            let name = match name {
                Cow::Borrowed(name) => HeaderName::from_bytes(name.as_bytes()),
                Cow::Owned(name) => HeaderName::from_bytes(name.as_bytes()),
            };
            map.insert(name.map_err(|error| impossible(&error))?, value_of(value)?);
        }
        if !self.query.is_empty() {
            self.path.push('?');
            self.path.push_str(&self.query);
        }
        debug_assert!(map.contains_key("host"), "{}", target.host);
        let mut request = Request::new(body);
        *request.method_mut() = Method::PUT;
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

/// SHA-256 of the body in hex; a file range is read for it.
pub(super) fn payload_hash(body: &Body) -> StoreResult<String> {
    let range = match body {
        Body::Bytes(bytes) => return Ok(hex(&Sha256::digest(bytes))),
        Body::File(range) => range,
    };
    let (mut digest, mut slice) = (Sha256::new(), Vec::new());
    let mut position = 0;
    while position < range.length {
        range
            .read_slice(position, &mut slice)
            .map_err(|error| StoreError::new(StoreErrorKind::LocalRead, error.to_string()))?;
        digest.update(&slice);
        position += slice.len() as u64;
    }
    Ok(hex(&digest.finalize()))
}
