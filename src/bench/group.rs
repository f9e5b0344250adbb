//! One workload over one profile, measured: a pilot, a warm block that does not count, and then block by block.

use std::path::Path;
use std::time::Instant;

use super::arm::ArmSpec;
use super::blocks::{BASELINE, order};
use super::cell::Cell;
use super::figures::{ModelJob, least_makespan, network};
use super::files::{Workload, write_list};
use super::ground::Ground;
use super::host::machine_cores;
use super::judge::disturbance;
use super::lanes::lanes;
use super::measure::{Measured, Task, arm_config};
use super::model::Network;
use super::plan::{GroupPlan, Plan};
use super::profile::Profile;
use super::recorder::quoted;
use super::report::{ArticleRow, Disturbed, Lanes, Pilot, Role};
use super::run::{Note, Watcher};
use super::runner::{Runner, in_flight, requests};
use crate::config::{Attention, ClientMode, StrategyKind};
use crate::error::{Error, ErrorKind, Result};
use crate::server::RelayCounters;

/// Jobs are repeated until an arm takes at least this long, in seconds, so that one a little faster is still long enough.
const ARM_SECONDS: f64 = 1.15;
/// Jobs that would take longer are made of fewer files.
const LONGEST_JOB: f64 = 2.2;
/// What such a job is made to take.
const SHARE_SECONDS: f64 = 1.25;
/// Seconds of the pilot.
const PILOT_SECONDS: f64 = 0.8;
/// Most jobs of an arm.
const MOST_JOBS: usize = 400;

