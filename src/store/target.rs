//! Where the requests of one bucket go, by the SDK's own rules.

use aws_sdk_s3::config::endpoint::Endpoint;
use http::{HeaderValue, Uri};

use super::http::Address;

/// Where the requests of one bucket go.
pub(super) struct Target {
    pub(super) address: Address,
    /// As in the `Host` header.
    pub(super) host: HeaderValue,
    /// Path before the key, without a `/` at its end.
    pub(super) path: String,
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
            host: HeaderValue::from_str(uri.authority()?.as_str()).ok()?,
            path: uri.path().trim_end_matches('/').to_owned(),
            region: word("signingRegion")?.to_owned(),
        })
    }
}
