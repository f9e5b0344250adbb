//! What a run comes to: totals, failures, figures. Folded from events by one collector; printed by `cli`.

mod collect;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ClientMode, StrategyKind};
use crate::event::{FileRecord, SkipReason, seconds};
use crate::queue::Pressure;
use crate::strategy::WorkersSummary;
use crate::timing::RequestTimes;

pub use collect::Collector;

/// Failed records that a summary keeps whole; beyond that they are only counted.
pub const KEPT_FAILURES: usize = 10_000;
/// Encoded names that a summary keeps.
pub const KEPT_ENCODED: usize = 1_000;

/// Counts of files and bytes. `discovered = done + unchanged + skipped + failed + cancelled` when a run has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Files and entries found.
    pub discovered: u64,
    /// In the bucket, proven.
    pub done: u64,
    /// In the bucket already, by a look at their content or at what the object carries.
    #[serde(default)]
    pub unchanged: u64,
    /// Would be sent, if the run sent anything.
    #[serde(default)]
    pub planned: u64,
    /// Left out on purpose.
    pub skipped: u64,
    /// Not in the bucket.
    pub failed: u64,
    /// Not tried, or stopped on the way.
    pub cancelled: u64,
    /// Bytes of the files that are done.
    pub bytes_done: u64,
    /// Bytes of the files that would be sent.
    #[serde(default)]
    pub bytes_planned: u64,
    /// Bytes of all files found.
    pub bytes_discovered: u64,
    /// Names whose keys are encodings.
    pub encoded: u64,
    /// Of those that are done: together with others, in archives.
    pub batched: u64,
    /// Requests that were tried again.
    pub retries: u64,
}

/// Time from a worker's taking a file to its outcome, over the files that are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceTime {
    /// Half of the files took at most this long.
    #[serde(with = "seconds")]
    pub p50: Duration,
    /// 95 of 100.
    #[serde(with = "seconds")]
    pub p95: Duration,
    /// 99 of 100.
    #[serde(with = "seconds")]
    pub p99: Duration,
    /// The slowest.
    #[serde(with = "seconds")]
    pub max: Duration,
}

/// Where the time of a run went, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// Until server, credentials and bucket were known to be good.
    #[serde(with = "seconds")]
    pub connect: Duration,
    /// Starting worker processes; zero without any.
    #[serde(with = "seconds")]
    pub start_processes: Duration,
    /// From the moment at which workers could begin until all of them had ended.
    #[serde(with = "seconds")]
    pub work: Duration,
    /// Of that: until the last worker had begun.
    #[serde(with = "seconds")]
    pub last_begun: Duration,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Everything that was found has its outcome.
    Finished,
    /// Stopped from outside.
    Cancelled,
    /// Its time was up before everything was done.
    OutOfTime,
    /// Stopped because nothing could be uploaded any more.
    Fatal {
        /// What it died of.
        cause: crate::transfer::FatalCause,
    },
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Version of this structure.
    pub v: u32,
    /// Strategy that ran.
    pub strategy: StrategyKind,
    /// Client mode that ran.
    pub client: ClientMode,
    /// Requests in flight that were allowed.
    pub concurrency: usize,
    /// Where the objects went, as `s3://bucket/prefix`.
    pub target: String,
    /// Server address.
    pub endpoint: String,
    /// RFC 3339.
    pub started_at: String,
    /// Makespan: from the first look at the sources to the last outcome.
    #[serde(with = "seconds")]
    pub elapsed: Duration,
    /// Where that time went.
    #[serde(default)]
    pub phases: Phases,
    /// Counts.
    pub totals: Totals,
    /// Skipped entries by reason.
    pub skipped_by_reason: BTreeMap<SkipReason, u64>,
    /// Service times.
    pub service_time: ServiceTime,
    /// Whether feeder or workers had to wait for each other.
    #[serde(default)]
    pub queue: Pressure,
    /// Most bytes of content that were held at one time, by all processes of the run.
    #[serde(default)]
    pub peak_held_bytes: u64,
    /// What requests waited for; none when nobody wanted to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_times: Option<RequestTimes>,
    /// Connections that were established.
    pub connections: u64,
    /// User and system time of this process and its children, in seconds.
    pub cpu_seconds: f64,
    /// Highest resident memory of this process, in bytes.
    pub peak_rss_bytes: u64,
    /// What can be proven about the workers.
    pub workers: WorkersSummary,
    /// How it ended.
    pub ending: Ending,
    /// Failed records, at most [`KEPT_FAILURES`].
    pub failures: Vec<FileRecord>,
    /// Encoded names, at most [`KEPT_ENCODED`]: pairs of path and key.
    pub encoded: Vec<(String, String)>,
}
