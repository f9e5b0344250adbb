//! A whole comparison: files, server, groups one after the other, report.

use std::time::Instant;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::files::Workload;
use super::ground::Ground;
use super::group::{GroupRun, Site};
use super::host::describe;
use super::plan::Plan;
use super::recorder::CSV_HEADER;
use super::report::{Group, Held, Report, SCHEMA, VERSION};
use super::servers::scratch;
use super::workload::WorkloadSpec;
use crate::config::TransferSettings;
use crate::error::{Error, ErrorKind, Result};

/// What a run says while it goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// Files are made and read.
    Preparing {
        /// Name of the workload.
        workload: String,
    },
    /// A group begins.
    Group {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        count: usize,
        /// Workload and profile.
        name: String,
    },
    /// An arm begins; nothing is to be drawn until it is done.
    Arm {
        /// Its block; 0 does not count.
        block: usize,
        /// Its cell.
        label: String,
    },
    /// An arm is done.
    ArmDone {
        /// Seconds, with everything around it.
        seconds: f64,
    },
}

/// Hears what a run says.
pub trait Watcher {
    /// One note.
    fn notify(&mut self, note: &Note);
}

/// Compares. When `cancel` is cancelled, or the server dies, the report has what was measured until then and is marked
/// partial.
///
/// # Errors
/// Nothing could be measured: settings, files, server.
pub fn run(plan: &Plan, cancel: &CancellationToken, watcher: &mut dyn Watcher) -> Result<Report> {
    plan.validate()?;
    let began = Instant::now();
    let mut report = begin(plan);
    if let Some(csv) = &plan.objects_csv {
        let header = format!("workload,profile,cell,block,{CSV_HEADER}\n");
        std::fs::write(csv, header).map_err(|error| {
            Error::new(
                ErrorKind::Output,
                format!("'{}' cannot be written", csv.display()),
            )
            .with_source(error)
        })?;
    }
    let scratch = scratch(plan.work_dir.as_deref(), plan.files_room())?;
    let outcome = Whole {
        plan,
        cancel,
        scratch: &scratch,
        began,
        workloads: Vec::new(),
    }
    .groups(&mut report, watcher);
    report.elapsed = began.elapsed().as_secs_f64();
    match outcome {
        Ok(()) => Ok(report),
        Err(error) if report.groups.iter().any(has_arms) => {
            tracing::warn!(error = %crate::error::chain(&error), "the bench ended early");
            report.partial = true;
            Ok(report)
        }
        Err(error) => Err(error),
    }
}

/// To the second: nobody reads more.
fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now)
}

fn has_arms(group: &Group) -> bool {
    group.cells.iter().any(|cell| !cell.arms.is_empty())
}

fn begin(plan: &Plan) -> Report {
    let transfer = TransferSettings::default();
    Report {
        schema: SCHEMA.to_owned(),
        v: VERSION,
        s3haul: env!("CARGO_PKG_VERSION").to_owned(),
        build: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        }
        .to_owned(),
        started_at: now().to_string(),
        elapsed: 0.0,
        seed: plan.seed,
        blocks: plan.blocks,
        quick: plan.quick,
        partial: false,
        preset: plan.preset.clone(),
        host: describe(),
        server: super::report::ServerInfo::default(),
        held: Held {
            checksum: transfer.checksum.name().to_owned(),
            retries: 1,
            memory_bytes: transfer.memory.bytes(),
        },
        groups: Vec::new(),
    }
}

/// A run on its way.
struct Whole<'a> {
    plan: &'a Plan,
    cancel: &'a CancellationToken,
    scratch: &'a TempDir,
    began: Instant,
    workloads: Vec<Workload>,
}

impl Whole<'_> {
    fn groups(&mut self, report: &mut Report, watcher: &mut dyn Watcher) -> Result<()> {
        let plan = self.plan;
        let lists = self.scratch.path().join("lists");
        std::fs::create_dir(&lists).map_err(|error| {
            Error::new(ErrorKind::Internal, "a temporary directory cannot be used").with_source(error)
        })?;
        let prefix = format!("s3haul-bench-{:016x}/", fastrand::u64(..));
        let mut arms_before = 0;
        for (number, group) in plan.groups.iter().enumerate() {
            let workload = self.workload(&group.workload, watcher)?;
            watcher.notify(&Note::Group {
                number: number + 1,
                count: plan.groups.len(),
                name: format!("{} over {}", group.workload.name, group.profile),
            });
            // Each group has a server of its own, if it is ours: nothing that one leaves behind is in the way of the next.
            let ground = Ground::set_up(plan, group, self.cancel, self.began)?;
            if report.server.kind.is_empty() {
                report.server = ground.server.info.clone();
            }
            let site = Site {
                lists: &lists,
                prefix: format!("{prefix}{number:02}-"),
                arms_before,
                is_on_battery: report.host.on_battery == Some(true),
            };
            let workload = &self.workloads[workload];
            let mut running = GroupRun::new(plan, group, workload, ground, site);
            let outcome = running.measure(group.blocks(plan.blocks), watcher);
            arms_before = running.arms_so_far();
            let removed = running.clean();
            report.groups.push(running.finish());
            if let Err(error) = &removed {
                tracing::warn!(%prefix, error = %crate::error::chain(error), "what was uploaded could not be removed");
            }
            outcome.and(removed)?;
        }
        Ok(())
    }

    /// The workload of that specification, made if it is not there yet; its place.
    fn workload(&mut self, spec: &WorkloadSpec, watcher: &mut dyn Watcher) -> Result<usize> {
        if let Some(place) = self.workloads.iter().position(|workload| workload.spec == *spec) {
            return Ok(place);
        }
        watcher.notify(&Note::Preparing {
            workload: spec.name.clone(),
        });
        let directory = self
            .scratch
            .path()
            .join(format!("workload-{}", self.workloads.len()));
        std::fs::create_dir(&directory).map_err(|error| {
            Error::new(ErrorKind::Internal, "a temporary directory cannot be used").with_source(error)
        })?;
        self.workloads
            .push(Workload::prepare(spec.clone(), &directory, self.cancel)?);
        Ok(self.workloads.len() - 1)
    }
}
