//! What keeps an arm from counting.

use super::{invalid, suspect};
use crate::bench::cell::Cell;
use crate::bench::report::Finding;
use crate::config::{ClientMode, StrategyKind};

/// Disks that are fuller than this are slow in ways of their own.
const FULL: f64 = 0.90;

/// What is known of one job of an arm.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bench) struct JobFacts {
    pub(in crate::bench) expected: u64,
    pub(in crate::bench) done: u64,
    pub(in crate::bench) retries: u64,
    pub(in crate::bench) has_finished: bool,
    pub(in crate::bench) makespan: f64,
    pub(in crate::bench) longest_service: f64,
    /// Time that tasks were in hand, all workers together.
    pub(in crate::bench) busy: f64,
    pub(in crate::bench) threads_started: usize,
    pub(in crate::bench) threads_joined: usize,
    pub(in crate::bench) threads_polling: usize,
    pub(in crate::bench) processes: usize,
    pub(in crate::bench) processes_ended_well: usize,
    pub(in crate::bench) workers: usize,
    /// Requests in flight that were allowed.
    pub(in crate::bench) allowed: usize,
    /// Connections by the client's own count.
    pub(in crate::bench) connections: u64,
    pub(in crate::bench) event_loops: usize,
}

/// What is known of an arm beside its jobs.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bench) struct ArmFacts {
    /// Least makespan of a job that latency and bandwidth allow.
    pub(in crate::bench) least_makespan: f64,
    /// Connections that the relay saw; none without one.
    pub(in crate::bench) connections_at_relay: Option<u64>,
    /// Bytes that the relay saw go to the server; none without one.
    pub(in crate::bench) bytes_at_relay: Option<u64>,
    /// Bytes of content of all jobs.
    pub(in crate::bench) bytes: u64,
    pub(in crate::bench) expects_errors: bool,
    pub(in crate::bench) sends_nothing: bool,
    pub(in crate::bench) is_debug: bool,
    pub(in crate::bench) debug_is_allowed: bool,
    /// Share of the disk with the server's data that is in use; none when nobody knows.
    pub(in crate::bench) disk_in_use: Option<f64>,
}

/// What is wrong with an arm.
pub(in crate::bench) fn arm_findings(cell: &Cell, jobs: &[JobFacts], arm: &ArmFacts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = jobs.iter().flat_map(|job| job_findings(cell, job, arm)).collect();
    findings.extend(connection_finding(cell, jobs, arm));
    if let Some(seen) = arm.bytes_at_relay
        && seen < arm.bytes
    {
        findings.push(invalid(
            "bytes",
            format!("{} bytes were uploaded and the relay saw {seen}", arm.bytes),
            "uploads went past the relay, or were never sent: look at the endpoint and at proxies",
        ));
    }
    if arm.is_debug {
        let (reason, fix) = ("this is a debug build", "build it with cargo build --release");
        findings.push(if arm.debug_is_allowed {
            suspect("debug-build", reason, fix)
        } else {
            invalid("debug-build", reason, fix)
        });
    }
    if let Some(share) = arm.disk_in_use.filter(|share| *share > FULL) {
        findings.push(invalid(
            "disk-full",
            format!("the disk with the server's data is {:.0} % full", share * 100.0),
            "name a directory with more room with --work-dir DIR",
        ));
    }
    // One job is as bad as another: each kind is said once.
    let mut codes = std::collections::BTreeSet::new();
    findings.retain(|finding| codes.insert(finding.code.clone()));
    findings
}

fn job_findings(cell: &Cell, job: &JobFacts, arm: &ArmFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if job.done != job.expected || !job.has_finished {
        findings.push(invalid(
            "failed-objects",
            format!("{} of {} objects were done", job.done, job.expected),
            "upload the same files with s3haul cp -v and look at what fails",
        ));
    }
    if job.threads_started != job.threads_joined || job.processes != job.processes_ended_well {
        findings.push(invalid(
            "not-joined",
            format!(
                "{} of {} threads were joined and {} of {} processes ended well",
                job.threads_joined, job.threads_started, job.processes_ended_well, job.processes
            ),
            "a worker was lost or left behind: its work may not be done",
        ));
    }
    let least = job.longest_service.max(arm.least_makespan * 0.9);
    if job.makespan < least {
        findings.push(invalid(
            "faster-than-possible",
            format!(
                "{:.4} s are less than one request takes ({:.4} s), or than latency and bandwidth allow",
                job.makespan, least
            ),
            "what was timed is not the uploads: something was not waited for",
        ));
    }
    if let Some(expected) = workers(cell, job)
        && job.workers != expected
    {
        findings.push(invalid(
            "workers",
            format!("{} workers began and {expected} were asked for", job.workers),
            "raise the limits of threads and open files (ulimit -u, -n), or ask for fewer",
        ));
    }
    if cell.strategy() == StrategyKind::Async && !(1..=job.event_loops.max(1)).contains(&job.threads_polling)
    {
        findings.push(invalid(
            "polling-threads",
            format!(
                "{} threads polled uploads on {} event loops",
                job.threads_polling, job.event_loops
            ),
            "the strategy is not what it says; this is a defect of s3haul",
        ));
    }
    if job.retries > 0 && !arm.expects_errors {
        findings.push(invalid(
            "retries",
            format!("{} requests were tried again", job.retries),
            "the server refused or lost requests: use a lower --concurrency, or a server that keeps up",
        ));
    }
    findings
}

/// Workers that are to begin; none where nobody can say beforehand.
fn workers(cell: &Cell, job: &JobFacts) -> Option<usize> {
    match cell.strategy() {
        StrategyKind::Sequential => Some(1),
        StrategyKind::ThreadPerFile => usize::try_from(job.expected).ok(),
        StrategyKind::Async if cell.concurrency.is_none() => None,
        _ => Some(cell.concurrency.unwrap_or(job.allowed)),
    }
}

/// Whether the client mode kept its promise about connections. One more than it says is the first look at the bucket.
fn connection_finding(cell: &Cell, jobs: &[JobFacts], arm: &ArmFacts) -> Option<Finding> {
    if arm.sends_nothing {
        return None;
    }
    let own: u64 = jobs.iter().map(|job| job.connections).sum();
    let seen = arm.connections_at_relay.unwrap_or(own);
    let objects: u64 = jobs.iter().map(|job| job.expected).sum();
    let is_broken = match cell.client() {
        ClientMode::PerUpload => seen < objects,
        ClientMode::Shared | ClientMode::PerWorker => {
            let most = |job: &JobFacts| {
                let in_flight = match cell.strategy() {
                    StrategyKind::ThreadPerFile => job.expected as f64,
                    _ => job.allowed as f64,
                };
                in_flight * 1.1 + 1.0
            };
            seen as f64 > jobs.iter().map(most).sum()
        }
    };
    is_broken.then(|| {
        invalid(
            "connections",
            format!(
                "{seen} connections are not what client mode {} promises for {objects} objects",
                cell.client().name()
            ),
            "the server closes connections early, or the mode is not what it says: compare with --profile raw",
        )
    })
}
