//! The engine `sdk`: every request through aws-sdk-s3. The reference for correctness.
//!
//! Knows the SDK; knows nothing of files, tasks and retries.

mod config;
mod convert;
mod endpoint;
mod error;
mod open_uploads;
mod operations;
mod reading;
mod removing;
mod server_date;
mod signing;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::CreateUnhandledError;

use super::StoreResult;
use super::attempt::Attempt;
use super::body::Progress;
use super::connector::Shared;
use super::http::{Pool, PooledClient};
use super::resolved::Resolved;
use super::target::Target;
use crate::config::RetrySettings;

use self::endpoint::OfOneBucket;
use self::signing::CachedKeyScheme;

pub(super) use convert::{check_stored, listed_name, tagging};

/// One bucket through one SDK client with a connection pool of its own.
pub(super) struct SdkStore {
    client: Client,
    resolved: Arc<Resolved>,
    shared: Arc<Shared>,
    bucket: String,
    limits: RetrySettings,
    /// The body is part of the signature.
    signs_payload: bool,
    /// PUTs of content are signed by [`CachedKeyScheme`].
    signs_itself: bool,
}

impl SdkStore {
    /// A store whose connections come from `pool`.
    pub(super) fn new(
        resolved: &Arc<Resolved>,
        shared: &Arc<Shared>,
        limits: RetrySettings,
        bucket: &str,
        (pool, signs_payload): (&Arc<Pool>, bool),
    ) -> Self {
        let http_client = PooledClient {
            pool: pool.clone(),
            path_style: !resolved.is_aws,
        };
        let config = config::of_client(resolved).http_client(SharedHttpClient::new(http_client));
        let plain = resolved
            .endpoint_of(bucket)
            .and_then(|endpoint| Target::of(&endpoint).map(|target| (endpoint, target)));
        let signs_itself = plain.is_some();
        let config = match plain {
            Some((endpoint, target)) => config
                .push_auth_scheme(CachedKeyScheme::new(&target.region))
                .endpoint_resolver(OfOneBucket(endpoint)),
            // What wants more than plain Signature Version 4 gets it from the SDK.
            None => config,
        };
        let config = config.build();
        Self {
            client: Client::from_conf(config),
            resolved: resolved.clone(),
            shared: shared.clone(),
            bucket: bucket.to_owned(),
            limits,
            signs_payload,
            signs_itself,
        }
    }

    /// Runs one request and turns its error into ours.
    async fn send<T, E>(
        &self,
        progress: &Progress,
        body_bytes: u64,
        answer_limit: Duration,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> StoreResult<T>
    where
        E: std::error::Error
            + Send
            + Sync
            + CreateUnhandledError
            + aws_sdk_s3::error::ProvideErrorMetadata
            + 'static,
    {
        let attempt = Attempt {
            progress,
            body_bytes,
            answer_limit,
            limits: &self.limits,
        };
        // The SDK's futures are large, and would make those of all who call this as large.
        let mut request = Box::pin(async { request.await.map_err(|error| error::convert(&error)) });
        attempt.run(&self.resolved, request.as_mut()).await
    }
}
