//! `s3haul backup daemon`: all jobs by their schedules, in one process, for containers.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::run::run_job;
use crate::backup::LastRun;
use crate::cli::exit_code::ExitCode;
use crate::cli::jobs::{Job, JobsArgs};
use crate::cli::output_args::OutputArgs;
use crate::cli::{logging, printer, signals};
use crate::error::{Error, ErrorKind, Result};
use crate::schedule::{Slot, Timetable};

/// The clock is looked at as often: it may be set, and the machine may have slept.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// No schedule pauses for longer.
const LONG_AGO: SignedDuration = SignedDuration::from_hours(9 * 366 * 24);

/// What woke us.
enum Woken {
    ByTime,
    ToReload,
    ToStop,
}

/// The jobs that have a schedule, and their times.
struct Plan {
    jobs: Vec<Job>,
    timetable: Timetable,
}

pub(super) fn run(args: &JobsArgs, output: &OutputArgs) -> Result<ExitCode> {
    let cancel = signals::cancel_on_signals();
    let mut plan = Plan::read(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorKind::Internal, "there is no event loop").with_source(error))?;
    let mut hangup = {
        let _on_runtime = runtime.enter();
        signal(SignalKind::hangup())
            .map_err(|error| Error::new(ErrorKind::Internal, "SIGHUP cannot be heard").with_source(error))?
    };
    tell(&[NotifyState::Ready]);
    plan.tell();
    loop {
        match runtime.block_on(wait(plan.timetable.next(), &mut hangup, &cancel)) {
            Woken::ToStop => break,
            Woken::ToReload => plan = reloaded(plan, args),
            Woken::ByTime => {}
        }
        while !cancel.is_cancelled()
            && let Some(name) = plan.timetable.take_due(Timestamp::now())
        {
            plan.run(&name, &cancel, output);
        }
    }
    tell(&[NotifyState::Stopping]);
    Ok(ExitCode::Done)
}

/// Waits until `next`, or for a look at the clock, whichever is first.
async fn wait(next: Option<Timestamp>, hangup: &mut Signal, cancel: &CancellationToken) -> Woken {
    let until = next.map_or(LOOK_EVERY, |next| {
        Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default()
    });
    tokio::select! {
        biased;
        () = cancel.cancelled() => Woken::ToStop,
        _ = hangup.recv() => Woken::ToReload,
        () = tokio::time::sleep(until.min(LOOK_EVERY)) => Woken::ByTime,
    }
}

/// What the file of jobs says now; what it said when it cannot be used.
fn reloaded(plan: Plan, args: &JobsArgs) -> Plan {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
    let plan = match Plan::read(args) {
        Ok(fresh) => fresh,
        Err(error) => {
            printer::error(&error);
            printer::note("the jobs stay as they were");
            plan
        }
    };
    tell(&[NotifyState::Ready]);
    plan.tell();
    plan
}

/// Tells systemd, if it wants to know.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::info!(target: logging::RUN, %error, "systemd cannot be told");
    }
}

/// Up to when a run has done what was due. One that was stopped, or kept out by another, has not: it is made up for.
fn settled_by(run: &LastRun) -> Timestamp {
    let is_undone = [ExitCode::Interrupted, ExitCode::Terminated, ExitCode::Locked]
        .iter()
        .any(|code| *code as u8 == run.exit_code);
    match (is_undone, run.last_success) {
        (false, _) => run.begun,
        (true, Some(last_success)) => last_success,
        (true, None) => run.begun - LONG_AGO,
    }
}

impl Plan {
    fn read(args: &JobsArgs) -> Result<Self> {
        let jobs: Vec<Job> = args
            .jobs()?
            .into_iter()
            .filter(|job| job.schedule.is_some())
            .collect();
        if jobs.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "no job has a schedule")
                .with_hint("give one in the file of jobs, such as schedule = \"15 2 * * *\""));
        }
        let now = Timestamp::now();
        let slots: Result<Vec<Slot>> = jobs
            .iter()
            .filter_map(|job| {
                let schedule = job.schedule.clone()?;
                Some(job.place_of_last_run().map(|place| {
                    let last = LastRun::read(&place).map(|run| settled_by(&run));
                    let when = (schedule, job.jitter.unwrap_or_default());
                    Slot::new(job.name.clone(), when, job.zone(), last, now)
                }))
            })
            .collect();
        Ok(Self {
            jobs,
            timetable: Timetable { slots: slots? },
        })
    }

    /// Says when the jobs run next.
    fn tell(&self) {
        for slot in &self.timetable.slots {
            let zone = self.jobs.iter().find(|job| job.name == slot.job).map(Job::zone);
            let due = slot.due().zip(zone).map(|(due, zone)| due.to_zoned(zone));
            let when = due.map_or_else(
                || "never".to_owned(),
                |due| due.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
            );
            printer::note(&format!("{} runs next: {when}", slot.job));
        }
    }

    fn run(&self, name: &str, cancel: &CancellationToken, output: &OutputArgs) {
        let Some(job) = self.jobs.iter().find(|job| job.name == name) else {
            return;
        };
        let forgets = !job.keep.keep().is_nothing();
        let status = format!("running {name}");
        tell(&[NotifyState::Status(&status)]);
        match run_job(job, forgets, cancel, output) {
            Ok(ExitCode::Done) => {}
            Ok(code) => printer::note(&format!("{name} ended with exit code {}", code as u8)),
            Err(error) => {
                printer::failure(&format!(
                    "{name} ended with exit code {}",
                    ExitCode::of_error(&error) as u8
                ));
                printer::error(&error);
            }
        }
        tell(&[NotifyState::Status("waiting")]);
    }
}
