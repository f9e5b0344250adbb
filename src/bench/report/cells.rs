//! What a comparison says of one cell: its arms, figures, latencies, lanes, and what may be said of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bench::cell::Cell;
use crate::bench::model::Term;
use crate::bench::stats::{Interval, Ratio};

/// What a cell is to the others of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// What the others are compared with.
    Baseline,
    /// The baseline once more: the difference is noise.
    Twin,
    /// One of the others.
    Candidate,
}

/// A cell, its arms and what follows from them.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct CellResult {
    /// What it is.
    pub cell: Cell,
    /// The same in few words.
    pub label: String,
    /// What it is to the others.
    pub role: Role,
    /// Files of one job: all of the workload, or an even selection of it where all would take too long.
    pub objects_per_job: usize,
    /// Bytes of one job.
    pub bytes_per_job: u64,
    /// Jobs in each arm, one after the other.
    pub jobs_per_arm: usize,
    /// Every arm that was measured, in the order of time.
    pub arms: Vec<Arm>,
    /// Middle values over the arms that count; none when there are none.
    pub figures: Option<Figures>,
    /// Time for one object divided by that of the baseline; none for the baseline itself, and where something is invalid.
    pub ratio: Option<Ratio>,
    /// What the model says; none where nothing is sent.
    pub model: Option<Modelled>,
    /// Latencies over all arms that count.
    pub latencies: Latencies,
    /// What may be said of it.
    pub verdict: Verdict,
    /// One arm more, not timed, looked at closely; none where none was.
    pub lanes: Option<Lanes>,
}

/// One arm: a fresh process that did its jobs, was joined and verified.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Arm {
    /// Number of its block, from 1.
    pub block: usize,
    /// Its place in the whole run, from 1.
    pub order: usize,
    /// When it began, after the begin of the run.
    pub at: f64,
    /// Makespan of each job: from the moment at which workers could begin until all had ended.
    pub makespans: Vec<f64>,
    /// Makespans divided by objects.
    pub seconds_per_object: f64,
    /// Until the first object was done, in the first job, after the first was taken up.
    pub first_done: f64,
    /// Until the walk was over, likewise.
    pub walk_over: f64,
    /// Resolving, connecting and looking at the bucket, before the clock; all jobs together.
    pub connecting: f64,
    /// Starting worker processes, before the clock; all jobs together.
    pub starting_processes: f64,
    /// Until the last worker had begun, in the first job.
    pub all_begun: f64,
    /// CPU time by whom.
    pub cpu: Cpu,
    /// Highest resident memory: of the process, and of its worker processes together with it.
    pub peak_rss_bytes: u64,
    /// Most threads at one time, in the process that uploads.
    pub threads_peak: u64,
    /// Connections opened.
    pub connections: u64,
    /// Answers that the relay saw; zero without a relay.
    pub answers: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// Bytes that the relay saw on their way to the server; zero without a relay.
    pub bytes_at_relay: u64,
    /// Context switches: the process waited.
    pub switches_voluntary: u64,
    /// Context switches: others were let through.
    pub switches_involuntary: u64,
    /// Sum of all service times divided by the makespan: requests in flight on average (Little's law).
    pub mean_in_flight: f64,
    /// Most tasks in hand at once.
    pub peak_in_flight: usize,
    /// Most bytes of content that were held at one time.
    pub peak_held_bytes: u64,
    /// Most tasks that waited in the queue at one time.
    pub queue_peak: usize,
    /// Time that the walk waited for room in the queue, all jobs together: workers are the limit, not the walk.
    pub feeder_blocked: f64,
    /// Workers that had begun.
    pub workers: usize,
    /// Workers that took at least one task.
    pub workers_busy: usize,
    /// Longest time of one object.
    pub longest_service: f64,
    /// Tries after the first.
    pub retries: u64,
    /// Objects done in each tenth of a second of the first job.
    pub throughput: Vec<u32>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// CPU time of an arm, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Cpu {
    /// The process that uploads and its worker processes, in user mode.
    pub client_user: f64,
    /// The same in the kernel.
    pub client_system: f64,
    /// The server; zero when it cannot be seen.
    pub server: f64,
    /// The relay.
    pub relay: f64,
    /// Everything else on the machine.
    pub other: f64,
    /// Nobody.
    pub idle: f64,
    /// Taken by other machines on the same host.
    pub steal: f64,
}

