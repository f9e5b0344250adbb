//! One run of a job: contents first, the manifest last.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::contents::Contents;
use super::layout::{DATA, SnapshotId};
use super::manifest::{Entry, Header, KIND, ManifestReader, ManifestWriter, Totals, VERSION};
use super::survey::{Ends, Survey, Surveyed, Tally};
use crate::config::{BucketPolicy, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Outcome};
use crate::mirror::{Memory, Origin, host_name};
use crate::pipeline::{
    Effect, Home, Input, Monitor, Resume, Silent, StateSettings, Stored, UploadRequest, Wanted, Work,
    find_server, run_work,
};
use crate::report::{Ending, RunSummary};
use crate::source::{Filter, Found, S3Url, SourceFile, named_roots};
use crate::store::Connector;

/// What to back up, and where to.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    /// Name of the job.
    pub job: String,
    /// Files and directories; each goes under its own name.
    pub sources: Vec<PathBuf>,
    /// Bucket and the prefix of the job, which nobody else writes below.
    pub target: S3Url,
    /// What is left out.
    pub filter: Arc<Filter>,
    /// Files that the caller writes during the run.
    pub own_outputs: Vec<PathBuf>,
    /// Whether a missing bucket is made.
    pub bucket_policy: BucketPolicy,
    /// How.
    pub config: Config,
    /// Where what is remembered of backups is kept.
    pub state: StateSettings,
    /// When nothing new is begun any more.
    pub deadline: Option<Instant>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct BackupSummary {
    /// Of the contents that went up.
    pub run: RunSummary,
    /// The snapshot, and what is in it; none when the run did not come to its end: then there is none.
    pub snapshot: Option<(SnapshotId, Totals)>,
    /// Of all that was looked at.
    pub tally: Tally,
    /// What is wrong with what is remembered, for people.
    pub state_notes: Vec<String>,
    /// Where what is remembered of this job is kept.
    pub home: PathBuf,
}

/// Hears of contents that did not arrive.
struct Listener<'a> {
    monitor: &'a mut dyn Monitor,
    /// Why, by their keys.
    failed: HashMap<String, String>,
}

impl Monitor for Listener<'_> {
    fn notify(&mut self, event: &Event) {
        self.monitor.notify(event);
        if let Event::File(record) = event
            && let Outcome::Failed { failure } = &record.outcome
            && !record.key.is_empty()
        {
            self.failed.insert(record.key.clone(), failure.to_string());
        }
    }
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Configuration,
        format!("the manifest cannot be written to '{}'", path.display()),
    )
    .with_source(error)
}

/// Adds a snapshot of the sources. Returns when the manifest has arrived, or the run has ended without one.
///
/// Files that are what they were at the last run are not read, and contents that are stored are not sent. A file that
/// cannot be read, or does not stay as it is, is in the manifest with the reason. Cancelling `cancel` stops it in order;
/// there is no snapshot then.
///
/// # Errors
/// Those of [`crate::pipeline::upload`]; [`ErrorKind::Locked`] when another run has the target; the manifest cannot be
/// written or sent.
pub fn backup(
    request: &BackupRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<BackupSummary> {
    request.config.validate()?;
    let roots = named_roots(&request.sources)?;
    let connector = find_server(&request.config, cancel)?;
    let endpoint = connector.endpoint();
    let home = Home::open(&request.state, "backup", (&endpoint, &request.target), cancel)?;
    let origin = Origin {
        host: host_name(),
        source: request.job.clone(),
        device: 0,
    };
    let mut memory = Memory::open(&home, &origin, false);
    memory.set_origin(&origin);
    let header = header(request);
    let prefix = request.target.prefix();
    let upload = upload_request(request, &home);
    let listed = format!("{prefix}{DATA}");
    let server = (&connector, request.config.transfer.retry);
    let stored = Stored::new(server, (&request.target.bucket, &listed), cancel);
    let surveyed = Arc::<Mutex<Surveyed>>::default();
    let draft = home.directory().join("manifest");
    let survey = Survey::new(
        (roots, &request.filter),
        (memory.state.clone(), memory.objects()),
        (prefix.clone(), Contents::new(&prefix, stored)),
        begin(&draft, &header)?,
        Ends {
            cancel: cancel.clone(),
            deadline: request.deadline,
        },
        surveyed.clone(),
    );
    let mut listener = Listener {
        monitor,
        failed: HashMap::new(),
    };
    let work = Work::Entries(Box::new(survey));
    let run = run_work(work, Effect::Apply, &connector, &upload, cancel, &mut listener)?;
    let surveyed = std::mem::take(&mut *surveyed.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(trouble) = surveyed.trouble {
        return Err(trouble);
    }
    memory.notes.extend(surveyed.note);
    let is_whole = surveyed.is_complete && run.ending == Ending::Finished && run.totals.cancelled == 0;
    let manifest = surveyed.manifest.filter(|_| is_whole);
    let snapshot = match manifest {
        None => None,
        Some(manifest) => {
            let totals = finish(manifest, &draft, (&header, &prefix), &listener.failed)?;
            send(&draft, &header.id.key(&prefix), &connector, &upload, cancel)?;
            Some((header.id, totals))
        }
    };
    Ok(BackupSummary {
        run,
        snapshot,
        tally: surveyed.tally,
        state_notes: memory.notes,
        home: home.directory().to_owned(),
    })
}

fn header(request: &BackupRequest) -> Header {
    let sources = request.sources.iter();
    Header {
        s3haul: KIND.to_owned(),
        version: VERSION,
        job: request.job.clone(),
        id: SnapshotId::at(Timestamp::now()),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        sources: sources.map(|source| source.display().to_string()).collect(),
    }
}

/// A manifest in a file that is only read by its owner. What an earlier run left there is overwritten.
fn begin(draft: &Path, header: &Header) -> Result<ManifestWriter<File>> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600);
    let file = options.open(draft);
    file.and_then(|file| ManifestWriter::new(file, header))
        .map_err(|error| unwritable(draft, error))
}

