//! One arm from outside: starts its process, lets it go, reads who used the processors meanwhile, verifies what it left.

use std::time::Duration;

use super::arm::{ArmResult, ArmSpec, FromArm, JobResult};
use super::cell::Cell;
use super::files::Entry;
use super::ground::Ground;
use super::helper::{Helper, Role};
use super::host::{MachineTime, process_time};
use super::judge::{ArmFacts, JobFacts, arm_findings, invalid};
use super::report::{Arm, Cpu, Finding, Severity};
use crate::error::{Error, ErrorKind, Result, chain};
use crate::report::{Ending, RunSummary};
use crate::server::RelayCounters;

/// Time that a process may take to read its settings.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// Time that an arm may take whatever happens.
const ARM_LIMIT: Duration = Duration::from_mins(30);
/// Time that its process may take to end after its answer.
const END_LIMIT: Duration = Duration::from_secs(10);

/// What one arm is to do, and what is expected of it.
pub(super) struct Task<'a> {
    pub(super) cell: &'a Cell,
    pub(super) spec: ArmSpec,
    /// The files of each of its jobs; empty where nobody can list them.
    pub(super) entries: &'a [Entry],
    pub(super) objects: usize,
    /// Least makespan of a job that latency and bandwidth allow.
    pub(super) least_makespan: f64,
    pub(super) expects_errors: bool,
    pub(super) sends_nothing: bool,
}

/// An arm that was measured.
pub(super) struct Measured {
    pub(super) arm: Arm,
    /// None when its process failed.
    pub(super) result: Option<ArmResult>,
    pub(super) relay: Option<RelayCounters>,
}

impl Measured {
    /// Its process failed, or something is wrong with what it did.
    pub(super) fn is_invalid(&self) -> bool {
        let is_invalid = |finding: &Finding| finding.severity == Severity::Invalid;
        self.result.is_none() || self.arm.findings.iter().any(is_invalid)
    }
}

/// What was read before and after.
struct Books {
    machine: MachineTime,
    server: Option<f64>,
    relay: Option<f64>,
}

impl Ground<'_> {
    fn books(&self) -> Books {
        Books {
            machine: MachineTime::now(),
            server: self.server.pid.and_then(process_time),
            relay: self.shaper.as_ref().and_then(|shaper| process_time(shaper.pid())),
        }
    }

    /// Runs one arm and looks at what it left. What goes wrong in it is a finding; what goes wrong around it an error.
    pub(super) fn measure(&mut self, task: &Task<'_>) -> Result<Measured> {
        if let Some(shaper) = &mut self.shaper {
            shaper.reset(&self.cancel)?;
        }
        let at = self.began.elapsed().as_secs_f64();
        let mut helper = Helper::start(&self.plan.program, &Role::Arm(Box::new(task.spec.clone())))?;
        let FromArm::Ready = helper.receive(READY_LIMIT, &self.cancel)? else {
            return Err(Error::new(
                ErrorKind::Internal,
                "an arm did not say that it is ready",
            ));
        };
        let before = self.books();
        helper.send(&"go");
        let answer = helper.receive(ARM_LIMIT, &self.cancel);
        let after = self.books();
        let has_ended = helper.join(END_LIMIT);
        drop(helper);
        let cancel = self.cancel.clone();
        let relay = self
            .shaper
            .as_mut()
            .map(|shaper| shaper.reset(&cancel))
            .transpose()?
            .filter(|_| !task.cell.past_relay && !task.sends_nothing);
        let mut measured = match answer {
            Ok(FromArm::Done(result)) => {
                let arm = self.arm(task, &result, (&before, &after), relay.as_ref());
                Measured {
                    arm,
                    result: Some(*result),
                    relay,
                }
            }
            Ok(FromArm::Ready) => return Err(Error::new(ErrorKind::Internal, "an arm was ready twice")),
            Ok(FromArm::Failed { message }) => failed(message),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => failed(chain(&error)),
        };
        measured.arm.at = at;
        self.uploaded.0 += (task.objects * task.spec.jobs) as u64;
        self.uploaded.1 += measured.arm.bytes;
        if !has_ended {
            measured.arm.findings.push(invalid(
                "not-joined",
                "the process of the arm did not end well",
                "a thread was left behind; this is a defect of s3haul",
            ));
        }
        if measured.result.is_some() && !task.sends_nothing {
            measured.arm.findings.extend(self.verify(task)?);
        }
        Ok(measured)
    }

    fn verify(&self, task: &Task<'_>) -> Result<Vec<Finding>> {
        let jobs = (0..task.spec.jobs).map(|job| task.spec.job_prefix(job));
        let threshold = task.spec.config.transfer.multipart_threshold.bytes();
        self.bucket
            .verify(&task.spec.prefix, jobs, task.entries, threshold)
    }

    fn arm(
        &self,
        task: &Task<'_>,
        result: &ArmResult,
        (before, after): (&Books, &Books),
        relay: Option<&RelayCounters>,
    ) -> Arm {
        let jobs: Vec<JobFacts> = result.jobs.iter().map(|job| job_facts(job, task)).collect();
        let arm = in_itself(result, &jobs, task.objects);
        let facts = ArmFacts {
            least_makespan: task.least_makespan,
            connections_at_relay: relay.map(|relay| relay.connections),
            bytes_at_relay: relay.map(|relay| relay.bytes_up),
            bytes: arm.bytes,
            expects_errors: task.expects_errors,
            sends_nothing: task.sends_nothing,
            is_debug: result.is_debug,
            debug_is_allowed: self.plan.allows_debug,
            disk_in_use: self.server.share_of_disk_in_use(),
        };
        Arm {
            cpu: cpu(result, before, after),
            connections: relay.map_or(arm.connections, |relay| relay.connections),
            answers: relay.map_or(0, |relay| relay.answers),
            bytes_at_relay: relay.map_or(0, |relay| relay.bytes_up),
            findings: arm_findings(task.cell, &jobs, &facts),
            ..arm
        }
    }
}

