//! What is known of a run when its workers have ended, and the summary that it becomes.

use std::sync::PoisonError;
use std::time::Instant;

use super::UploadRequest;
use crate::queue::Pressure;
use crate::report::{Collector, Ending, Phases, RunSummary};
use crate::strategy::{Choice, Evidence, StrategyContext, WorkersSummary};
use crate::timing::RequestTimes;
use crate::transfer::TimeLimit;
use crate::usage;

/// When a run began, by several clocks.
pub(super) struct Started {
    at: jiff::Timestamp,
    instant: Instant,
    cpu_seconds: f64,
}

impl Started {
    pub(super) fn now() -> Self {
        Self {
            at: jiff::Timestamp::now(),
            instant: Instant::now(),
            cpu_seconds: usage::cpu_seconds(),
        }
    }
}

/// Where the time went, when the workers that `began` have just ended.
pub(super) fn phases(started: &Started, began: Instant, evidence: &Evidence) -> Phases {
    let ready = evidence.processes_ready().unwrap_or(began);
    let last_begun = evidence.last_begun().unwrap_or(ready);
    Phases {
        connect: began - started.instant,
        start_processes: ready - began,
        work: ready.elapsed(),
        last_begun: last_begun.saturating_duration_since(ready),
    }
}

/// What is known when the workers have ended and before their context goes.
pub(super) struct Ended {
    queue: Pressure,
    peak_held_bytes: u64,
    request_times: Option<RequestTimes>,
    phases: Phases,
    ending: Ending,
    connections: u64,
    workers: WorkersSummary,
    endpoint: String,
}

impl Ended {
    pub(super) fn of(context: &StrategyContext, phases: Phases) -> Self {
        let fatal = context
            .run
            .fatal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let ending = match fatal {
            Some(cause) => Ending::Fatal { cause },
            None if context.run.cancel.is_cancelled() => Ending::Cancelled,
            None if context.run.time_limit.as_ref().is_some_and(TimeLimit::has_cut) => Ending::OutOfTime,
            None => Ending::Finished,
        };
        let workers = context.evidence.summary();
        let connector = context.clients.connector();
        let of_children: u64 = workers
            .children
            .iter()
            .map(|child| child.connections_opened)
            .sum();
        let connections = connector.connections_opened() + of_children;
        let of_children = workers
            .children
            .iter()
            .filter_map(|child| child.request_times.as_ref());
        let held_by_children: u64 = workers.children.iter().map(|child| child.peak_held_bytes).sum();
        Self {
            queue: context.tasks.pressure(),
            peak_held_bytes: context.transfer.peak_held_bytes() + held_by_children,
            request_times: connector.request_times().map(|times| times.and(of_children)),
            phases,
            ending,
            connections,
            workers,
            endpoint: connector.endpoint(),
        }
    }
}

/// The summary of a run.
pub(super) fn summarise(
    request: &UploadRequest,
    choice: &Choice,
    started: &Started,
    collector: Collector,
    ended: Ended,
) -> RunSummary {
    let of_children: f64 = ended.workers.children.iter().map(|child| child.cpu_seconds).sum();
    RunSummary {
        v: 1,
        strategy: choice.strategy,
        client: choice.client,
        concurrency: choice.concurrency,
        target: request.target.to_string(),
        endpoint: ended.endpoint,
        started_at: started.at.to_string(),
        elapsed: started.instant.elapsed(),
        phases: ended.phases,
        queue: ended.queue,
        peak_held_bytes: ended.peak_held_bytes,
        request_times: ended.request_times,
        service_time: collector.service_time(),
        totals: collector.totals,
        skipped_by_reason: collector.skipped_by_reason,
        connections: ended.connections,
        cpu_seconds: usage::cpu_seconds() - started.cpu_seconds + of_children,
        peak_rss_bytes: usage::peak_rss_bytes(),
        workers: ended.workers,
        ending: ended.ending,
        failures: collector.failures,
        encoded: collector.encoded,
    }
}
