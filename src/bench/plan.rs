//! What is to be compared, and how; how long it will take; what is refused before anything is started.

use std::path::PathBuf;
use std::time::Duration;

use super::cell::Cell;
use super::profile::Profile;
use super::report::ArticleRow;
use super::runner::in_flight;
use super::servers::ServerChoice;
use super::workload::WorkloadSpec;
use crate::config::{Config, StrategyKind};
use crate::error::{Error, ErrorKind, Result};

/// Blocks of a run whose verdicts count; of one that shows directions only.
pub const DEFAULT_BLOCKS: usize = 12;
/// See [`DEFAULT_BLOCKS`].
pub const QUICK_BLOCKS: usize = 5;

/// Jobs are repeated until an arm takes at least this long, in seconds, so that one a little faster is still long enough.
pub(super) const ARM_SECONDS: f64 = 1.2;
/// Jobs that would take longer than the first are made of fewer files, so that they take about the second, in seconds.
const JOB_SECONDS: (f64, f64) = (2.2, 1.25);
/// The same for a quick run.
const QUICK_JOB_SECONDS: (f64, f64) = (0.7, 0.4);

// What an estimate goes by, before anything is measured: seconds and bytes on one slow core.
const OBJECT_SECONDS: f64 = 0.001;
const BYTES_A_SECOND: f64 = 400e6;
const HASHED_A_SECOND: f64 = 1.5e9;
const MADE_A_SECOND: f64 = 200e6;
const AROUND_AN_ARM: f64 = 0.35;

/// Cells that are compared over one workload and one profile.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupPlan {
    /// What is uploaded.
    pub workload: WorkloadSpec,
    /// The way to the server.
    pub profile: Profile,
    /// The first one is the baseline.
    pub cells: Vec<Cell>,
    /// The experiment that it repeats.
    pub article: Option<ArticleRow>,
    /// Blocks, where it takes fewer than others: what it shows is no ratio.
    pub most_blocks: Option<usize>,
}

impl GroupPlan {
    /// Cells over a workload and a profile.
    pub fn new(workload: WorkloadSpec, profile: Profile, cells: Vec<Cell>) -> Self {
        Self {
            workload,
            profile,
            cells,
            article: None,
            most_blocks: None,
        }
    }

    /// Blocks of a run that has `blocks`.
    pub(super) fn blocks(&self, blocks: usize) -> usize {
        self.most_blocks.map_or(blocks, |most| most.min(blocks))
    }
}

/// What is to be compared, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Workloads, profiles, cells.
    pub groups: Vec<GroupPlan>,
    /// The server.
    pub server: ServerChoice,
    /// Bucket; made if it is missing.
    pub bucket: String,
    /// Blocks of each group.
    pub blocks: usize,
    /// Too few blocks for verdicts, and short arms.
    pub quick: bool,
    /// What all random choices follow from.
    pub seed: u64,
    /// The run is refused when it would take longer.
    pub max_time: Option<Duration>,
    /// Where temporary files go; none for memory where there is room.
    pub work_dir: Option<PathBuf>,
    /// This program, as arms, relay and server.
    pub program: PathBuf,
    /// Objects stay in the bucket.
    pub keep: bool,
    /// Where a line for each object goes.
    pub objects_csv: Option<PathBuf>,
    /// A debug build is not refused; nothing that it measures is believed.
    pub allows_debug: bool,
    /// The preset that this is.
    pub preset: Option<String>,
}

/// What a run will take, as far as can be said before it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Arms, with those that do not count.
    pub arms: usize,
    /// Of everything.
    pub time: Duration,
}

impl Plan {
    /// What it will take.
    pub fn estimate(&self) -> Estimate {
        let (mut arms, mut seconds) = (0, 0.0);
        for group in &self.groups {
            // The warm block does not count and takes as long as the others; the baseline stands in each twice.
            let rounds = group.blocks(self.blocks) + 1;
            let cells = group.cells.iter().chain(group.cells.first());
            let of_block: f64 = cells.map(|cell| self.arm_seconds(group, cell)).sum();
            arms += rounds * (group.cells.len() + 1);
            seconds += rounds as f64 * of_block + group.workload.bytes_to_make() as f64 / MADE_A_SECOND + 3.0;
        }
        Estimate {
            arms,
            time: Duration::from_secs_f64(seconds),
        }
    }

    /// The longest job that is not cut, and what one that is cut is made to take, in seconds.
    pub(super) fn job_seconds(&self) -> (f64, f64) {
        if self.quick {
            QUICK_JOB_SECONDS
        } else {
            JOB_SECONDS
        }
    }

