//! The one retry layer. The SDK's own is off: its token bucket is shared by the whole process, it ignores
//! `Retry-After` and 429, and it gives up on a restarting server after 0.6 s.
//!
//! Every body can be sent again: bytes stay in memory and file ranges are read anew for each attempt.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::pace::{Pace, jittered};
use super::{
    ByteSink, CompleteUpload, CreateUpload, GetObject, ListPage, ListRequest, ObjectHead, ObjectStore,
    OpenUpload, PutObject, StoreError, StoreErrorKind, StoreResult, Stored, StoredPart, UploadPart,
    abort_strays,
};
use crate::config::{DEFAULT_RETRIES, RetrySettings};
use crate::event::{DETAIL, RetryNotice};

/// Hears of every request that will be tried again.
pub type RetryObserver = Arc<dyn Fn(RetryNotice) + Send + Sync>;

/// A lost connection is worth trying for at least this long, however quickly the tries fail: a server that is
/// restarted behind a proxy accepts connections and drops them.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(75);
/// A server that asks for a slower pace is given at least this long, unless fewer tries than usual are wanted.
const STORM_PATIENCE: Duration = Duration::from_secs(45);
/// After a common pause, requests start within this time and not in one instant.
const SPREAD: Duration = Duration::from_millis(100);
/// Looking for what a lost answer left behind takes at most this long.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(10);
/// Answers that contradict what was sent are not worth many tries.
const DOUBTFUL_RETRIES: u32 = 2;

/// A store whose requests are tried again where that can help.
#[derive(Clone)]
pub struct Retrying {
    inner: Arc<dyn ObjectStore>,
    settings: RetrySettings,
    pace: Arc<Pace>,
    observer: RetryObserver,
}

/// What one operation has been through.
struct History {
    started: Instant,
    tries: u32,
    /// Failures of the kind that came last: an outage must not use up the tries of what comes after it.
    of_this_kind: u32,
    by_kind: HashMap<StoreErrorKind, u32>,
}

impl History {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            tries: 0,
            of_this_kind: 0,
            by_kind: HashMap::new(),
        }
    }

    fn note(&mut self, kind: StoreErrorKind) {
        let count = self.by_kind.entry(kind).or_default();
        *count += 1;
        self.of_this_kind = *count;
    }
}

impl Retrying {
    /// Wraps `inner`. `pace` is shared by all stores of the process.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        settings: RetrySettings,
        pace: Arc<Pace>,
        observer: RetryObserver,
    ) -> Self {
        Self {
            inner,
            settings,
            pace,
            observer,
        }
    }

    /// The pause before the next try, or `None` when there is none.
    fn pause(&self, error: &StoreError, history: &History) -> Option<Duration> {
        use StoreErrorKind as Kind;
        let left = |limit: u32| history.of_this_kind <= limit.min(self.settings.retries);
        let patient = |patience: Duration| self.settings.retries > 0 && history.started.elapsed() < patience;
        let again = match error.kind {
            Kind::Throttled => {
                let usual = self.settings.retries >= DEFAULT_RETRIES;
                left(u32::MAX) || (usual && history.started.elapsed() < STORM_PATIENCE)
            }
            Kind::Transient | Kind::Stalled => left(u32::MAX),
            Kind::Connection => left(u32::MAX) || patient(OUTAGE_PATIENCE.min(self.settings.outage_limit)),
            Kind::Unreachable => {
                let since = self
                    .pace
                    .last_success()
                    .unwrap_or(history.started)
                    .max(history.started);
                self.settings.retries > 0 && since.elapsed() < self.settings.outage_limit
            }
            Kind::BadDigest | Kind::NotCredible => left(DOUBTFUL_RETRIES),
            // The engine has corrected its clock or fetched new credentials by now: once is enough.
            Kind::ClockSkew | Kind::ExpiredCredentials => history.of_this_kind == 1,
            _ => false,
        };
        let delay = error.retry_after.unwrap_or_else(|| match error.kind {
            Kind::ClockSkew | Kind::ExpiredCredentials => Duration::ZERO,
            // A server that is down is asked twice a second at most, and at least every two seconds.
            Kind::Unreachable => jittered(history.of_this_kind.clamp(1, 3)),
            _ => jittered(history.of_this_kind.saturating_sub(1)),
        });
        (again && history.started.elapsed() + delay < self.settings.budget).then_some(delay)
    }

    async fn run<'a, T, F, Fut>(&'a self, operation: &str, place: &str, mut attempt: F) -> StoreResult<T>
    where
        F: FnMut(&'a dyn ObjectStore) -> Fut,
        Fut: Future<Output = StoreResult<T>>,
    {
        let mut history = History::new();
        loop {
            self.wait_for_the_pace().await;
            history.tries += 1;
            let error = match attempt(self.inner.as_ref()).await {
                Ok(value) => {
                    self.pace.succeeded();
                    return Ok(value);
                }
                Err(error) => error,
            };
            history.note(error.kind);
            if error.kind == StoreErrorKind::Throttled {
                self.pace.throttled(error.retry_after);
            }
            let Some(delay) = self.pause(&error, &history) else {
                return Err(StoreError {
                    tries: history.tries,
                    ..error
                });
            };
            tracing::info!(target: DETAIL, operation, place, attempt = history.tries, %error, ?delay, "request will be tried again");
            (self.observer)(RetryNotice {
                operation: operation.to_owned(),
                place: place.to_owned(),
                attempt: history.tries,
                error: error.to_string(),
                delay,
            });
            tokio::time::sleep(delay).await;
        }
    }

    async fn wait_for_the_pace(&self) {
        loop {
            let wait = self.pace.wait();
            if wait.is_zero() {
                return;
            }
            // A little spread, so that not all of them start in the same millisecond.
            let spread = SPREAD.mul_f64(fastrand::f64()).min(wait);
            tokio::time::sleep(wait + spread).await;
        }
    }
}

