//! What a comparison came to, as data: every number that a table or page shows is here or follows from what is here.
//!
//! Written as JSON; the schema is `docs/bench-report.schema.json`. Times are seconds, sizes are bytes.

mod cells;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::profile::Profile;
use super::stats::{Interval, Ratio};
use crate::server::{RelayCounters, Shape};

pub use cells::{
    Arm, CellResult, Cpu, Figures, Finding, Lane, Lanes, Latencies, Modelled, Percentiles, Role, Severity,
    Span, Verdict,
};

/// Version of this structure.
pub const VERSION: u32 = 1;
/// What a report calls itself.
pub const SCHEMA: &str = "s3haul-bench";

/// One run of the bench.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`VERSION`].
    pub v: u32,
    /// Version of the program.
    pub s3haul: String,
    /// `release` or `debug`.
    pub build: String,
    /// RFC 3339.
    pub started_at: String,
    /// Of the whole run, with everything around the measurements.
    pub elapsed: f64,
    /// What all random choices follow from.
    pub seed: u64,
    /// Blocks that were planned.
    pub blocks: usize,
    /// Too few blocks for verdicts: it shows directions only.
    pub quick: bool,
    /// It was stopped before its end: what was measured until then.
    pub partial: bool,
    /// The preset that it ran, if one was asked for.
    pub preset: Option<String>,
    /// The machine.
    pub host: Host,
    /// The server.
    pub server: ServerInfo,
    /// What is the same in all cells.
    pub held: Held,
    /// One for each workload and profile.
    pub groups: Vec<Group>,
}

/// The machine that everything ran on.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Host {
    /// Model of the processor.
    pub cpu: String,
    /// Cores that the program may use.
    pub cores: usize,
    /// Memory.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// It ran on battery; none where nobody knows.
    pub on_battery: Option<bool>,
    /// Runnable processes over the last minute when it began.
    pub load: f64,
}

/// The server that was uploaded to.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ServerInfo {
    /// `embedded`, `minio` or `endpoint`.
    pub kind: String,
    /// What it says of itself: name and version, where it says so.
    pub software: String,
    /// Its address.
    pub endpoint: String,
    /// Where its data are: `memory`, `disk` or `unknown`.
    pub data_on: String,
    /// Its CPU time could be read: it runs on this machine and we may see it.
    pub cpu_is_known: bool,
}

/// What is the same in all cells of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Held {
    /// Checksum sent with each object.
    pub checksum: String,
    /// Tries after the first.
    pub retries: u32,
    /// Budget for content held at once.
    pub memory_bytes: u64,
}

/// One workload over one profile: cells that may be compared with each other.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Group {
    /// What was uploaded.
    pub workload: WorkloadInfo,
    /// The way to the server.
    pub profile: ProfileInfo,
    /// The server; that of the report but for workloads that need one of their own.
    pub server: ServerInfo,
    /// One object at a time, before everything else; none where nothing is sent.
    pub pilot: Option<Pilot>,
    /// What the baseline does without a server; none where nothing is sent, and in quick runs.
    pub ceilings: Option<Ceilings>,
    /// What the baseline compared with itself shows; none before two blocks are done.
    pub noise: Option<Noise>,
    /// Blocks in which others used the machine.
    pub disturbed_blocks: Vec<Disturbed>,
    /// Those blocks do not count. When they are more than a quarter they do, and nothing is believed.
    pub excludes_disturbed: bool,
    /// The cells; the first is the baseline, the second is the baseline again.
    pub cells: Vec<CellResult>,
    /// The experiment of an old article that it repeats, if it does.
    pub article: Option<ArticleRow>,
}

/// An experiment of an old article, and what it published.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ArticleRow {
    /// Its number: `A1` to `E2`.
    pub id: String,
    /// What it does, in one line.
    pub title: String,
    /// What was published.
    pub published: Vec<Published>,
    /// Why our figures are not those.
    pub why: String,
}