/// Middle values over arms.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Figures {
    /// Arms that count.
    pub arms: usize,
    /// Time of one job.
    pub makespan: Interval,
    /// Time for one object.
    pub seconds_per_object: f64,
    /// Objects a second.
    pub objects_per_second: f64,
    /// Bytes a second.
    pub bytes_per_second: f64,
    /// CPU time of the client for one object.
    pub client_cpu_per_object: f64,
    /// CPU time of the client for 1 GiB.
    pub client_cpu_per_gib: f64,
    /// Highest resident memory.
    pub peak_rss_bytes: u64,
    /// Connections of one job.
    pub connections: f64,
    /// Until the last worker had begun.
    pub all_begun: f64,
    /// Starting worker processes, for one job.
    pub starting_processes: f64,
    /// Requests in flight on average.
    pub mean_in_flight: f64,
    /// Workers that had begun.
    pub workers: usize,
    /// Context switches of one job, of both kinds.
    pub switches: f64,
    /// CPU time by whom, as shares of all that the machine has.
    pub cpu_shares: Cpu,
}

/// What the model says of a cell.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Modelled {
    /// Time of one job, at least.
    pub makespan: f64,
    /// Why it is not less.
    pub term: Term,
    /// Requests in flight from which on more do not help; none when nothing but waiting takes time.
    pub knee: Option<f64>,
    /// Bound divided by what was measured: 1 is perfect.
    pub reached: f64,
}

/// Latencies of a cell.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Latencies {
    /// From taking a task to its outcome.
    pub service: Percentiles,
    /// From finding a file to taking its task.
    pub queue_wait: Percentiles,
    /// Making a connection.
    pub connect: Percentiles,
    /// From the last byte that the transport took to the head of the answer. Not the server's time: what lies in
    /// buffers was taken, too.
    pub ack_wait: Percentiles,
}

/// A distribution, merged from all workers and arms.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Percentiles {
    /// Values that it is made of.
    pub count: u64,
    /// Middle.
    pub p50: Option<f64>,
    /// From 200 values on.
    pub p95: Option<f64>,
    /// From 1,000 values on.
    pub p99: Option<f64>,
    /// From 10,000 values on.
    pub p999: Option<f64>,
    /// Most.
    pub max: Option<f64>,
    /// Pairs of share and seconds, to draw it.
    pub curve: Vec<(f64, f64)>,
}

/// Something that is wrong, or looks so.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A name for programs.
    pub code: String,
    /// What, in one line.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// No verdict.
    Suspect,
    /// No ratio.
    Invalid,
}

/// What may be said of a cell.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// The others are compared with it.
    Baseline,
    /// It is the baseline again.
    Twin,
    /// It takes less time, beyond noise.
    Faster,
    /// It takes more time, beyond noise.
    Slower,
    /// The interval holds 1 or reaches into the noise.
    Inconclusive {
        /// Why, and what to do.
        because: String,
    },
    /// Too few blocks were asked for: the ratio shows a direction only.
    DirectionOnly,
    /// There is a ratio, and reasons not to trust it.
    Suspect {
        /// The reasons.
        findings: Vec<Finding>,
    },
    /// There is no ratio.
    Invalid {
        /// The reasons.
        findings: Vec<Finding>,
    },
}

/// What workers did, looked at closely.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Lanes {
    /// Length of the run that is shown.
    pub wall: f64,
    /// Workers that there were; at most 32 are shown.
    pub workers: usize,
    /// One for each worker.
    pub lanes: Vec<Lane>,
    /// The split into on CPU and waiting for a CPU is known.
    pub cpu_is_known: bool,
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Lane {
    /// Its number.
    pub worker: usize,
    /// Objects, in the order of time.
    pub spans: Vec<Span>,
}

/// One object in the hands of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Span {
    /// When it was taken, after the begin.
    pub begin: f64,
    /// How long it took.
    pub length: f64,
    /// Of that, on a CPU.
    pub on_cpu: f64,
    /// Of that, waiting for a CPU. The rest is waiting for input and output.
    pub waiting_for_cpu: f64,
}

impl Cpu {
    /// What the upload took: client, server and relay.
    pub fn ours(&self) -> f64 {
        self.client_user + self.client_system + self.server + self.relay
    }

    /// All that the machine had.
    pub fn all(&self) -> f64 {
        self.ours() + self.other + self.idle + self.steal
    }
}

impl CellResult {
    /// Objects a second, with its interval; none without figures.
    pub fn rate(&self) -> Option<Interval> {
        let figures = self.figures.as_ref()?;
        let objects = self.objects_per_job as f64;
        Some(Interval {
            estimate: figures.objects_per_second,
            low: objects / figures.makespan.high,
            high: objects / figures.makespan.low,
        })
    }
}
