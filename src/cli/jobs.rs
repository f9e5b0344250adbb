//! The jobs of backups: what a job says, and where the file is that says it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use super::args::{ObjectArgs, RunArgs, StoreArgs, TransferArgs, config};
use super::base_directory::base_directory;
use super::choices::duration;
use super::filter_args::FilterArgs;
use super::jobs_file::JobsFile;
use super::state_args::{StateArgs, with_profile};
use super::unattended::UnattendedArgs;
use super::{embedded, printer};
use crate::backup::{Keep, Repository};
use crate::config::{BucketPolicy, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::Home;
use crate::schedule::Schedule;
use crate::server::ServerHandle;
use crate::source::S3Url;

/// What is read of a file of jobs at most.
const MOST_BYTES: u64 = 1024 * 1024;

/// Where jobs are.
#[derive(Args, Clone, Debug)]
pub(super) struct JobsArgs {
    /// File of the jobs [default: s3haul/jobs.toml below $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "FILE.toml", env = "S3HAUL_CONFIG", global = true)]
    pub(super) config: Option<PathBuf>,
}

/// Which snapshots are kept. Without any of them, nothing is forgotten.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Retention")]
pub(super) struct KeepArgs {
    /// Keep the last N snapshots
    #[arg(long, value_name = "N")]
    keep_last: Option<u32>,
    /// Keep the last snapshot of each of the last N days that have one
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,
    /// The same of weeks, which begin on Mondays
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,
    /// The same of months
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u32>,
    /// The same of years
    #[arg(long, value_name = "N")]
    keep_yearly: Option<u32>,
}

impl KeepArgs {
    pub(super) fn keep(&self) -> Keep {
        Keep {
            last: self.keep_last.unwrap_or(0),
            daily: self.keep_daily.unwrap_or(0),
            weekly: self.keep_weekly.unwrap_or(0),
            monthly: self.keep_monthly.unwrap_or(0),
            yearly: self.keep_yearly.unwrap_or(0),
        }
    }
}

/// What a job says: flags, and what is backed up.
#[derive(Args, Clone, Debug)]
pub(super) struct Job {
    #[arg(skip)]
    pub(super) name: String,
    /// Files and directories
    #[arg(long, required = true)]
    pub(super) sources: Vec<PathBuf>,
    /// Bucket and prefix of the job alone
    #[arg(long)]
    pub(super) target: S3Url,
    /// Add a snapshot also when a source has no file any more that had some in the last one
    #[arg(long)]
    pub(super) allow_empty_source: bool,
    /// Refuse to run unless this file is there, below each source if it is no whole path: a disk that is not mounted has none
    #[arg(long)]
    pub(super) require_file: Option<PathBuf>,
    /// Make the bucket if it is missing
    #[arg(long)]
    pub(super) create_bucket: bool,
    /// When it runs, as a crontab has it
    #[arg(long)]
    pub(super) schedule: Option<Schedule>,
    /// Time zone of the schedule, such as Europe/Berlin [default: the system's]
    #[arg(long, value_parser = zone)]
    time_zone: Option<TimeZone>,
    /// Put each run off by up to this long, another time each night
    #[arg(long, value_parser = duration)]
    pub(super) jitter: Option<Duration>,
    /// `backup status` fails when the last success is older than this
    #[arg(long, value_parser = duration)]
    pub(super) max_age: Option<Duration>,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) run: RunArgs,
    #[command(flatten)]
    pub(super) transfer: TransferArgs,
    #[command(flatten)]
    pub(super) objects: ObjectArgs,
    #[command(flatten)]
    pub(super) unattended: UnattendedArgs,
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|error| error.to_string())
}

/// A job's repository, the settings that it was opened with, and the server that they made us start: keep it until the
/// command is done.
pub(super) struct OpenJob {
    pub(super) repository: Repository,
    pub(super) config: Config,
    _server: Option<ServerHandle>,
}

impl Job {
    /// Its time zone.
    pub(super) fn zone(&self) -> TimeZone {
        self.time_zone.clone().unwrap_or_else(TimeZone::system)
    }

