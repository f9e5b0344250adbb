//! What a run can prove about its workers afterwards: threads, polls, processes, requests in flight.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::thread::ThreadId;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::gauge::{Controller, WindowChange};
use crate::config::Attention;
use crate::timing::{RequestTimes, SpanLog, TaskSpan};

/// What a child process reports when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChildUsage {
    /// Process id.
    pub pid: u32,
    /// User and system time.
    pub cpu_seconds: f64,
    /// Highest resident memory.
    pub peak_rss_bytes: u64,
    /// Connections that its clients made.
    pub connections_opened: u64,
    /// It ended by itself with success; set by the parent, which reaped it.
    #[serde(default)]
    pub exited_cleanly: bool,
    /// Most bytes of content that it held at one time.
    #[serde(default)]
    pub peak_held_bytes: u64,
    /// What its requests waited for; none when nobody wanted to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_times: Option<RequestTimes>,
    /// What its threads did, with their numbers in this process; none when nobody wanted to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<TaskSpan>,
}

/// Counters that workers touch. One a run.
#[derive(Debug, Default)]
pub struct Evidence {
    threads_started: AtomicUsize,
    threads_joined: AtomicUsize,
    in_flight: AtomicUsize,
    times_tasks: bool,
    /// Time of all tasks in all workers' hands together.
    busy_nanos: AtomicU64,
    peak_in_flight: AtomicUsize,
    polling: Mutex<HashSet<ThreadId>>,
    /// By number of the worker.
    pulling: Mutex<Vec<bool>>,
    children: Mutex<Vec<ChildUsage>>,
    window: Mutex<Vec<WindowChange>>,
    begun: Mutex<Begun>,
    processes_ready: OnceLock<Instant>,
    /// What workers of this process did, if anybody wants to know.
    pub(super) span_log: Option<SpanLog>,
    /// What those of other processes did.
    spans_of_children: Mutex<Vec<TaskSpan>>,
}

/// Workers that have begun, and when the last of them did.
#[derive(Clone, Copy, Debug, Default)]
struct Begun {
    workers: usize,
    last: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One task in a worker's hands, until it is dropped; since when, if anybody wants to know.
pub(super) struct InFlight<'a>(&'a Evidence, Option<Instant>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(since) = self.1 {
            let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(0);
            self.0.busy_nanos.fetch_add(nanos, Ordering::Relaxed);
        }
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Evidence {
    /// Counters of a run that is looked at so closely.
    pub fn new(attention: Attention) -> Self {
        Self {
            times_tasks: attention >= Attention::Requests,
            span_log: (attention == Attention::Tasks).then(SpanLog::default),
            ..Self::default()
        }
    }

    /// A worker is there and about to ask for its first task.
    pub(super) fn worker_begins(&self) {
        let mut begun = lock(&self.begun);
        begun.workers += 1;
        begun.last = Some(Instant::now());
    }

    /// When the last worker began so far; none without any.
    pub fn last_begun(&self) -> Option<Instant> {
        lock(&self.begun).last
    }

    /// All worker processes are there.
    pub(super) fn processes_are_ready(&self) {
        let _ = self.processes_ready.set(Instant::now());
    }

    /// When all worker processes were there; none where there are none.
    pub fn processes_ready(&self) -> Option<Instant> {
        self.processes_ready.get().copied()
    }

    /// A worker takes a task.
    pub(super) fn take_up(&self, worker: usize) -> InFlight<'_> {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak_in_flight.fetch_max(now, Ordering::Relaxed);
        let mut pulling = lock(&self.pulling);
        if worker >= pulling.len() {
            pulling.resize(worker + 1, false);
        }
        pulling[worker] = true;
        drop(pulling);
        InFlight(self, self.times_tasks.then(Instant::now))
    }

    pub(super) fn thread_started(&self) {
        self.threads_started.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn thread_joined(&self) {
        self.threads_joined.fetch_add(1, Ordering::Relaxed);
    }

    /// A child has ended; the first of its threads is worker number `first_worker` of the run.
    pub(super) fn child_reaped(&self, mut usage: ChildUsage, first_worker: usize) {
        let spans = std::mem::take(&mut usage.spans).into_iter();
        lock(&self.spans_of_children).extend(spans.map(|span| TaskSpan {
            worker: first_worker + span.worker,
            ..span
        }));
        lock(&self.children).push(usage);
    }

    /// The end of a run whose window may have changed.
    pub(super) fn window(&self, controller: Controller) {
        *lock(&self.window) = controller.into_course();
    }

    fn spans(&self) -> Vec<TaskSpan> {
        let mut spans = self.span_log.as_ref().map_or_else(Vec::new, SpanLog::spans);
        spans.extend_from_slice(&lock(&self.spans_of_children));
        spans
    }

    /// The figures.
    pub fn summary(&self) -> WorkersSummary {
        WorkersSummary {
            threads_started: self.threads_started.load(Ordering::Relaxed),
            threads_joined: self.threads_joined.load(Ordering::Relaxed),
            threads_polling: lock(&self.polling).len(),
            workers_begun: lock(&self.begun).workers,
            workers_pulling: lock(&self.pulling).iter().filter(|pulls| **pulls).count(),
            busy_seconds: self.busy_nanos.load(Ordering::Relaxed) as f64 / 1e9,
            peak_in_flight: self.peak_in_flight.load(Ordering::Relaxed),
            children: lock(&self.children).clone(),
            window: lock(&self.window).clone(),
            spans: self.spans(),
        }
    }
}

/// See [`Evidence`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkersSummary {
    /// OS threads that the strategy started for its workers.
    pub threads_started: usize,
    /// Those that it joined.
    pub threads_joined: usize,
    /// Threads that polled an upload (event loops only).
    pub threads_polling: usize,
    /// Workers that were there and ready to take a task.
    #[serde(default)]
    pub workers_begun: usize,
    /// Workers that took at least one task.
    pub workers_pulling: usize,
    /// Time that tasks were in hand, all workers together; zero when nobody wanted to know.
    #[serde(default)]
    pub busy_seconds: f64,
    /// Most tasks in hand at once.
    pub peak_in_flight: usize,
    /// Child processes, each reaped.
    pub children: Vec<ChildUsage>,
    /// How many requests might be in flight over time, where that adapted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub window: Vec<WindowChange>,
    /// What each worker did and when; empty when nobody wanted to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<TaskSpan>,
}

/// A future that notes which threads poll it.
pub(super) struct Polled<'a, F> {
    future: Pin<Box<F>>,
    evidence: &'a Evidence,
    last: Option<ThreadId>,
}

impl<'a, F: Future> Polled<'a, F> {
    pub(super) fn new(future: F, evidence: &'a Evidence) -> Self {
        Self {
            future: Box::pin(future),
            evidence,
            last: None,
        }
    }
}

impl<F: Future> Future for Polled<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let thread = std::thread::current().id();
        // The set is locked only when the future has moved to another thread.
        if self.last != Some(thread) {
            self.last = Some(thread);
            lock(&self.evidence.polling).insert(thread);
        }
        self.future.as_mut().poll(context)
    }
}