/// What an arm says of itself.
fn in_itself(result: &ArmResult, jobs: &[JobFacts], objects: usize) -> Arm {
    let summaries = || result.jobs.iter().map(|job| &job.summary);
    let sum = |of: fn(&RunSummary) -> f64| summaries().map(of).sum::<f64>();
    let most = |of: fn(&RunSummary) -> u64| summaries().map(of).max().unwrap_or(0);
    let makespans: Vec<f64> = jobs.iter().map(|job| job.makespan).collect();
    let worked: f64 = makespans.iter().sum();
    let first = result.jobs.first();
    Arm {
        seconds_per_object: worked / (objects * jobs.len()).max(1) as f64,
        first_done: first.map_or(0.0, |job| job.recorded.first_done),
        walk_over: first.and_then(|job| job.recorded.walk_over).unwrap_or(0.0),
        connecting: sum(|summary| summary.phases.connect.as_secs_f64()),
        starting_processes: sum(|summary| summary.phases.start_processes.as_secs_f64()),
        all_begun: first.map_or(0.0, |job| job.summary.phases.last_begun.as_secs_f64()),
        peak_rss_bytes: result.peak_rss_bytes,
        threads_peak: most(|summary| summary.workers.threads_started as u64 + 1),
        connections: summaries().map(|summary| summary.connections).sum(),
        bytes: summaries().map(|summary| summary.totals.bytes_done).sum(),
        switches_voluntary: result.switches_voluntary,
        switches_involuntary: result.switches_involuntary,
        mean_in_flight: jobs.iter().map(|job| job.busy).sum::<f64>() / worked.max(f64::MIN_POSITIVE),
        peak_in_flight: most(|summary| summary.workers.peak_in_flight as u64) as usize,
        peak_held_bytes: most(|summary| summary.peak_held_bytes),
        queue_peak: most(|summary| summary.queue.peak_items as u64) as usize,
        feeder_blocked: sum(|summary| summary.queue.feeder_blocked.as_secs_f64()),
        workers: jobs.iter().map(|job| job.workers).max().unwrap_or(0),
        workers_busy: most(|summary| summary.workers.workers_pulling as u64) as usize,
        longest_service: jobs.iter().map(|job| job.longest_service).fold(0.0, f64::max),
        retries: jobs.iter().map(|job| job.retries).sum(),
        throughput: first.map_or_else(Vec::new, |job| job.recorded.throughput.clone()),
        makespans,
        ..Arm::default()
    }
}

fn failed(message: String) -> Measured {
    let fix = "upload the same files with s3haul cp -v and look at what fails";
    Measured {
        arm: Arm {
            findings: vec![invalid("arm-failed", message, fix)],
            ..Arm::default()
        },
        result: None,
        relay: None,
    }
}