/// See the module.
pub(super) struct GroupRun<'a> {
    pub(super) plan: &'a Plan,
    pub(super) article: Option<ArticleRow>,
    pub(super) workload: &'a Workload,
    pub(super) profile: Profile,
    pub(super) ground: Ground<'a>,
    /// Directory for lists of files.
    pub(super) lists: &'a Path,
    /// Where all objects of this run go.
    pub(super) prefix: String,
    pub(super) pilot: Pilot,
    pub(super) network: Network,
    pub(super) achieved: Option<RelayCounters>,
    pub(super) runners: Vec<Runner>,
    pub(super) disturbed: Vec<Disturbed>,
    /// Arms so far, in the whole run.
    pub(super) order: usize,
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
            network: network(profile.shape().as_ref(), None),
            plan,
            article: group.article.clone(),
            workload,
            profile,
            ground,
            lists: site.lists,
            prefix: site.prefix,
            pilot: Pilot::default(),
            achieved: None,
            runners: runners.collect(),
            disturbed: Vec::new(),
            order: site.arms_before,
            is_on_battery: site.is_on_battery,
        }
    }

    /// Measures everything. What was measured stays when it is stopped or fails: [`GroupRun::finish`] takes it.
    pub(super) fn measure(&mut self, blocks: usize, watcher: &mut dyn Watcher) -> Result<()> {
        self.pilot()?;
        for number in 0..self.runners.len() {
            let seconds = self.predicted(&self.runners[number].cell);
            self.size(number, seconds)?;
        }
        // Not counted: files, caches and the server are as cold as they will never be again.
        for number in 0..self.runners.len() {
            let measured = self.arm(number, 0, watcher)?;
            if measured.result.is_some() {
                self.size(number, measured.arm.seconds_per_object)?;
            }
        }
        self.make_twins_alike()?;
        for block in 1..=blocks {
            self.block(block, watcher)?;
            self.ground.tidy_up(&self.prefix)?;
        }
        if !self.plan.quick && !self.workload.spec.sends_nothing {
            self.look_closely()?;
        }
        Ok(())
    }

    fn block(&mut self, block: usize, watcher: &mut dyn Watcher) -> Result<()> {
        for number in order(self.plan.seed, block, self.runners.len()) {
            let measured = self.arm(number, block, watcher)?;
            let runner = &mut self.runners[number];
            if let Some(result) = &measured.result {
                runner.merged.add(result);
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
        if let Some(reason) = disturbance(&arms.collect::<Vec<_>>()) {
            self.disturbed.push(Disturbed { block, reason });
        }
        Ok(())
    }

    /// One arm more of each cell, not timed, in which every task says what it waited for.
    fn look_closely(&mut self) -> Result<()> {
        for number in 0..self.runners.len() {
            let mut runner = std::mem::replace(&mut self.runners[number], Runner::empty());
            if runner.role != Role::Twin {
                let jobs = std::mem::replace(&mut runner.jobs, 1);
                let measured = self.arm_of(&runner, (&format!("lanes-{number:02}"), 0), Attention::Tasks);
                runner.jobs = jobs;
                runner.lanes = measured.as_ref().ok().and_then(lanes_of);
                if let Err(error) = measured {
                    self.runners[number] = runner;
                    return Err(error);
                }
            }
            self.runners[number] = runner;
        }
        Ok(())
    }

    /// A server that is gone ends the run: every arm after would only say so again.
    fn ensure_server(&self) -> Result<()> {
        let Some(address) = self.ground.server.address else {
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
        let info = &self.workload.info;
        let mean = info.bytes as f64 / info.objects as f64;
        let rounds = f64::from(info.extra_rounds);
        let guess = 0.001
            + self.network.latency
            + mean / self.network.per_connection.min(self.network.link).min(500e6)
            + mean * rounds / 1e9;
        let objects = ((PILOT_SECONDS / guess) as usize)
            .clamp(4, 2_000)
            .min(info.objects);
        let mut runner = Runner::new(cell, Role::Candidate, info.objects);
        if !self.workload.entries.is_empty() {
            self.choose(&mut runner, objects, "pilot")?;
        }
        let measured = self.arm_of(&runner, ("pilot", 0), Attention::Requests)?;
        let Some(_) = measured.result else {
            let finding = measured.arm.findings.into_iter().next();
            let why = finding.map_or_else(String::new, |finding| finding.reason);
            return Err(Error::new(
                ErrorKind::Internal,
                format!("the first uploads of workload '{}' failed: {why}", info.name),
            )
            .with_hint("upload the same files with s3haul cp -v and look at what fails"));
        };
        let cpu = measured.arm.cpu;
        let used = cpu.client_user + cpu.client_system + cpu.server + cpu.relay;
        self.pilot = Pilot {
            objects: runner.objects,
            seconds_per_object: measured.arm.seconds_per_object,
            cpu_per_object: used / runner.objects as f64,
        };
        self.achieved = measured.relay;
        self.network = network(self.profile.shape().as_ref(), self.achieved.as_ref());
        Ok(())
    }

    /// Seconds that `cell` will take for an object, as far as the pilot tells.
    fn predicted(&self, cell: &Cell) -> f64 {
        let in_flight = in_flight(cell, self.workload.info.objects) as f64;
        let connect = if cell.client() == ClientMode::PerUpload {
            self.network.connect
        } else {
            0.0
        };
        let service = self.pilot.seconds_per_object * cell.round_trips() + connect;
        (service / in_flight).max(self.pilot.cpu_per_object / machine_cores())
    }

    /// Makes jobs of cell `number` of a length that says something, when one object takes `seconds`.
    fn size(&mut self, number: usize, seconds: f64) -> Result<()> {
        let all = self.workload.info.objects;
        let whole = seconds * all as f64;
        let mut runner = std::mem::replace(&mut self.runners[number], Runner::empty());
        let in_flight = in_flight(&runner.cell, all);
        let objects =
            if self.workload.spec.is_whole || self.workload.entries.is_empty() || whole <= LONGEST_JOB {
                all
            } else {
                let few = (SHARE_SECONDS / seconds).ceil() as usize;
                few.max(2 * in_flight).max(8).min(all)
            };
        let job_seconds = (seconds * objects as f64).max(1e-6);
        runner.jobs = if self.plan.quick {
            1
        } else {
            ((ARM_SECONDS / job_seconds).ceil() as usize).clamp(1, MOST_JOBS)
        };
        self.choose(&mut runner, objects, &format!("{number}"))?;
        self.runners[number] = runner;
        Ok(())
    }

    /// What is compared with itself has to be the same.
    fn make_twins_alike(&mut self) -> Result<()> {
        let (objects, jobs) = (self.runners[BASELINE].objects, self.runners[BASELINE].jobs);
        for number in 0..self.runners.len() {
            if self.runners[number].role == Role::Twin {
                let mut twin = std::mem::replace(&mut self.runners[number], Runner::empty());
                twin.jobs = jobs;
                self.choose(&mut twin, objects, &format!("{number}"))?;
                self.runners[number] = twin;
            }
        }
        Ok(())
    }

    fn choose(&self, runner: &mut Runner, objects: usize, name: &str) -> Result<()> {
        runner.entries = self.workload.selection(objects);
        runner.objects = if runner.entries.is_empty() {
            objects
        } else {
            runner.entries.len()
        };
        runner.list = (objects < self.workload.info.objects).then(|| {
            self.lists
                .join(format!("{}-{}-{name}", self.workload.info.id, self.profile))
        });
        if let Some(list) = &runner.list {
            write_list(&runner.entries, list).map_err(|error| {
                Error::new(ErrorKind::Internal, "a list of files cannot be written").with_source(error)
            })?;
        }
        runner.requests = requests(&runner.entries, self.workload);
        runner.in_flight = in_flight(&runner.cell, runner.objects);
        Ok(())
    }

    fn arm(&mut self, number: usize, block: usize, watcher: &mut dyn Watcher) -> Result<Measured> {
        let runner = std::mem::replace(&mut self.runners[number], Runner::empty());
        watcher.notify(&Note::Arm {
            block,
            label: runner.cell.label(),
        });
        let began = Instant::now();
        let measured = self.arm_of(
            &runner,
            (&format!("{block:03}-{number:02}"), block),
            Attention::Requests,
        );
        self.runners[number] = runner;
        let mut measured = measured?;
        if block > 0 {
            self.order += 1;
            measured.arm.block = block;
            measured.arm.order = self.order;
        }
        watcher.notify(&Note::ArmDone {
            seconds: began.elapsed().as_secs_f64(),
        });
        Ok(measured)
    }

    fn arm_of(
        &mut self,
        runner: &Runner,
        (name, block): (&str, usize),
        attention: Attention,
    ) -> Result<Measured> {
        let prefix = format!("{}{}-{name}/", self.prefix, self.profile);
        let mut config = arm_config(&runner.cell, &self.workload.spec, &self.ground);
        config.transfer.attention = attention;
        let job = ModelJob {
            cell: &runner.cell,
            requests: &runner.requests,
            in_flight: runner.in_flight,
        };
        let task = Task {
            cell: &runner.cell,
            spec: ArmSpec {
                bucket: self.ground.bucket.name().to_owned(),
                prefix,
                root: self.workload.root.clone(),
                list: runner.list.clone(),
                jobs: runner.jobs,
                config,
                objects_csv: self.plan.objects_csv.clone().filter(|_| block > 0),
                csv_fields: self.csv_fields(runner, block),
            },
            entries: &runner.entries,
            objects: runner.objects,
            least_makespan: if self.workload.spec.sends_nothing {
                0.0
            } else {
                least_makespan(&job, &self.network)
            },
            expects_errors: self.workload.spec.expects_errors,
            sends_nothing: self.workload.spec.sends_nothing,
        };
        self.ground.measure(&task)
    }

    fn csv_fields(&self, runner: &Runner, block: usize) -> String {
        [
            quoted(&self.workload.info.name),
            self.profile.name().to_owned(),
            quoted(&runner.cell.label()),
            block.to_string(),
        ]
        .join(",")
    }

    /// Removes what was uploaded, where that is to be done.
    pub(super) fn clean(&self) -> Result<()> {
        self.ground.clean(&self.prefix)
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