/// Ends the manifest. Where contents have not arrived, it is written anew: files that have them are in it with the reason.
fn finish(
    manifest: ManifestWriter<File>,
    draft: &Path,
    (header, prefix): (&Header, &str),
    failed: &HashMap<String, String>,
) -> Result<Totals> {
    let unwritable = |error: io::Error| unwritable(draft, error);
    let (mut file, totals) = manifest.finish().map_err(unwritable)?;
    if failed.is_empty() {
        return Ok(totals);
    }
    file.rewind().map_err(unwritable)?;
    let other = draft.with_extension("mended");
    let mut mended = begin(&other, header)?;
    let reader = ManifestReader::new(file).map_err(|error| unwritable(io::Error::other(error)))?;
    for entry in reader {
        let mut entry: Entry = entry.map_err(|error| unwritable(io::Error::other(error)))?;
        let failure = entry
            .key
            .as_ref()
            .and_then(|key| failed.get(&format!("{prefix}{key}")));
        if let Some(failure) = failure {
            (entry.key, entry.sha256, entry.link_of) = (None, None, None);
            entry.error = Some(failure.clone());
        }
        mended.entry(&entry).map_err(unwritable)?;
    }
    let (_, totals) = mended.finish().map_err(unwritable)?;
    std::fs::rename(&other, draft).map_err(unwritable)?;
    Ok(totals)
}

/// Sends the manifest, whole or not at all, and only where nothing is.
fn send(
    draft: &Path,
    key: &str,
    connector: &Connector,
    upload: &UploadRequest,
    cancel: &CancellationToken,
) -> Result<()> {
    let mut upload = upload.clone();
    upload.resume = None;
    upload.deadline = None;
    upload.own_outputs = Vec::new();
    upload.config.transfer.if_none_match = true;
    let file = SourceFile {
        path: draft.to_owned(),
        key: key.to_owned(),
        encoded: false,
        seen: None,
    };
    let work = Work::Entries(Box::new(std::iter::once(Wanted::from(Found::File(file)))));
    let sent = run_work(work, Effect::Apply, connector, &upload, cancel, &mut Silent)?;
    if sent.totals.done == 1 {
        std::fs::remove_file(draft).map_err(|error| unwritable(draft, error))?;
        return Ok(());
    }
    let why = sent.failures.first().map(|record| match &record.outcome {
        Outcome::Failed { failure } => failure.to_string(),
        _ => "it was stopped".to_owned(),
    });
    let message = "the manifest could not be stored, so there is no snapshot of this run";
    Err(Error::new(ErrorKind::Server, message)
        .with_source(io::Error::other(
            why.unwrap_or_else(|| "it was stopped".to_owned()),
        ))
        .with_hint("contents that were sent stay, and the next run does not send them again"))
}

fn upload_request(request: &BackupRequest, home: &Home) -> UploadRequest {
    let mut own_outputs = request.own_outputs.clone();
    own_outputs.extend(home.files());
    let mut config = request.config.clone();
    config.transfer.follow_symlinks = false;
    UploadRequest {
        input: Input::Paths(Vec::new()),
        target: request.target.clone(),
        filter: request.filter.clone(),
        own_outputs,
        bucket_policy: request.bucket_policy,
        resume: Some(Resume {
            journal: home.journal(),
            stays: true,
        }),
        deadline: request.deadline,
        config,
    }
}
