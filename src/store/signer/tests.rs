//! The signer against the official one: random keys, headers, dates and session tokens.

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
fn official(
    request: &ToSign<'_>,
    headers: &[(HeaderName, HeaderValue)],
    time: SystemTime,
    (identity, region): (&Credentials, &str),
) -> String {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity = identity.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("s3")
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
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let of_name = |wanted| {
        headers
            .clone()
            .find(|(name, _)| *name == wanted)
            .expect("there")
            .1
    };
    let (host, hash) = (of_name("host"), of_name("x-amz-content-sha256"));
    let uri = format!("http://{host}{}{query}", request.path);
    let own = [
        "host",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-security-token",
    ];
    let headers = headers.filter(|(name, _)| !own.contains(name));
    let body = if hash == UNSIGNED_PAYLOAD {
        SignableBody::UnsignedPayload
    } else {
        SignableBody::Precomputed(hash.to_owned())
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
        let hash = signed_payload.then(|| hex(&Sha256::digest(key.as_bytes())));
        let mut path = "/bucket/".to_owned();
        percent_encode(&key, true, &mut path);
        let mut query = String::new();
        if let Some(id) = &upload_id {
            query.push_str("partNumber=7&uploadId=");
            percent_encode(id, false, &mut query);
        }
        let mut headers = vec![field("host", "127.0.0.1:9000"), field("content-type", &content_type)];
        headers.extend(metadata.iter().map(|(name, value)| field(name, value)));
        let request = ToSign { method: "PUT", path: &path, query: &query };
        let signer = Signer::new(&region);
        let sign = |headers: &mut Vec<_>| {
            signer.sign(&request, headers, hash.clone(), &identity, time).expect("headers")
        };
        let again = sign(&mut headers.clone());
        let first = sign(&mut headers);
        prop_assert_eq!(&first, &official(&request, &headers, time, (&identity, &region)));
        prop_assert_eq!(first, again, "the cached key is the same");
    }
}

#[test]
fn the_clock_is_written_anew_each_second() {
    let signer = Signer::new("us-east-1");
    for seconds in [0, 1, 1, 1_790_000_000, 5] {
        let time = UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 999);
        assert_eq!(signer.stamp(time), *stamp(time));
    }
}

#[test]
fn a_new_day_or_identity_gets_a_new_key() {
    let signer = Signer::new("us-east-1");
    let request = ToSign {
        method: "PUT",
        path: "/b/k",
        query: "",
    };
    let identity = |secret| Credentials::new("AK", secret, None, None, "test");
    let day = |number: u64| UNIX_EPOCH + Duration::from_hours(24 * number);
    let value = |signer: &Signer, time, secret| {
        let mut headers = vec![field("host", "h")];
        let value = signer.sign(&request, &mut headers, None, &identity(secret), time);
        value.expect("headers")
    };
    let first = value(&signer, day(1), "one");
    for (time, secret) in [(day(2), "one"), (day(1), "two")] {
        let fresh = value(&Signer::new("us-east-1"), time, secret);
        assert_ne!(first, fresh);
        assert_eq!(value(&signer, time, secret), fresh, "{secret}");
    }
}
