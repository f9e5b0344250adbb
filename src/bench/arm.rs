//! One arm, in a process of its own: does its jobs through the pipeline and says what it took.
//!
//! Runs as a helper: it says that it is ready, begins when it is told to, and answers with one line. Knows nothing of
//! comparisons.

use std::io::{BufRead, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::helper::say;
use super::recorder::{Recorded, Recorder};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::pipeline::{Input, UploadRequest, upload};
use crate::report::RunSummary;
use crate::source::S3Url;
use crate::usage;

/// What an arm is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmSpec {
    /// Bucket.
    pub bucket: String,
    /// Where its objects go; each job has a directory of its own below.
    pub prefix: String,
    /// Directory of the workload.
    pub root: PathBuf,
    /// Files of a job, relative to `root`, with NUL between them; none for all.
    pub list: Option<PathBuf>,
    /// Jobs, one after the other.
    pub jobs: usize,
    /// How. Travels by pipe, so secrets may be in it.
    pub config: Config,
    /// Where a line for each object goes.
    pub objects_csv: Option<PathBuf>,
    /// First fields of each of those lines.
    pub csv_fields: String,
}

impl ArmSpec {
    /// Prefix of the job with that number, from 0.
    pub fn job_prefix(&self, job: usize) -> String {
        format!("{}{job:04}/", self.prefix)
    }
}

/// One job: a run of the pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// What the pipeline says of it.
    pub summary: RunSummary,
    /// What was recorded meanwhile.
    pub recorded: Recorded,
}

/// What an arm came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmResult {
    /// Its jobs.
    pub jobs: Vec<JobResult>,
    /// User time of the process and its children, over all jobs.
    pub user_seconds: f64,
    /// System time.
    pub system_seconds: f64,
    /// Context switches: it waited.
    pub switches_voluntary: u64,
    /// Context switches: others were let through.
    pub switches_involuntary: u64,
    /// Highest resident memory of the process and of its worker processes, added up.
    pub peak_rss_bytes: u64,
    /// It is not a release build.
    pub is_debug: bool,
}

/// What an arm says to whoever started it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromArm {
    /// It has read its settings and waits for the word to begin.
    Ready,
    /// It has done its jobs.
    Done(Box<ArmResult>),
    /// It cannot do them.
    Failed {
        /// Why.
        message: String,
    },
}

/// CPU time and context switches so far, of the process and of its children that were reaped.
struct Used {
    user: Duration,
    system: Duration,
    voluntary: u64,
    involuntary: u64,
}

impl Used {
    fn now() -> Result<Self> {
        let mut used = Self {
            user: Duration::ZERO,
            system: Duration::ZERO,
            voluntary: 0,
            involuntary: 0,
        };
        for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
            let usage = getrusage(who).map_err(|errno| {
                Error::new(ErrorKind::Internal, "the kernel does not say what was used").with_source(errno)
            })?;
            let time = |value: nix::sys::time::TimeVal| {
                Duration::from_micros(u64::try_from(value.num_microseconds()).unwrap_or(0))
            };
            used.user += time(usage.user_time());
            used.system += time(usage.system_time());
            used.voluntary += u64::try_from(usage.voluntary_context_switches()).unwrap_or(0);
            used.involuntary += u64::try_from(usage.involuntary_context_switches()).unwrap_or(0);
        }
        Ok(used)
    }
}

/// Does one arm and says what came of it. It begins with the next line of `input`, and is given up in order when `input`
/// ends before it is done.
pub(super) fn serve_arm(spec: &ArmSpec, mut input: impl BufRead + Send + 'static, output: &mut impl Write) {
    say(output, &FromArm::Ready);
    // Whoever closes the pipe instead wants nothing any more.
    if !matches!(input.read_line(&mut String::new()), Ok(count) if count > 0) {
        return;
    }
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    std::thread::spawn(move || {
        input.lines().for_each(drop);
        stop.cancel();
    });
    let answer = match work(spec, &cancel) {
        Ok(result) => FromArm::Done(Box::new(result)),
        Err(error) => FromArm::Failed {
            message: chain(&error),
        },
    };
    say(output, &answer);
}

fn work(spec: &ArmSpec, cancel: &CancellationToken) -> Result<ArmResult> {
    let mut csv = spec
        .objects_csv
        .as_ref()
        .map(|path| std::fs::OpenOptions::new().append(true).open(path))
        .transpose()
        .map_err(|error| {
            Error::new(ErrorKind::Output, "the list of objects cannot be written").with_source(error)
        })?
        .map(BufWriter::new);
    let before = Used::now()?;
    let mut jobs = Vec::new();
    for number in 0..spec.jobs {
        let mut recorder = Recorder::new(Instant::now(), csv.as_mut(), &spec.csv_fields, number);
        let request = request(spec, number)?;
        let summary = upload(&request, cancel, &mut recorder)?;
        jobs.push(JobResult {
            summary,
            recorded: recorder.finish(),
        });
    }
    let after = Used::now()?;
    let of_children: u64 = jobs
        .iter()
        .map(|job| {
            job.summary
                .workers
                .children
                .iter()
                .map(|child| child.peak_rss_bytes)
                .sum()
        })
        .max()
        .unwrap_or(0);
    Ok(ArmResult {
        jobs,
        user_seconds: (after.user - before.user).as_secs_f64(),
        system_seconds: (after.system - before.system).as_secs_f64(),
        switches_voluntary: after.voluntary - before.voluntary,
        switches_involuntary: after.involuntary - before.involuntary,
        peak_rss_bytes: usage::peak_rss_bytes() + of_children,
        is_debug: cfg!(debug_assertions),
    })
}

fn request(spec: &ArmSpec, job: usize) -> Result<UploadRequest> {
    let address = format!("s3://{}/{}", spec.bucket, spec.job_prefix(job));
    let target: S3Url = address.parse().map_err(|error| {
        Error::new(ErrorKind::Usage, format!("'{address}' is no target")).with_source(error)
    })?;
    let mut request = UploadRequest::new(&spec.root, target, spec.config.clone());
    if let Some(list) = &spec.list {
        request.input = Input::List {
            base: spec.root.clone(),
            list: Some(list.clone()),
            separator: 0,
        };
    }
    Ok(request)
}
