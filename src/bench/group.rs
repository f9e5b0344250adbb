//! One workload over one profile, measured: a pilot, a warm block that does not count, and then block by block.

use std::path::Path;
use std::time::Instant;

use super::blocks::{BASELINE, order};
use super::ceilings::ceilings;
use super::cell::Cell;
use super::figures::network;
use super::files::Workload;
use super::ground::Ground;
use super::host::machine_cores;
use super::judge::disturbance;
use super::lanes::lanes;
use super::measure::Measured;
use super::plan::{ARM_SECONDS, GroupPlan, Plan};
use super::report::{ArticleRow, Ceilings, Disturbed, Lanes, Pilot, Role, Severity};
use super::run::{Note, Watcher};
use super::runner::{Runner, in_flight};
use super::stage::{Destination, Stage, UNCOUNTED};
use super::stats::Interval;
use crate::config::{Attention, ClientMode, StrategyKind};
use crate::error::{Error, ErrorKind, Result};
use crate::server::RelayCounters;

/// Seconds of the pilot.
const PILOT_SECONDS: f64 = 0.8;
/// Most jobs of an arm.
const MOST_JOBS: usize = 400;

/// See the module.
pub(super) struct GroupRun<'a> {
    pub(super) stage: Stage<'a>,
    pub(super) article: Option<ArticleRow>,
    pub(super) pilot: Pilot,
    pub(super) achieved: Option<RelayCounters>,
    pub(super) relay_adds: Option<Interval>,
    pub(super) ceilings: Option<Ceilings>,
    pub(super) runners: Vec<Runner>,
    pub(super) disturbed: Vec<Disturbed>,
    /// Arms so far, in the whole run.
    order: usize,
    pub(super) is_on_battery: bool,
}

/// Places of a group in the whole run.
pub(super) struct Site<'a> {
    pub(super) lists: &'a Path,
    pub(super) prefix: String,
    pub(super) arms_before: usize,
    pub(super) is_on_battery: bool,
}

