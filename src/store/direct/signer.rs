//! AWS Signature Version 4 for one region of S3, with a signing key that is derived once a day.
//!
//! Written after "Signature Calculations for the Authorization Header" (Amazon S3 API Reference). The SDK's
//! signer derives the key for every request, which costs more than all the rest of a small request together.
//! Pure but for the cached key; held to `aws-sigv4` by property tests.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::store::push_hex;

/// The value of `x-amz-content-sha256` that leaves the body out of the signature.
pub(super) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
const SERVICE: &str = "s3";

/// What goes into a signature.
pub(super) struct ToSign<'a> {
    pub(super) method: &'a str,
    /// Path as it is sent, percent-encoded.
    pub(super) path: &'a str,
    /// Query as it is sent: encoded, in the order of its names.
    pub(super) query: &'a str,
    /// Every header that is to be signed, in the order of their names.
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    /// SHA-256 of the body in hex, or [`UNSIGNED_PAYLOAD`].
    pub(super) payload_hash: &'a str,
}

/// A key that is good for one identity on one day.
struct DayKey {
    access_key: String,
    secret_key: String,
    day: String,
    key: Hmac<Sha256>,
}

/// See the module.
pub(super) struct Signer {
    region: String,
    cached: Mutex<Option<DayKey>>,
    /// The last second that was written down, since the Unix epoch, and how.
    clock: Mutex<(u64, String)>,
}

