//! The endpoint of one bucket, resolved once: the SDK's rules take a URL apart for every request.

use aws_sdk_s3::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};

/// See the module. All requests of a client are for this bucket.
#[derive(Debug)]
pub(super) struct OfOneBucket(pub(super) Endpoint);

impl ResolveEndpoint for OfOneBucket {
    fn resolve_endpoint(&self, _params: &Params) -> EndpointFuture<'_> {
        EndpointFuture::ready(Ok(self.0.clone()))
    }
}
