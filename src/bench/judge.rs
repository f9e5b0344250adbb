//! What keeps an arm from counting, and a comparison from being believed. Pure functions.

use super::cell::Cell;
use super::report::{Arm, Finding, Noise, Severity, Verdict};
use super::stats::{Difference, NoiseBand, Ratio, has_trend};
use crate::config::{ClientMode, StrategyKind};

/// Share of the machine that client, server and relay may take before a shaped profile shows CPU time and not waiting.
pub(super) const SATURATED: f64 = 0.9;
/// Share of the machine that others may take.
const FOREIGN: f64 = 0.10;
/// Share of the machine that its host may give to others.
const STOLEN: f64 = 0.02;
/// Shortest arm that says something, in seconds.
pub(super) const SHORTEST_ARM: f64 = 1.0;
/// Widest interval that says something: half of it, as a share of the estimate.
const WIDEST: f64 = 0.25;
/// Blocks that may be left out.
pub(super) const MOST_EXCLUDED: f64 = 0.25;
/// Disks that are fuller than this are slow in ways of their own.
const FULL: f64 = 0.90;

fn finding(severity: Severity, code: &str, reason: impl Into<String>, fix: &str) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        reason: reason.into(),
        fix: fix.to_owned(),
    }
}

pub(super) fn invalid(code: &str, reason: impl Into<String>, fix: &str) -> Finding {
    finding(Severity::Invalid, code, reason, fix)
}

pub(super) fn suspect(code: &str, reason: impl Into<String>, fix: &str) -> Finding {
    finding(Severity::Suspect, code, reason, fix)
}

/// What is known of one job of an arm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JobFacts {
    pub(super) expected: u64,
    pub(super) done: u64,
    pub(super) retries: u64,
    pub(super) has_finished: bool,
    pub(super) makespan: f64,
    pub(super) longest_service: f64,
    pub(super) sum_of_service: f64,
    pub(super) threads_started: usize,
    pub(super) threads_joined: usize,
    pub(super) threads_polling: usize,
    pub(super) processes: usize,
    pub(super) processes_ended_well: usize,
    pub(super) workers: usize,
    /// Requests in flight that were allowed.
    pub(super) allowed: usize,
    /// Connections by the client's own count.
    pub(super) connections: u64,
    pub(super) event_loops: usize,
}

/// What is known of an arm beside its jobs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ArmFacts {
    /// Least makespan of a job that latency and bandwidth allow.
    pub(super) least_makespan: f64,
    /// Connections that the relay saw; none without one.
    pub(super) connections_at_relay: Option<u64>,
    /// Bytes that the relay saw go to the server; none without one.
    pub(super) bytes_at_relay: Option<u64>,
    /// Bytes of content of all jobs.
    pub(super) bytes: u64,
    pub(super) expects_errors: bool,
    pub(super) sends_nothing: bool,
    pub(super) is_debug: bool,
    pub(super) debug_is_allowed: bool,
    /// Share of the disk with the server's data that is in use; none when nobody knows.
    pub(super) disk_in_use: Option<f64>,
}

