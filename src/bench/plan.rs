//! What is to be compared, and how; how long it will take; what is refused before anything is started.

use std::path::PathBuf;
use std::time::Duration;

use super::cell::Cell;
use super::profile::Profile;
use super::report::ArticleRow;
use super::servers::ServerChoice;
use super::workload::WorkloadSpec;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// Blocks of a run whose verdicts count; of one that is published; of one that shows directions only.
pub const DEFAULT_BLOCKS: usize = 12;
/// See [`DEFAULT_BLOCKS`].
pub const PUBLISHED_BLOCKS: usize = 20;
/// See [`DEFAULT_BLOCKS`].
pub const QUICK_BLOCKS: usize = 5;

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
        let arm: f64 = if self.quick { 0.9 } else { 1.7 };
        let arms = |group: &GroupPlan| (group.cells.len() + 1) * (group.blocks(self.blocks) + 1) + 1;
        let seconds: f64 = self
            .groups
            .iter()
            .map(|group| {
                let making = group.workload.bytes_to_make() as f64 / 200e6;
                arms(group) as f64 * arm.max(self.least_arm(group)) + making + 2.0
            })
            .sum();
        Estimate {
            arms: self.groups.iter().map(arms).sum(),
            time: Duration::from_secs_f64(seconds),
        }
    }

    /// Seconds that an arm of `group` takes at least, where its jobs cannot be made shorter.
    fn least_arm(&self, group: &GroupPlan) -> f64 {
        let shape = group.profile.shape().unwrap_or_default();
        let bytes = group.workload.bytes_to_make() as f64;
        let rounds = f64::from(group.workload.extra_rounds);
        let whole = bytes * rounds / 2e9 + shape.link.map_or(0.0, |link| bytes / link);
        if group.workload.is_whole {
            whole
        } else {
            whole.min(3.0)
        }
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
