//! The engine `sdk`: every request through aws-sdk-s3. The reference for correctness.
//!
//! Knows the SDK; knows nothing of files, tasks and retries.

mod config;
mod convert;
mod error;
mod http;
mod operations;
mod server_date;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::CreateUnhandledError;

use super::body::Progress;
use super::connector::Shared;
use super::{StoreError, StoreErrorKind, StoreResult};
use crate::config::{RetrySettings, TransferSettings};
use crate::error::Result;

pub(super) use config::Resolved;

/// A kernel may hold this much of a body that the transport has handed over.
const KERNEL_BUFFER_BYTES: u64 = 4 * 1024 * 1024;

/// One bucket through one SDK client with a connection pool of its own.
pub(super) struct SdkStore {
    client: Client,
    resolved: Arc<Resolved>,
    shared: Arc<Shared>,
    bucket: String,
    limits: RetrySettings,
}

impl SdkStore {
    pub(super) fn new(
        resolved: &Arc<Resolved>,
        shared: &Arc<Shared>,
        transfer: &TransferSettings,
        bucket: &str,
        max_connections: usize,
    ) -> Result<Self> {
        let http_client = http::client(resolved, shared, max_connections)?;
        let config = resolved.client_config().http_client(http_client).build();
        Ok(Self {
            client: Client::from_conf(config),
            resolved: resolved.clone(),
            shared: shared.clone(),
            bucket: bucket.to_owned(),
            limits: transfer.retry,
        })
    }

    /// Runs one request under the stall limits and turns its error into ours. Corrects the clock and forgets
    /// expired credentials, so that a retry can succeed.
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
        let drain = body_bytes.min(KERNEL_BUFFER_BYTES) / self.limits.slowest_link.bytes().max(1);
        let answer_limit = answer_limit + Duration::from_secs(drain);
        let outcome = tokio::select! {
            outcome = request => outcome,
            stalled = watch(progress, self.limits.stall_limit, answer_limit) => return Err(stalled),
        };
        let error = match outcome {
            Ok(value) => return Ok(value),
            Err(error) => error::convert(&error),
        };
        match error.kind {
            StoreErrorKind::ClockSkew => self.resolved.correct_clock(error.server_time),
            StoreErrorKind::ExpiredCredentials => self.resolved.forget_credentials().await,
            _ => {}
        }
        Err(error)
    }
}

/// Ends when the body has not moved for `stall_limit`, or the answer takes longer than `answer_limit`.
async fn watch(progress: &Progress, stall_limit: Duration, answer_limit: Duration) -> StoreError {
    loop {
        let handed_over = progress.is_handed_over();
        let limit = if handed_over { answer_limit } else { stall_limit };
        let deadline = progress.last_moved() + limit;
        if Instant::now() >= deadline {
            let message = if handed_over {
                format!("the server did not answer within {} s", limit.as_secs())
            } else {
                format!("the server took no byte for {} s", limit.as_secs())
            };
            return StoreError::new(StoreErrorKind::Stalled, message);
        }
        tokio::time::sleep_until(deadline.into()).await;
    }
}