impl<'a> GroupRun<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        group: &'a GroupPlan,
        workload: &'a Workload,
        ground: Ground<'a>,
        site: Site<'a>,
    ) -> Self {
        let (cells, profile) = (&group.cells, group.profile);
        let twin = cells.first().map(|baseline| (baseline, Role::Twin));
        let mut all: Vec<(&Cell, Role)> = cells.iter().map(|cell| (cell, Role::Candidate)).collect();
        if let Some(first) = all.first_mut() {
            first.1 = Role::Baseline;
        }
        all.splice(1.min(all.len())..1.min(all.len()), twin);
        let runners = all
            .into_iter()
            .map(|(cell, role)| Runner::new(cell.clone(), role, workload.info.objects));
        Self {
            stage: Stage {
                plan,
                workload,
                profile,
                ground,
                lists: site.lists,
                prefix: site.prefix,
                network: network(profile.shape().as_ref(), None),
            },
            article: group.article.clone(),
            pilot: Pilot::default(),
            achieved: None,
            relay_adds: None,
            ceilings: None,
            runners: runners.collect(),
            disturbed: Vec::new(),
            order: site.arms_before,
            is_on_battery: site.is_on_battery,
        }
    }

    /// Measures everything. What was measured stays when it is stopped or fails: [`GroupRun::finish`] takes it.
    pub(super) fn measure(&mut self, blocks: usize, watcher: &mut dyn Watcher) -> Result<()> {
        self.pilot()?;
        self.relay_adds = self.stage.ground.toll()?;
        let is_thorough = !self.stage.plan.quick && !self.stage.workload.spec.sends_nothing;
        for number in 0..self.runners.len() {
            let seconds = self.predicted(&self.runners[number].cell);
            self.size(number, seconds)?;
        }
        // Not counted: files, caches and the server are as cold as they will never be again.
        for number in 0..self.runners.len() {
            let measured = self.arm(number, UNCOUNTED, watcher)?;
            if !measured.is_invalid() {
                self.size(number, measured.arm.seconds_per_object)?;
            }
        }
        self.make_twins_alike()?;
        self.stage.ground.tidy_up(&self.stage.prefix)?;
        if is_thorough {
            self.ceilings = Some(ceilings(&mut self.stage, &self.runners[BASELINE])?);
        }
        for block in 1..=blocks {
            self.block(block, watcher)?;
            self.stage.ground.tidy_up(&self.stage.prefix)?;
        }
        if is_thorough {
            self.look_closely()?;
        }
        Ok(())
    }

    fn block(&mut self, block: usize, watcher: &mut dyn Watcher) -> Result<()> {
        for number in order(self.stage.plan.seed, block, self.runners.len()) {
            let measured = self.arm(number, block, watcher)?;
            let runner = &mut self.runners[number];
            if let Some(result) = &measured.result {
                runner.measured.push((block, result.into()));
            }
            let has_failed = measured.result.is_none();
            runner.arms.push(measured.arm);
            if has_failed {
                self.ensure_server()?;
            }
        }
        let arms = self
            .runners
            .iter()
            .filter_map(|runner| runner.arms.iter().find(|arm| arm.block == block));
        if let Some(reason) = disturbance(
            &arms.collect::<Vec<_>>(),
            self.stage.ground.server.is_accounted_for(),
        ) {
            self.disturbed.push(Disturbed { block, reason });
        }
        Ok(())
    }

    /// One arm more of each cell, not timed, in which every task says what it waited for.
    fn look_closely(&mut self) -> Result<()> {
        for (number, runner) in self.runners.iter_mut().enumerate() {
            if runner.role == Role::Twin {
                continue;
            }
            let jobs = std::mem::replace(&mut runner.jobs, 1);
            let name = format!("lanes-{number:02}");
            let to = (name.as_str(), UNCOUNTED);
            let measured = self.stage.arm(runner, to, Attention::Tasks, &Destination::Server);
            runner.jobs = jobs;
            runner.lanes = lanes_of(&measured?);
        }
        Ok(())
    }

    /// A server that is gone ends the run: every arm after would only say so again.
    fn ensure_server(&self) -> Result<()> {
        let Some(address) = self.stage.ground.server.address else {
            return Ok(());
        };
        std::net::TcpStream::connect(address).map(drop).map_err(|error| {
            Error::new(ErrorKind::Unreachable, "the server is gone")
                .with_source(error)
                .with_hint("what was measured until then is in the report, marked partial")
        })
    }

    /// One object at a time, for the model and for the sizes of jobs.
    fn pilot(&mut self) -> Result<()> {
        let cell = Cell {
            engine: self.runners[BASELINE].cell.engine,
            ..Cell::new(StrategyKind::Sequential, 1)
        };
        let info = &self.stage.workload.info;
        let mean = info.bytes as f64 / info.objects as f64;
        let rounds = f64::from(info.extra_rounds);
        let guess = 0.001
            + self.stage.network.latency
            + mean
                / self
                    .stage
                    .network
                    .per_connection
                    .min(self.stage.network.link)
                    .min(500e6)
            + mean * rounds / 1e9;
        let objects = ((PILOT_SECONDS / guess) as usize)
            .clamp(4, 2_000)
            .min(info.objects);
        let mut runner = Runner::new(cell, Role::Candidate, info.objects);
        if !self.stage.workload.entries.is_empty() {
            self.stage.choose(&mut runner, objects, "pilot")?;
        }
        let to = ("pilot", UNCOUNTED);
        let measured = self
            .stage
            .arm(&runner, to, Attention::Requests, &Destination::Server)?;
        if measured.is_invalid() {
            let mut findings = measured.arm.findings.into_iter();
            let finding = findings.find(|finding| finding.severity == Severity::Invalid);
            let why = finding.map_or_else(String::new, |finding| finding.reason);
            return Err(Error::new(
                ErrorKind::Internal,
                format!("the first uploads of workload '{}' failed: {why}", info.name),
            )
            .with_hint("upload the same files with s3haul cp -v and look at what fails"));
        }
        self.pilot = Pilot {
            objects: runner.objects,
            seconds_per_object: measured.arm.seconds_per_object,
            cpu_per_object: measured.arm.cpu.ours() / runner.objects as f64,
        };
        self.achieved = measured.relay;
        self.stage.network = network(self.stage.profile.shape().as_ref(), self.achieved.as_ref());
        Ok(())
    }

    /// Seconds that `cell` will take for an object, as far as the pilot tells.
    fn predicted(&self, cell: &Cell) -> f64 {
        let in_flight = in_flight(cell, self.stage.workload.info.objects) as f64;
        let connect = if cell.client() == ClientMode::PerUpload {
            self.stage.network.connect
        } else {
            0.0
        };
        let service = self.pilot.seconds_per_object * cell.round_trips() + connect;
        (service / in_flight).max(self.pilot.cpu_per_object / machine_cores())
    }

    /// Makes jobs of cell `number` of a length that says something, when one object takes `seconds`.
    fn size(&mut self, number: usize, seconds: f64) -> Result<()> {
        let all = self.stage.workload.info.objects;
        let whole = seconds * all as f64;
        let (longest_job, share_seconds) = self.stage.plan.job_seconds();
        let in_flight = in_flight(&self.runners[number].cell, all);
        let of_baseline = self.runners[BASELINE].objects;
        let objects = if self.stage.workload.spec.is_whole
            || self.stage.workload.entries.is_empty()
            || whole <= longest_job
        {
            all
        } else {
            let few = ((share_seconds / seconds).ceil() as usize)
                .max(2 * in_flight)
                .max(8);
            if number != BASELINE && (few..=4 * few).contains(&(2 * of_baseline)) {
                // Its last round of requests is as full for one cell as for the other: a file more may be a per cent.
                of_baseline
            } else {
                self.stage.workload.even_selection(few)
            }
        };
        let job_seconds = (seconds * objects as f64).max(1e-6);
        let runner = &mut self.runners[number];
        runner.jobs = if self.stage.plan.quick {
            1
        } else {
            ((ARM_SECONDS / job_seconds).ceil() as usize).clamp(1, MOST_JOBS)
        };
        self.stage.choose(runner, objects, &number.to_string())
    }

    /// What is compared with itself has to be the same.
    fn make_twins_alike(&mut self) -> Result<()> {
        let (objects, jobs) = (self.runners[BASELINE].objects, self.runners[BASELINE].jobs);
        for (number, runner) in self.runners.iter_mut().enumerate() {
            if runner.role == Role::Twin {
                runner.jobs = jobs;
                self.stage.choose(runner, objects, &number.to_string())?;
            }
        }
        Ok(())
    }

    fn arm(&mut self, number: usize, block: usize, watcher: &mut dyn Watcher) -> Result<Measured> {
        let runner = &self.runners[number];
        watcher.notify(&Note::Arm {
            block,
            label: runner.cell.label(),
        });
        let began = Instant::now();
        let name = format!("{block:03}-{number:02}");
        let to = (name.as_str(), block);
        let mut measured = self
            .stage
            .arm(runner, to, Attention::Requests, &Destination::Server)?;
        if block != UNCOUNTED {
            self.order += 1;
            measured.arm.block = block;
            measured.arm.order = self.order;
        }
        watcher.notify(&Note::ArmDone {
            seconds: began.elapsed().as_secs_f64(),
        });
        Ok(measured)
    }

    /// Removes what was uploaded, where that is to be done.
    pub(super) fn clean(&self) -> Result<()> {
        self.stage.ground.clean(&self.stage.prefix)
    }

    /// Arms that were measured in the whole run so far.
    pub(super) fn arms_so_far(&self) -> usize {
        self.order
    }
}

/// What workers did in the first job of an arm that was looked at closely.
fn lanes_of(measured: &Measured) -> Option<Lanes> {
    let summary = &measured.result.as_ref()?.jobs.first()?.summary;
    lanes(&summary.workers.spans, summary.phases.work.as_secs_f64())
}
