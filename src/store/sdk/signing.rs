//! The SDK's PUTs of content, signed with the key that is cached for the day.
//!
//! The SDK derives the key for every request, and hashes bodies that it holds in memory while it leaves all others
//! unsigned, whatever it was asked for. All other requests it signs itself.

use aws_credential_types::Credentials;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4Signer};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sigv4::http_request::SignableBody;
use aws_smithy_runtime_api::client::auth::{AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, Sign};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::GetIdentityResolver;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderName, HeaderValue, Uri};

use crate::store::signer::{Signer, ToSign};

/// Marks a PUT of content, and says how its body is signed.
#[derive(Clone, Debug)]
pub(super) struct ContentHash {
    /// SHA-256 of the body in hex; none where the body is not signed.
    pub(super) hash: Option<String>,
    /// Whether [`CachedKeyScheme`] is there to see it. Else the SDK is told, in its own words.
    pub(super) is_for_us: bool,
}

impl Storable for ContentHash {
    type Storer = StoreReplace<Self>;
}

impl Intercept for ContentHash {
    fn name(&self) -> &'static str {
        "ContentHash"
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.is_for_us {
            bag.interceptor_state().store_put(self.clone());
        } else if let Some(mut config) = bag.load::<SigV4OperationSigningConfig>().cloned() {
            // Not there for requests that are not signed at all.
            let body = match &self.hash {
                Some(hash) => SignableBody::Precomputed(hash.clone()),
                None => SignableBody::UnsignedPayload,
            };
            config.signing_options.payload_override = Some(body);
            bag.interceptor_state().store_put(config);
        }
        Ok(())
    }
}

/// Signature Version 4 for one bucket.
#[derive(Debug)]
pub(super) struct CachedKeyScheme(CachedKeySigner);

#[derive(Debug)]
struct CachedKeySigner {
    ours: Signer,
    sdk: SigV4Signer,
}

impl CachedKeyScheme {
    pub(super) fn new(region: &str) -> Self {
        Self(CachedKeySigner {
            ours: Signer::new(region),
            sdk: SigV4Signer::new(),
        })
    }
}

impl AuthScheme for CachedKeyScheme {
    fn scheme_id(&self) -> AuthSchemeId {
        SCHEME_ID
    }

    fn identity_resolver(&self, resolvers: &dyn GetIdentityResolver) -> Option<SharedIdentityResolver> {
        resolvers.identity_resolver(SCHEME_ID)
    }

    fn signer(&self) -> &dyn Sign {
        &self.0
    }
}

impl Sign for CachedKeySigner {
    fn sign_http_request(
        &self,
        request: &mut HttpRequest,
        identity: &Identity,
        endpoint: AuthSchemeEndpointConfig<'_>,
        components: &RuntimeComponents,
        bag: &ConfigBag,
    ) -> Result<(), BoxError> {
        let (Some(content), Some(credentials)) = (bag.load::<ContentHash>(), identity.data::<Credentials>())
        else {
            return self
                .sdk
                .sign_http_request(request, identity, endpoint, components, bag);
        };
        let uri: Uri = request.uri().parse()?;
        let mut headers = signed_headers(request, &uri)?;
        let query = sorted(uri.query().unwrap_or_default());
        let to_sign = ToSign {
            method: request.method(),
            path: uri.path(),
            query: &query,
        };
        let now = components.time_source().unwrap_or_default().now();
        let authorization = self
            .ours
            .sign(&to_sign, &mut headers, content.hash.clone(), credentials, now)?;
        headers.push((AUTHORIZATION, authorization));
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(name.as_str().to_owned(), value.to_str()?.to_owned());
        }
        Ok(())
    }
}

/// What has to be signed: the host, the content's type and all of S3's own headers.
fn signed_headers(request: &HttpRequest, uri: &Uri) -> Result<Vec<(HeaderName, HeaderValue)>, BoxError> {
    let host = uri.authority().ok_or("a request without a host")?;
    let mut headers = vec![(HOST, HeaderValue::from_str(host.as_str())?)];
    for (name, value) in request.headers().iter() {
        if name == "content-type" || name.starts_with("x-amz-") {
            headers.push((
                HeaderName::from_bytes(name.as_bytes())?,
                HeaderValue::from_str(value)?,
            ));
        }
    }
    Ok(headers)
}

/// The query in the order of its names, each with a value.
fn sorted(query: &str) -> String {
    let mut pairs: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_signed_in_the_order_of_its_names() {
        assert_eq!(
            sorted("x-id=UploadPart&partNumber=7&uploadId=a%2Fb"),
            "partNumber=7&uploadId=a%2Fb&x-id=UploadPart"
        );
        assert_eq!(sorted("uploads"), "uploads=");
        assert_eq!(sorted(""), "");
    }
}