fn job_facts(job: &JobResult, task: &Task<'_>) -> JobFacts {
    let summary = &job.summary;
    let workers = &summary.workers;
    JobFacts {
        expected: task.objects as u64,
        done: summary.totals.done,
        retries: summary.totals.retries,
        has_finished: summary.ending == Ending::Finished,
        makespan: summary.phases.work.as_secs_f64(),
        longest_service: job.recorded.longest_service,
        busy: workers.busy_seconds,
        threads_started: workers.threads_started,
        threads_joined: workers.threads_joined,
        threads_polling: workers.threads_polling,
        processes: workers.children.len(),
        processes_ended_well: workers
            .children
            .iter()
            .filter(|child| child.exited_cleanly)
            .count(),
        workers: workers.workers_begun,
        allowed: summary.concurrency,
        connections: summary.connections,
        event_loops: task.cell.event_loops.unwrap_or_else(super::host::cores),
    }
}

fn cpu(result: &ArmResult, before: &Books, after: &Books) -> Cpu {
    let since = |before: Option<f64>, after: Option<f64>| match (before, after) {
        (Some(before), Some(after)) => (after - before).max(0.0),
        _ => 0.0,
    };
    let (server, relay) = (
        since(before.server, after.server),
        since(before.relay, after.relay),
    );
    let busy = after.machine.busy - before.machine.busy;
    let ours = result.user_seconds + result.system_seconds + server + relay;
    Cpu {
        client_user: result.user_seconds,
        client_system: result.system_seconds,
        server,
        relay,
        other: (busy - ours).max(0.0),
        idle: after.machine.idle - before.machine.idle,
        steal: after.machine.steal - before.machine.steal,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Sink;
    use std::path::PathBuf;
    use std::time::Instant;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::bench::recorder::Recorder;
    use crate::config::{Attention, Config, FixedCredentials, Secret, StrategyKind, VerifyMode};
    use crate::pipeline::{UploadRequest, upload_by};
    use crate::server::{DiscardConfig, DiscardServer};
    use crate::strategy::{Strategy, Unjoined, build};

    const FILES: usize = 8;

    /// A job with a thread for each file, by this strategy, on a server that takes 50 ms for a request.
    fn job_by(strategy_of: impl FnOnce(StrategyKind) -> Box<dyn Strategy>) -> (JobResult, UploadRequest) {
        let slow = DiscardConfig {
            latency: Duration::from_millis(50),
            threads: 1,
            ..DiscardConfig::default()
        };
        let server = DiscardServer::start(&slow).expect("a port");
        let files = tempfile::tempdir().expect("a directory");
        for number in 0..FILES {
            std::fs::write(files.path().join(number.to_string()), "content").expect("room");
        }
        let mut config = Config::default();
        config.run.strategy = Some(StrategyKind::ThreadPerFile);
        config.transfer.verify = VerifyMode::None;
        config.transfer.attention = Attention::Requests;
        config.store.endpoint_url = Some(server.endpoint_url());
        config.store.credentials = Some(FixedCredentials {
            access_key: "any".into(),
            secret_key: Secret::new("any"),
        });
        let request = UploadRequest::new(files.path(), "s3://bucket/".parse().expect("a target"), config);
        let mut recorder = Recorder::new(Instant::now(), None::<&mut Sink>, "", 0);
        let summary =
            upload_by(strategy_of, &request, &CancellationToken::new(), &mut recorder).expect("it begins");
        let recorded = recorder.finish();
        server.shutdown();
        (JobResult { summary, recorded }, request)
    }

    fn refusals(strategy_of: impl FnOnce(StrategyKind) -> Box<dyn Strategy>) -> Vec<(String, String)> {
        let (job, request) = job_by(strategy_of);
        let cell = Cell::new(StrategyKind::ThreadPerFile, FILES);
        let task = Task {
            cell: &cell,
            spec: ArmSpec {
                bucket: request.target.bucket.clone(),
                prefix: String::new(),
                root: PathBuf::new(),
                list: None,
                jobs: 1,
                config: request.config,
                objects_csv: None,
                csv_fields: String::new(),
            },
            entries: &[],
            objects: FILES,
            least_makespan: 0.0,
            expects_errors: false,
            sends_nothing: false,
        };
        let findings = arm_findings(&cell, &[job_facts(&job, &task)], &ArmFacts::default());
        findings
            .into_iter()
            .map(|finding| (finding.code, finding.reason))
            .collect()
    }

    #[test]
    fn threads_that_nobody_waits_for_are_refused() {
        assert_eq!(
            refusals(build),
            [],
            "with threads that are joined nothing is wrong"
        );
        let refused = refusals(|_| Box::new(Unjoined));
        let codes: Vec<&str> = refused.iter().map(|(code, _)| code.as_str()).collect();
        // How many of them have begun by then is a matter of luck.
        assert_eq!(codes[..2], ["not-joined", "faster-than-possible"]);
        assert!(
            refused[1].1.contains("less than one request takes"),
            "{refused:?}"
        );
    }
}