/// What is wrong with an arm.
pub(super) fn arm_findings(cell: &Cell, jobs: &[JobFacts], arm: &ArmFacts) -> Vec<Finding> {
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
            "a worker was lost or left behind: its work may not be done; see --log-file",
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

/// Why a block with these arms does not count, for reasons that have nothing to do with their outcome.
pub(super) fn disturbance(arms: &[&Arm]) -> Option<String> {
    arms.iter().find_map(|arm| {
        let cpu = &arm.cpu;
        let all =
            cpu.client_user + cpu.client_system + cpu.server + cpu.relay + cpu.other + cpu.idle + cpu.steal;
        if all <= 0.0 {
            return None;
        }
        let (stolen, foreign) = (cpu.steal / all, cpu.other / all);
        if stolen > STOLEN {
            return Some(format!("{:.0} % of the CPU time was stolen", stolen * 100.0));
        }
        (foreign > FOREIGN).then(|| format!("others took {:.0} % of the CPU time", foreign * 100.0))
    })
}

/// What is known of a cell when its arms are done.
#[derive(Clone, Debug, Default)]
pub(super) struct CellFacts {
    /// Findings of its arms, each kind once.
    pub(super) of_arms: Vec<Finding>,
    /// Seconds of its shortest arm.
    pub(super) shortest_arm: f64,
    /// Client, server and relay as a share of the machine.
    pub(super) busy_share: f64,
    /// Time passes on the way to the server.
    pub(super) is_shaped: bool,
    /// Requests in flight on average, and at most.
    pub(super) in_flight: (f64, usize),
    /// Its ratio in each block, in the order of time.
    pub(super) ratios: Vec<f64>,
    /// Share of blocks that were disturbed.
    pub(super) disturbed: f64,
    /// What disturbed one of them.
    pub(super) disturbance: Option<String>,
    pub(super) on_battery: bool,
    /// Nothing is sent, so the processor is all that there is.
    pub(super) sends_nothing: bool,
}

/// All reasons not to believe a cell.
pub(super) fn cell_findings(facts: &CellFacts, ratio: Option<&Ratio>) -> Vec<Finding> {
    let mut findings = facts.of_arms.clone();
    let mut add = |applies: bool, finding: Finding| {
        if applies {
            findings.push(finding);
        }
    };
    add(
        facts.is_shaped && !facts.sends_nothing && facts.busy_share >= SATURATED,
        suspect(
            "cpu-saturated",
            format!(
                "the processors were {:.0} % busy, so this is not about waiting",
                facts.busy_share * 100.0
            ),
            "use fewer requests in flight, or read it as CPU cost: --profile raw",
        ),
    );
    add(
        facts.disturbed > MOST_EXCLUDED,
        suspect(
            "foreign-load",
            format!(
                "{:.0} % of the blocks were disturbed: {}",
                facts.disturbed * 100.0,
                facts.disturbance.as_deref().unwrap_or("foreign load")
            ),
            "stop other programs, or wait for a quiet hour",
        ),
    );
    add(
        facts.on_battery,
        suspect(
            "battery",
            "the machine runs on battery",
            "plug it in: on battery its speed changes",
        ),
    );
    add(
        facts.shortest_arm < SHORTEST_ARM,
        suspect(
            "short-arm",
            format!(
                "an arm took {:.2} s, less than {SHORTEST_ARM} s",
                facts.shortest_arm
            ),
            "use a larger workload",
        ),
    );
    let (mean, most) = facts.in_flight;
    add(
        mean > most as f64 * 1.05,
        suspect(
            "little",
            format!("{mean:.1} requests were in flight on average where {most} are allowed (Little's law)"),
            "times and counts contradict each other; this is a defect of s3haul",
        ),
    );
    if let Some(ratio) = ratio {
        let interval = ratio.interval;
        let half = (interval.high - interval.low) / 2.0 / interval.estimate;
        add(
            half > WIDEST,
            suspect(
                "wide-interval",
                format!("the interval is +-{:.0} % wide", half * 100.0),
                "use more blocks, or a quieter machine",
            ),
        );
    }
    add(
        has_trend(&facts.ratios),
        suspect(
            "trend",
            "the ratio rises or falls with the order of the run",
            "something drifts: run it again, longer",
        ),
    );
    findings
}

/// What may be said of a cell with these findings.
pub(super) fn verdict(
    findings: Vec<Finding>,
    ratio: Option<&Ratio>,
    noise: Option<&Noise>,
    is_quick: bool,
) -> Verdict {
    if findings
        .iter()
        .any(|finding| finding.severity == Severity::Invalid)
    {
        let findings = findings
            .into_iter()
            .filter(|finding| finding.severity == Severity::Invalid);
        return Verdict::Invalid {
            findings: findings.collect(),
        };
    }
    let (Some(ratio), Some(noise)) = (ratio, noise) else {
        return Verdict::Inconclusive {
            because: "no block was done with it and the baseline".to_owned(),
        };
    };
    if is_quick {
        return Verdict::DirectionOnly;
    }
    if !findings.is_empty() {
        return Verdict::Suspect { findings };
    }
    let band = NoiseBand { factor: noise.factor };
    match ratio.difference(band) {
        Difference::Less => Verdict::Faster,
        Difference::More => Verdict::Slower,
        Difference::Inconclusive => {
            let interval = ratio.interval;
            let holds_one = interval.low <= 1.0 && interval.high >= 1.0;
            let because = if holds_one {
                "the interval holds 1: no difference, or too few blocks to see it"
            } else {
                "the difference is within what the baseline differs from itself"
            };
            Verdict::Inconclusive {
                because: format!("{because}; more blocks or a quieter machine would tell"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