    /// Seconds that an arm of `cell` takes, with what is around it.
    fn arm_seconds(&self, group: &GroupPlan, cell: &Cell) -> f64 {
        let workload = &group.workload;
        let (objects, bytes) = workload.extent();
        let shape = group.profile.shape().unwrap_or_default();
        let mean = bytes as f64 / objects.max(1) as f64;
        let rate = |rate: Option<f64>| rate.unwrap_or(f64::INFINITY);
        let service = OBJECT_SECONDS
            + shape.latency * cell.round_trips()
            + mean / rate(shape.per_connection).min(BYTES_A_SECOND)
            + mean * f64::from(workload.extra_rounds) / HASHED_A_SECOND;
        let in_flight = in_flight(cell, objects) as f64;
        let whole = (objects as f64 * service / in_flight).max(bytes as f64 / rate(shape.link));
        let least = if self.quick { 0.0 } else { ARM_SECONDS };
        let (longest, share) = self.job_seconds();
        let job = match whole {
            whole if workload.is_whole || whole <= longest => whole,
            // A selection has a few objects at least, however long these take.
            whole => whole.min(share.max(8.0 * service / in_flight)),
        };
        let processes = cell.processes.unwrap_or(in_flight as usize) as f64;
        let starting = match cell.strategy() {
            StrategyKind::Processes | StrategyKind::Hybrid => 0.02 * processes,
            _ => 0.0,
        };
        job.max(least) + AROUND_AN_ARM + starting + 2.0 * shape.connect
    }

    /// Bytes that a server of our own holds at most: two blocks, until it is emptied.
    pub(super) fn server_room(&self) -> u64 {
        let of_group = |group: &GroupPlan| match group.workload.sends_nothing {
            true => 0,
            false => group.workload.extent().1 * (group.cells.len() as u64 + 1) * 2,
        };
        self.groups.iter().map(of_group).max().unwrap_or(0)
    }

    /// Bytes that the files of all workloads take.
    pub(super) fn files_room(&self) -> u64 {
        let mut made: Vec<&WorkloadSpec> = Vec::new();
        for group in &self.groups {
            if !made.contains(&&group.workload) {
                made.push(&group.workload);
            }
        }
        made.iter().map(|workload| workload.bytes_to_make()).sum()
    }

    /// Refuses what cannot be done, before anything is started.
    ///
    /// # Errors
    /// Cells that cannot exist, a time that does not suffice, a debug build, a server that cannot do it.
    pub fn validate(&self) -> Result<()> {
        let usage = |message: String| Error::new(ErrorKind::Usage, message);
        if cfg!(debug_assertions) && !self.allows_debug {
            return Err(
                usage("this is a debug build: what it measures says nothing".to_owned())
                    .with_hint("build it with cargo build --release"),
            );
        }
        if self.groups.is_empty() || self.groups.iter().any(|group| group.cells.is_empty()) {
            return Err(usage("there is nothing to compare".to_owned()));
        }
        for cell in self.groups.iter().flat_map(|group| &group.cells) {
            if let Some(why) = cell.impossible() {
                return Err(usage(format!("'{}' cannot exist: {why}", cell.label())));
            }
        }
        if self.blocks == 0 {
            return Err(usage("no block is no comparison".to_owned()).with_hint("use --blocks 12"));
        }
        for cell in self.groups.iter().flat_map(|group| &group.cells) {
            let run = cell.run_settings();
            let config = Config {
                run,
                ..Config::default()
            };
            config.validate()?;
        }
        self.ensure_relay()?;
        let given = matches!(&self.server, ServerChoice::Endpoint(_));
        if given && self.groups.iter().any(|group| group.workload.expects_errors) {
            return Err(
                usage("workload 'errors' needs a server that makes errors on purpose".to_owned())
                    .with_hint("use --endpoint-url embedded, or leave it out"),
            );
        }
        self.ensure_time()
    }

    /// A relay stands before plain HTTP only.
    fn ensure_relay(&self) -> Result<()> {
        let ServerChoice::Endpoint(settings) = &self.server else {
            return Ok(());
        };
        let is_plain = settings
            .endpoint_url
            .as_deref()
            .is_some_and(|url| url.starts_with("http://"));
        match self.groups.iter().find(|group| group.profile.shape().is_some()) {
            Some(group) if !is_plain => Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "profile '{}' needs a server that speaks plain HTTP",
                    group.profile
                ),
            )
            .with_hint("the relay cannot stand before TLS: use --profile raw, or an http:// endpoint")),
            _ => Ok(()),
        }
    }

    fn ensure_time(&self) -> Result<()> {
        let (Some(most), estimate) = (self.max_time, self.estimate()) else {
            return Ok(());
        };
        if estimate.time <= most {
            return Ok(());
        }
        let fits = (1..self.blocks).rev().find(|blocks| {
            let fewer = Self {
                blocks: *blocks,
                ..self.clone()
            };
            fewer.estimate().time <= most
        });
        let hint = match fits {
            Some(blocks) => {
                format!("--blocks {blocks} would fit, or fewer strategies, profiles or workloads")
            }
            None => "not even one block fits: compare fewer strategies, profiles or workloads".to_owned(),
        };
        Err(Error::new(
            ErrorKind::Usage,
            format!(
                "{} arms take about {} and --max-time is {}",
                estimate.arms,
                crate::units::spoken(estimate.time),
                crate::units::spoken(most)
            ),
        )
        .with_hint(hint))
    }
}