impl Signer {
    pub(super) fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            cached: Mutex::new(None),
            clock: Mutex::new((0, stamp(UNIX_EPOCH))),
        }
    }

    /// [`stamp`] of `time`, written anew once a second.
    pub(super) fn stamp(&self, time: SystemTime) -> String {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if clock.0 != seconds {
            *clock = (seconds, stamp(time));
        }
        clock.1.clone()
    }

    /// The value of `Authorization`. `stamp` is the moment as [`stamp`] writes it.
    pub(super) fn authorization(&self, request: &ToSign<'_>, stamp: &str, identity: &Credentials) -> Vec<u8> {
        let day = &stamp[..8];
        let digest = Sha256::digest(canonical_request(request));
        let mut to_sign = Vec::with_capacity(160);
        for text in [
            "AWS4-HMAC-SHA256\n",
            stamp,
            "\n",
            day,
            "/",
            &self.region,
            "/s3/aws4_request\n",
        ] {
            to_sign.extend_from_slice(text.as_bytes());
        }
        push_hex(&mut to_sign, &digest);
        let mut mac = self.key_of(day, identity);
        mac.update(&to_sign);
        let mut value = Vec::with_capacity(512);
        for text in [
            "AWS4-HMAC-SHA256 Credential=",
            identity.access_key_id(),
            "/",
            day,
            "/",
            &self.region,
            "/s3/aws4_request, SignedHeaders=",
        ] {
            value.extend_from_slice(text.as_bytes());
        }
        push_names(&mut value, request.headers);
        value.extend_from_slice(b", Signature=");
        push_hex(&mut value, &mac.finalize().into_bytes());
        value
    }

    fn key_of(&self, day: &str, identity: &Credentials) -> Hmac<Sha256> {
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

fn derive_key(secret_key: &str, day: &str, region: &str) -> Hmac<Sha256> {
    let step = |mac: Hmac<Sha256>, text: &str| keyed(&mac.chain_update(text).finalize().into_bytes());
    let start = keyed(format!("AWS4{secret_key}").as_bytes());
    let of_service = step(step(step(start, day), region), SERVICE);
    step(of_service, "aws4_request")
}

fn push_names(into: &mut Vec<u8>, headers: &[(HeaderName, HeaderValue)]) {
    for (position, (name, _)) in headers.iter().enumerate() {
        if position > 0 {
            into.push(b';');
        }
        into.extend_from_slice(name.as_str().as_bytes());
    }
}

fn canonical_request(request: &ToSign<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(1_024);
    for line in [request.method, request.path, request.query] {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    for (name, value) in request.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(b':');
        push_collapsed(&mut text, value.as_bytes());
        text.push(b'\n');
    }
    text.push(b'\n');
    push_names(&mut text, request.headers);
    text.push(b'\n');
    text.extend_from_slice(request.payload_hash.as_bytes());
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
pub(super) fn stamp(time: SystemTime) -> String {
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
mod tests {
    use std::time::Duration;

    use aws_sigv4::http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    };
    use aws_sigv4::sign::v4;
    use proptest::prelude::*;

    use super::*;
    use crate::store::hex;

    fn field(name: &str, value: &str) -> (HeaderName, HeaderValue) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    }

    /// The official signer's word for the same request.
    fn official(request: &ToSign<'_>, time: SystemTime, identity: &Credentials, region: &str) -> String {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = identity.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(SERVICE)
            .time(time)
            .settings(settings)
            .build()
            .expect("all set")
            .into();
        let query = if request.query.is_empty() {
            String::new()
        } else {
            format!("?{}", request.query)
        };
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
        let host = headers
            .clone()
            .find(|(name, _)| *name == "host")
            .expect("a host")
            .1;
        let uri = format!("http://{host}{}{query}", request.path);
        let own = [
            "host",
            "x-amz-date",
            "x-amz-content-sha256",
            "x-amz-security-token",
        ];
        let headers = headers.filter(|(name, _)| !own.contains(name));
        let body = if request.payload_hash == UNSIGNED_PAYLOAD {
            SignableBody::UnsignedPayload
        } else {
            SignableBody::Precomputed(request.payload_hash.to_owned())
        };
        let signable = SignableRequest::new(request.method, uri, headers, body).expect("a request");
        let (instructions, _) = sign(signable, &params).expect("signs").into_parts();
        instructions
            .headers()
            .find(|(name, _)| *name == "authorization")
            .expect("signed")
            .1
            .to_owned()
    }

    prop_compose! {
        fn identities()(key in "[A-Z0-9]{4,20}", secret in "[ -~]{1,60}", token in proptest::option::of("[A-Za-z0-9+/=]{1,80}")) -> Credentials {
            Credentials::new(key, secret, token, None, "test")
        }
    }

    proptest! {
        #[test]
        fn the_official_signer_agrees(
            identity in identities(),
            seconds in 0u64..4_102_444_800,
            region in "[a-z]{2}-[a-z]{4,9}-[0-9]",
            key in "\\PC{1,40}",
            upload_id in proptest::option::of("[ -~]{1,40}"),
            metadata in proptest::collection::btree_map("x-amz-meta-[a-z0-9-]{1,12}", "[ -~]{0,40}", 0..4),
            content_type in "[a-z]{1,10}/[a-z0-9.+-]{1,20}",
            signed_payload in any::<bool>(),
        ) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            let stamp = stamp(time);
            let hash = if signed_payload { hex(&Sha256::digest(key.as_bytes())) } else { UNSIGNED_PAYLOAD.to_owned() };
            let mut path = "/bucket/".to_owned();
            percent_encode(&key, true, &mut path);
            let mut query = String::new();
            if let Some(id) = &upload_id {
                query.push_str("partNumber=7&uploadId=");
                percent_encode(id, false, &mut query);
            }
            let mut headers = vec![
                field("content-type", &content_type),
                field("host", "127.0.0.1:9000"),
                field("x-amz-content-sha256", &hash),
                field("x-amz-date", &stamp),
            ];
            headers.extend(metadata.iter().map(|(name, value)| field(name, value)));
            if let Some(token) = identity.session_token() {
                headers.push(field("x-amz-security-token", token));
            }
            headers.sort_unstable_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
            let request = ToSign { method: "PUT", path: &path, query: &query, headers: &headers, payload_hash: &hash };
            let signer = Signer::new(&region);
            let sign = || String::from_utf8(signer.authorization(&request, &stamp, &identity)).expect("text");
            let first = sign();
            prop_assert_eq!(&first, &official(&request, time, &identity, &region));
            prop_assert_eq!(first, sign(), "the cached key is the same");
        }
    }

    #[test]
    fn the_clock_is_written_anew_each_second() {
        let signer = Signer::new("us-east-1");
        for seconds in [0, 1, 1, 1_790_000_000, 5] {
            let time = UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 999);
            assert_eq!(signer.stamp(time), stamp(time));
        }
    }

    #[test]
    fn a_new_day_or_identity_gets_a_new_key() {
        let signer = Signer::new("us-east-1");
        let request = ToSign {
            method: "PUT",
            path: "/b/k",
            query: "",
            headers: &[field("host", "h")],
            payload_hash: UNSIGNED_PAYLOAD,
        };
        let identity = |secret| Credentials::new("AK", secret, None, None, "test");
        let value = |stamp: &str, secret| signer.authorization(&request, stamp, &identity(secret));
        let first = value("20261121T000000Z", "one");
        for (stamp, secret) in [("20261122T000000Z", "one"), ("20261121T000000Z", "two")] {
            let fresh = Signer::new("us-east-1").authorization(&request, stamp, &identity(secret));
            assert_ne!(first, fresh);
            assert_eq!(value(stamp, secret), fresh, "{stamp} {secret}");
        }
    }
}