    /// The name of its time zone, if it says one.
    pub(super) fn zone_name(&self) -> Option<&str> {
        self.time_zone.as_ref()?.iana_name()
    }

    /// How requests are made for this job, and the server that its flags made us start.
    ///
    /// # Errors
    /// Flags that cannot be used.
    pub(super) fn config(&self) -> Result<(Config, Option<ServerHandle>)> {
        let transfer = self.transfer.settings(&self.objects, false)?;
        let (store, server) = embedded::settings(&self.store)?;
        let store = with_profile(store, self.state.settings().ok().as_ref(), &self.target.bucket);
        Ok((config(self.run.with_engine(store), transfer, &self.run), server))
    }

    /// Opens what is stored of it.
    ///
    /// # Errors
    /// The server or the bucket cannot be used.
    pub(super) fn open(&self, cancel: &CancellationToken) -> Result<OpenJob> {
        let (config, server) = self.config()?;
        let repository = Repository::open(&config, &self.target, BucketPolicy::MustExist, cancel)?;
        Ok(OpenJob {
            repository,
            config,
            _server: server,
        })
    }

    /// Where it is noted what its last run came to.
    ///
    /// # Errors
    /// There is no place for what is noted.
    pub(super) fn place_of_last_run(&self) -> Result<PathBuf> {
        let endpoint = self.store.endpoint_url.as_deref().unwrap_or_default();
        let purpose = format!("last run of {}", self.name);
        Ok(Home::place_of_note(
            &self.state.settings()?,
            &purpose,
            (endpoint, &self.target),
        ))
    }
}

impl JobsArgs {
    /// The file that is meant.
    ///
    /// # Errors
    /// None is named, and there is no home directory.
    pub(super) fn path(&self) -> Result<PathBuf> {
        match &self.config {
            Some(path) => Ok(path.clone()),
            None => default_path(),
        }
    }

    /// All jobs of the file, in its order.
    ///
    /// # Errors
    /// There is no such file, or something in it is not what it should be: where, and what.
    pub(super) fn jobs(&self) -> Result<Vec<Job>> {
        let path = self.path()?;
        let text = read(&path)?;
        let jobs = JobsFile {
            path: &path,
            text: &text,
        }
        .jobs()?;
        if jobs.is_empty() {
            let message = format!("there is no job in '{}'", path.display());
            return Err(Error::new(ErrorKind::Configuration, message)
                .with_hint("s3haul backup --help shows what one looks like"));
        }
        Ok(jobs)
    }

    /// The job of that name.
    ///
    /// # Errors
    /// As [`Self::jobs`]; there is none of that name.
    pub(super) fn job(&self, name: &str) -> Result<Job> {
        let mut jobs = self.jobs()?;
        let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
        let position = jobs.iter().position(|job| job.name == name);
        position
            .map(|position| jobs.swap_remove(position))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Usage,
                    format!("there is no job '{}'", name.escape_debug()),
                )
                .with_hint(format!("the jobs are: {}", names.join(", ")))
            })
    }
}

fn default_path() -> Result<PathBuf> {
    base_directory("XDG_CONFIG_HOME", ".config")
        .map(|base| base.join("s3haul/jobs.toml"))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                "there is no home directory for a file of jobs",
            )
            .with_hint("name one with --config FILE.toml")
        })
}

fn read(path: &Path) -> Result<String> {
    let unreadable = |error: std::io::Error| {
        Error::new(
            ErrorKind::Configuration,
            format!("the file of jobs '{}' cannot be read", path.display()),
        )
        .with_source(error)
        .with_hint("s3haul backup --help shows what is in one; --config names another")
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > MOST_BYTES {
        let error = std::io::Error::other("it is larger than any file of jobs");
        return Err(unreadable(error));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    // A URL to ping may have a secret in it.
    if text.contains("ping-url") && metadata.permissions().mode() & 0o077 != 0 {
        let shown = path.display();
        printer::note(&format!(
            "'{shown}' can be read by others, and may have a secret in it: chmod 600 '{shown}'"
        ));
    }
    Ok(text)
}