/// One published figure, and which of ours stands beside it.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Published {
    /// What was timed, in the article's words.
    pub what: String,
    /// What it took; none where only a chart was shown.
    pub seconds: Option<f64>,
    /// Label of our cell.
    pub cell: String,
    /// Which of its figures.
    pub measure: Measure,
}

/// A figure that stands beside a published one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Until everything was done.
    #[default]
    Makespan,
    /// Until the last worker had begun: what is timed when nobody waits for the end.
    AllBegun,
    /// Until all worker processes were there.
    StartProcesses,
}

/// What was uploaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct WorkloadInfo {
    /// Name as typed.
    pub name: String,
    /// What it is, in one line.
    pub description: String,
    /// SHA-256 over paths, sizes and contents, in hex: equal for equal workloads.
    pub id: String,
    /// Files.
    pub objects: usize,
    /// Bytes.
    pub bytes: u64,
    /// Smallest file.
    pub smallest: u64,
    /// Largest file.
    pub largest: u64,
    /// Size of a part.
    pub part_size_bytes: u64,
    /// Larger files go in parts.
    pub multipart_threshold_bytes: u64,
    /// Rounds of SHA-256 over each body on top of the upload.
    pub extra_rounds: u32,
    /// Nothing is sent: bodies are read, summed and dropped.
    pub sends_nothing: bool,
    /// The server answers some requests with 503 on purpose.
    pub expects_errors: bool,
}

/// The way to the server.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ProfileInfo {
    /// Which.
    pub name: Profile,
    /// As it was asked for; none without a relay.
    pub shape: Option<Shape>,
    /// As it came out in the pilot, which is what the model takes; none without a relay.
    pub achieved: Option<RelayCounters>,
    /// What the relay itself adds to a request when nothing else goes on, on top of the shape; none without a relay.
    pub relay_adds: Option<Interval>,
}

/// One object at a time: what the model starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Pilot {
    /// Objects that were uploaded.
    pub objects: usize,
    /// Time for one.
    pub seconds_per_object: f64,
    /// CPU time of client, server and relay for one.
    pub cpu_per_object: f64,
}

/// Objects a second of the baseline without a server: what comes close to them cannot be told apart. None when it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Ceilings {
    /// Files are read and summed, and nothing is sent.
    pub nowhere: Option<f64>,
    /// Requests go over loopback to a sink that throws them away, without a relay.
    pub discarded: Option<f64>,
}

/// What identical cells differ by.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Noise {
    /// Ratios between this and its inverse mean nothing.
    pub factor: f64,
    /// The ratio of the baseline to itself.
    pub ratio: Ratio,
}

/// A block in which others used the machine.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Disturbed {
    /// Its number, from 1.
    pub block: usize,
    /// How.
    pub reason: String,
}

/// The JSON schema of a report, as it is kept in `docs/bench-report.schema.json`.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Report);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema serialises");
    text.push('\n');
    text
}

impl Group {
    /// Our figure beside a published one; both ends of its interval are the figure where it has none. None when it was not
    /// measured, or is invalid.
    pub fn beside(&self, published: &Published) -> Option<Interval> {
        let cell = self.cells.iter().find(|cell| cell.label == published.cell)?;
        if matches!(cell.verdict, Verdict::Invalid { .. }) {
            return None;
        }
        let figures = cell.figures.as_ref()?;
        Some(match published.measure {
            Measure::Makespan => figures.makespan,
            Measure::AllBegun => Interval::exactly(figures.all_begun),
            Measure::StartProcesses => Interval::exactly(figures.starting_processes),
        })
    }

    /// The blocks that do not count.
    pub fn excluded_blocks(&self) -> &[Disturbed] {
        if self.excludes_disturbed {
            &self.disturbed_blocks
        } else {
            &[]
        }
    }
}

impl Report {
    /// All findings of the most severe kind that keep a ratio from being given.
    pub fn is_invalid(&self) -> bool {
        let cells = self.groups.iter().flat_map(|group| &group.cells);
        cells
            .into_iter()
            .any(|cell| matches!(cell.verdict, Verdict::Invalid { .. }))
    }
}
