//! One request under the stall limits, whichever engine sends it, and what is learnt from its failure.

use std::pin::Pin;
use std::time::Duration;

use super::body::Progress;
use super::resolved::Resolved;
use super::{StoreError, StoreErrorKind, StoreResult};
use crate::config::RetrySettings;

/// A kernel may hold this much of a body that the transport has handed over.
const KERNEL_BUFFER_BYTES: u64 = 4 * 1024 * 1024;

/// How a request is watched.
pub(super) struct Attempt<'a> {
    pub(super) progress: &'a Progress,
    pub(super) body_bytes: u64,
    /// Time for the answer after the last byte was handed over.
    pub(super) answer_limit: Duration,
    pub(super) limits: &'a RetrySettings,
}

impl Attempt<'_> {
    /// Runs `request`, which is pinned where it was made: a future that is handed on by value is there twice. Corrects
    /// the clock and forgets expired credentials, so that a retry can succeed.
    pub(super) async fn run<T>(
        &self,
        resolved: &Resolved,
        request: Pin<&mut impl Future<Output = StoreResult<T>>>,
    ) -> StoreResult<T> {
        let drain = self.body_bytes.min(KERNEL_BUFFER_BYTES) / self.limits.slowest_link.bytes().max(1);
        let answer_limit = self.answer_limit + Duration::from_secs(drain);
        let outcome = tokio::select! {
            outcome = request => outcome,
            stalled = watch(self.progress, self.limits.stall_limit, answer_limit) => return Err(stalled),
        };
        if let Err(error) = &outcome {
            match error.kind {
                StoreErrorKind::ClockSkew => resolved.correct_clock(error.server_time),
                StoreErrorKind::ExpiredCredentials => {
                    resolved.forget_credentials(self.progress.started()).await
                }
                _ => {}
            }
        }
        outcome
    }
}

/// Ends when the body has not moved for `stall_limit`, or the answer takes longer than `answer_limit`.
async fn watch(progress: &Progress, stall_limit: Duration, answer_limit: Duration) -> StoreError {
    loop {
        let handed_over = progress.is_handed_over();
        let limit = if handed_over { answer_limit } else { stall_limit };
        let last_moved = progress.last_moved();
        tokio::time::sleep_until((last_moved + limit).into()).await;
        let is_the_same = progress.is_handed_over() == handed_over && progress.last_moved() == last_moved;
        if is_the_same {
            let message = if handed_over {
                format!("the server did not answer within {} s", limit.as_secs())
            } else {
                format!("the server took no byte for {} s", limit.as_secs())
            };
            return StoreError::new(StoreErrorKind::Stalled, message);
        }
    }
}