#[async_trait]
impl ObjectStore for Retrying {
    async fn put_object(&self, request: &PutObject) -> StoreResult<Stored> {
        self.run("PutObject", &request.key, |store| async {
            request.payload.check(store.put_object(request).await?)
        })
        .await
    }

    async fn create_multipart_upload(&self, request: &CreateUpload) -> StoreResult<String> {
        let (started, in_doubt) = (Instant::now(), AtomicBool::new(false));
        let outcome = self
            .run("CreateMultipartUpload", &request.key, |store| async {
                let outcome = store.create_multipart_upload(request).await;
                outcome.inspect_err(|error| _ = in_doubt.fetch_or(error.is_ambiguous(), Ordering::Relaxed))
            })
            .await;
        if in_doubt.into_inner() {
            let known = outcome.as_deref().ok();
            let clean_up = abort_strays(self, &request.key, known, started.elapsed());
            let cleaned = tokio::time::timeout(CLEAN_UP_LIMIT, clean_up).await;
            if !matches!(cleaned, Ok(Ok(()))) {
                tracing::info!(target: DETAIL, key = request.key, ?cleaned, "an upload may stay open on the server");
            }
        }
        outcome
    }

    async fn upload_part(&self, request: &UploadPart) -> StoreResult<Stored> {
        self.run("UploadPart", &request.key, |store| async {
            request.payload.check(store.upload_part(request).await?)
        })
        .await
    }

    async fn complete_multipart_upload(&self, request: &CompleteUpload) -> StoreResult<Stored> {
        self.run("CompleteMultipartUpload", &request.key, |store| async {
            let stored = store.complete_multipart_upload(request).await?;
            request.check(stored)
        })
        .await
    }

    async fn abort_multipart_upload(&self, key: &str, upload_id: &str) -> StoreResult<()> {
        // The first try does not keep the pace: it may be the last thing a stopped run does, and it lightens
        // the server's load.
        if self.inner.abort_multipart_upload(key, upload_id).await.is_ok() {
            return Ok(());
        }
        self.run("AbortMultipartUpload", key, |store| {
            store.abort_multipart_upload(key, upload_id)
        })
        .await
    }

    async fn head_object(&self, key: &str) -> StoreResult<ObjectHead> {
        self.run("HeadObject", key, |store| store.head_object(key)).await
    }

    async fn get_object(&self, request: &GetObject<'_>, sink: &mut ByteSink<'_>) -> StoreResult<ObjectHead> {
        // What has not seen a byte can be tried again here; with what has, the caller goes on from where it is.
        let came = AtomicBool::new(false);
        let sink = tokio::sync::Mutex::new(sink);
        let outcome = self
            .run("GetObject", request.key, |store| async {
                let mut sink = sink.lock().await;
                let outcome = store
                    .get_object(request, &mut |bytes| {
                        came.store(true, Ordering::Relaxed);
                        sink(bytes)
                    })
                    .await;
                match outcome {
                    Err(error) if came.load(Ordering::Relaxed) => Ok(Err(error)),
                    outcome => outcome.map(Ok),
                }
            })
            .await;
        outcome.flatten()
    }

    async fn copy_object(&self, from: &str, to: &str, size_bytes: u64) -> StoreResult<()> {
        self.run("CopyObject", from, |store| {
            store.copy_object(from, to, size_bytes)
        })
        .await
    }

    async fn list_objects(&self, request: &ListRequest<'_>) -> StoreResult<ListPage> {
        self.run("ListObjectsV2", request.prefix, |store| {
            store.list_objects(request)
        })
        .await
    }

    async fn delete_object(&self, key: &str) -> StoreResult<()> {
        self.run("DeleteObject", key, |store| store.delete_object(key))
            .await
    }

    async fn delete_objects(&self, keys: &[String]) -> StoreResult<Vec<StoreResult<()>>> {
        let place = keys.first().map_or("", String::as_str);
        self.run("DeleteObjects", place, |store| store.delete_objects(keys))
            .await
    }

    async fn list_multipart_uploads(&self, prefix: &str) -> StoreResult<Vec<OpenUpload>> {
        self.run("ListMultipartUploads", prefix, |store| {
            store.list_multipart_uploads(prefix)
        })
        .await
    }

    async fn list_parts(&self, key: &str, upload_id: &str) -> StoreResult<Vec<StoredPart>> {
        self.run("ListParts", key, |store| store.list_parts(key, upload_id))
            .await
    }

    async fn head_bucket(&self) -> StoreResult<()> {
        self.run("HeadBucket", "", |store| store.head_bucket()).await
    }

    async fn create_bucket(&self) -> StoreResult<()> {
        self.run("CreateBucket", "", |store| store.create_bucket()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_does_not_use_up_the_tries_of_what_comes_after_it() {
        let mut history = History::new();
        for _ in 0..20 {
            history.note(StoreErrorKind::Unreachable);
        }
        history.note(StoreErrorKind::Transient);
        assert_eq!(history.of_this_kind, 1);
    }
}
