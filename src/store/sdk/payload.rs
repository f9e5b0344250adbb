//! The hash of a body into the SDK's signature.
//!
//! The SDK hashes bodies that it holds in memory and leaves all others unsigned, whatever it was asked for.

use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sigv4::http_request::SignableBody;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;

/// SHA-256 of the body in hex, to be signed.
#[derive(Debug)]
pub(super) struct SignedPayload(pub(super) String);

impl Intercept for SignedPayload {
    fn name(&self) -> &'static str {
        "SignedPayload"
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // Not there for requests that are not signed at all.
        if let Some(mut config) = bag.load::<SigV4OperationSigningConfig>().cloned() {
            config.signing_options.payload_override = Some(SignableBody::Precomputed(self.0.clone()));
            bag.interceptor_state().store_put(config);
        }
        Ok(())
    }
}
