//! AWS Signature Version 4 for one region of S3, with a signing key that is derived once a day.
//!
//! Written after "Signature Calculations for the Authorization Header" (Amazon S3 API Reference). The SDK's
//! signer derives the key for every request, which costs more than all the rest of a small request together.
//! Pure but for the cached key; held to `aws-sigv4` by property tests.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::InvalidHeaderValue;
use http::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::store::push_hex;

/// The value of `x-amz-content-sha256` that leaves the body out of the signature.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What goes into a signature beside the headers.
pub(super) struct ToSign<'a> {
    pub(super) method: &'a str,
    /// Path as it is sent, percent-encoded.
    pub(super) path: &'a str,
    /// Query, encoded and in the order of its names.
    pub(super) query: &'a str,
}

/// A key that is good for one identity on one day.
struct DayKey {
    access_key: String,
    secret_key: String,
    day: Vec<u8>,
    key: Hmac<Sha256>,
}

/// See the module.
pub(super) struct Signer {
    region: String,
    cached: Mutex<Option<DayKey>>,
    /// The last second that was written down, since the Unix epoch, and how.
    clock: Mutex<(u64, HeaderValue)>,
}

impl fmt::Debug for Signer {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Signer")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Signer {
    pub(super) fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            cached: Mutex::new(None),
            clock: Mutex::new((0, stamp_value(UNIX_EPOCH))),
        }
    }

    /// The value of `Authorization` for `request` with `headers`, all of which are signed. Adds those that a signature
    /// needs and puts them in order. `payload_hash` is the SHA-256 of the body in hex; none leaves the body out.
    ///
    /// # Errors
    /// The access key or the session token cannot stand in a header.
    pub(super) fn sign(
        &self,
        request: &ToSign<'_>,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
        payload_hash: Option<String>,
        identity: &Credentials,
        now: SystemTime,
    ) -> Result<HeaderValue, InvalidHeaderValue> {
        let stamp = self.stamp(now);
        let hash = match payload_hash {
            None => HeaderValue::from_static(UNSIGNED_PAYLOAD),
            Some(hash) => HeaderValue::try_from(hash)?,
        };
        headers.push((CONTENT_SHA256, hash.clone()));
        headers.push((AMZ_DATE, stamp.clone()));
        if let Some(token) = identity.session_token() {
            headers.push((SECURITY_TOKEN, HeaderValue::from_str(token)?));
        }
        headers.sort_unstable_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        let names = names_of(headers);
        let digest = Sha256::digest(canonical_request(request, headers, &names, &hash));
        HeaderValue::try_from(self.authorization(&digest, &names, stamp.as_bytes(), identity))
    }

    /// [`stamp`] of `time`, written anew once a second.
    fn stamp(&self, time: SystemTime) -> HeaderValue {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if clock.0 != seconds {
            *clock = (seconds, stamp_value(time));
        }
        clock.1.clone()
    }

    fn authorization(&self, digest: &[u8], names: &[u8], stamp: &[u8], identity: &Credentials) -> Vec<u8> {
        let (day, region) = (&stamp[..8], self.region.as_bytes());
        let mut to_sign = Vec::with_capacity(192);
        push_all(
            &mut to_sign,
            &[
                b"AWS4-HMAC-SHA256\n",
                stamp,
                b"\n",
                day,
                b"/",
                region,
                b"/s3/aws4_request\n",
            ],
        );
        push_hex(&mut to_sign, digest);
        let mut mac = self.key_of(day, identity);
        mac.update(&to_sign);
        let mut value = Vec::with_capacity(512);
        push_all(
            &mut value,
            &[
                b"AWS4-HMAC-SHA256 Credential=",
                identity.access_key_id().as_bytes(),
                b"/",
                day,
                b"/",
                region,
                b"/s3/aws4_request, SignedHeaders=",
                names,
                b", Signature=",
            ],
        );
        push_hex(&mut value, &mac.finalize().into_bytes());
        value
    }

    fn key_of(&self, day: &[u8], identity: &Credentials) -> Hmac<Sha256> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cached.as_ref()
            && cached.day == day
            && cached.access_key == identity.access_key_id()
            && cached.secret_key == identity.secret_access_key()
        {
            return cached.key.clone();
        }
        let key = derive_key(identity.secret_access_key(), day, &self.region);
        *cached = Some(DayKey {
            access_key: identity.access_key_id().to_owned(),
            secret_key: identity.secret_access_key().to_owned(),
            day: day.to_owned(),
            key: key.clone(),
        });
        key
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn derive_key(secret_key: &str, day: &[u8], region: &str) -> Hmac<Sha256> {
    let start = keyed(format!("AWS4{secret_key}").as_bytes());
    let scope = [day, region.as_bytes(), b"s3", b"aws4_request"];
    let step = |mac: Hmac<Sha256>, text| keyed(&mac.chain_update(text).finalize().into_bytes());
    scope.into_iter().fold(start, step)
}

fn stamp_value(time: SystemTime) -> HeaderValue {
    HeaderValue::try_from(stamp(time)).expect("digits and letters")
}

fn push_all(into: &mut Vec<u8>, texts: &[&[u8]]) {
    for text in texts {
        into.extend_from_slice(text);
    }
}

/// The names of `headers`, as a signature has them.
fn names_of(headers: &[(HeaderName, HeaderValue)]) -> Vec<u8> {
    let mut names = Vec::with_capacity(256);
    for (position, (name, _)) in headers.iter().enumerate() {
        if position > 0 {
            names.push(b';');
        }
        names.extend_from_slice(name.as_str().as_bytes());
    }
    names
}

fn canonical_request(
    request: &ToSign<'_>,
    headers: &[(HeaderName, HeaderValue)],
    names: &[u8],
    payload_hash: &HeaderValue,
) -> Vec<u8> {
    let mut text = Vec::with_capacity(1_024);
    for line in [request.method, request.path, request.query] {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    for (name, value) in headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(b':');
        push_collapsed(&mut text, value.as_bytes());
        text.push(b'\n');
    }
    push_all(&mut text, &[b"\n", names, b"\n", payload_hash.as_bytes()]);
    text
}

/// Without white space at the ends, and with one space for several in a row.
fn push_collapsed(into: &mut Vec<u8>, value: &[u8]) {
    let value = value.trim_ascii();
    if !value.contains(&b' ') {
        return into.extend_from_slice(value);
    }
    let mut after_space = false;
    for byte in value {
        if *byte != b' ' || !after_space {
            into.push(*byte);
        }
        after_space = *byte == b' ';
    }
}

/// `20261121T064500Z`.
fn stamp(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Percent-encodes all bytes but RFC 3986's unreserved ones, and `/` where `keep_slash` says so: what S3's
/// signature wants of keys and query values.
pub(super) fn percent_encode(text: &str, keep_slash: bool, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                into.push(char::from(byte))
            }
            b'/' if keep_slash => into.push('/'),
            _ => {
                into.push('%');
                into.push(char::from(DIGITS[usize::from(byte >> 4)]));
                into.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests;
