//! One run of a job: contents first, the manifest last.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::arrivals::Arrivals;
use super::contents::Inventory;
use super::draft::{Draft, Way};
use super::ground::{Ends, Ground, Surveyed, Tally};
use super::guards::{look_at_before, refuse_emptied};
use super::layout::SnapshotId;
use super::leases::Lease;
use super::manifest::{Header, KIND, ManifestWriter, Totals, VERSION};
use super::remembered::{Remembered, all_is_in, origin};
use super::repository::Repository;
use super::survey::Survey;
use super::which::Snapshot;
use crate::config::{BatchSmall, BucketPolicy, ChecksumAlgorithm, Config, StrategyKind};
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::Memory;
use crate::pipeline::{Effect, Home, Monitor, StateSettings, UploadRequest, Work, run_work};
use crate::report::{Ending, RunSummary};
use crate::source::{Filter, Root, S3Url, key, named_roots};
use crate::strategy::Choice;

/// What the lock of a job's target is for: runs, forgets and prunes have it one at a time.
pub(super) const BACKUP: &str = "backup";
/// Reasons that are kept.
const KEPT: usize = 10;

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
    /// Also when a source has no file any more that had some in the last snapshot.
    pub allows_empty_source: bool,
    /// When nothing new is begun any more.
    pub deadline: Option<Instant>,
    /// When the run begins: the snapshot is named by it.
    pub now: Timestamp,
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
    /// Why contents are not in the snapshot that were to be: the first of them.
    pub missing: Vec<String>,
    /// What is wrong with what is remembered, for people.
    pub state_notes: Vec<String>,
    /// Where what is remembered of this job is kept.
    pub home: PathBuf,
}

/// Adds a snapshot of the sources. Returns when the manifest has arrived, or the run has ended without one.
///
/// Files that are what they were at the last run are not read, and contents that are stored are not sent. A file that
/// cannot be read, or does not stay as it is, is in the manifest with the reason. Cancelling `cancel` stops it in order;
/// there is no snapshot then.
///
/// # Errors
/// Those of [`crate::pipeline::upload`]; [`ErrorKind::Locked`] when another run has the target, or a prune goes on; the
/// manifest cannot be written or sent.
pub fn backup(
    request: &BackupRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<BackupSummary> {
    let mut run = Running::begin(request, cancel)?;
    let outcome = run.go_on(request, monitor);
    let has_snapshot = outcome.as_ref().is_ok_and(|summary| summary.snapshot.is_some());
    // A prune elsewhere need not wait for it; but a manifest whose answer was lost may still come to be there.
    if has_snapshot || !run.has_sent {
        run.lease.end(&run.repository);
    }
    outcome
}

/// A run that goes on: nobody else here has its target, and no prune goes on anywhere.
struct Running {
    repository: Repository,
    home: Home,
    lease: Lease,
    roots: Vec<Root>,
    snapshots: Vec<Snapshot>,
    memory: Memory,
    upload: UploadRequest,
    draft: Draft,
    /// The manifest was on its way.
    has_sent: bool,
}

impl Running {
    fn go_on(&mut self, request: &BackupRequest, monitor: &mut dyn Monitor) -> Result<BackupSummary> {
        let mut arrivals = Arrivals::new(monitor);
        let surveyed = Arc::<Mutex<Surveyed>>::default();
        let survey = self.survey(request, surveyed.clone())?;
        let work = Work::Entries(Box::new(survey));
        let Repository {
            connector, cancel, ..
        } = &self.repository;
        let run = run_work(
            work,
            Effect::Apply,
            connector,
            &self.upload,
            cancel,
            &mut arrivals,
        )?;
        let surveyed = std::mem::take(&mut *surveyed.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(trouble) = surveyed.trouble {
            return Err(trouble);
        }
        self.memory.notes.extend(surveyed.note);
        let is_whole = surveyed.is_complete && run.ending == Ending::Finished && run.totals.cancelled == 0;
        let snapshot = match surveyed.manifest.filter(|_| is_whole) {
            None => None,
            Some(manifest) => {
                if !request.allows_empty_source {
                    refuse_emptied(&self.roots, &surveyed.tally, (&self.repository, &self.snapshots))?;
                }
                let looked_at = surveyed.has_looked.then_some(request.now);
                let handed_on = surveyed.tally.handed_on;
                Some(self.conclude(manifest, (&mut arrivals, handed_on), looked_at)?)
            }
        };
        Ok(BackupSummary {
            run,
            snapshot,
            missing: arrivals
                .missing
                .values()
                .map(|missing| missing.why.clone())
                .take(KEPT)
                .collect(),
            tally: surveyed.tally,
            state_notes: std::mem::take(&mut self.memory.notes),
            home: self.home.directory().to_owned(),
        })
    }

    fn begin(request: &BackupRequest, cancel: &CancellationToken) -> Result<Self> {
        let config = settings(&request.config)?;
        let roots = named_roots(&request.sources)?;
        let repository = Repository::open(&config, &request.target, request.bucket_policy, cancel)?;
        let endpoint = repository.connector.endpoint();
        let home = Home::open(&request.state, BACKUP, (&endpoint, &request.target), cancel)?;
        let draft = Draft {
            path: home.directory().join("manifest"),
            header: header(request, &roots),
        };
        let lease = Lease::of_run(&repository, &home, &draft.header.id)?;
        let snapshots = repository.snapshots()?;
        let origin = origin(&request.job);
        let mut memory = Memory::open(&home, &origin, false);
        if !memory.is_of_before() {
            let before = snapshots.last().map(|last| repository.header(last)).transpose()?;
            memory.notes.extend(look_at_before(
                before.flatten().as_ref(),
                &draft.header,
                &request.target,
            )?);
        }
        memory.set_origin(&origin);
        let upload = upload_request(request, &home, config);
        Ok(Self {
            repository,
            home,
            lease,
            roots,
            snapshots,
            memory,
            upload,
            draft,
            has_sent: false,
        })
    }

    fn survey(&self, request: &BackupRequest, outcome: Arc<Mutex<Surveyed>>) -> Result<Survey> {
        let manifest = self.draft.begin()?;
        self.make_journal();
        let ground = Ground {
            own: own_nodes(&self.upload, &self.draft.path),
            prefix: self.repository.prefix(),
            algorithm: self.upload.config.transfer.checksum,
            keeps_contents: keeps_contents(&self.upload.config),
            ends: Ends {
                cancel: self.repository.cancel.clone(),
                deadline: request.deadline,
            },
        };
        let remembered = Remembered::new(&self.memory, &self.snapshots, request.now);
        let inventory = Inventory::new(&ground.prefix, self.repository.contents());
        let sources = (self.roots.clone(), &request.filter);
        Ok(Survey::new(
            sources,
            (remembered, inventory),
            ground,
            manifest,
            outcome,
        ))
    }

    /// It is one of the run's own files, and those are known by what they are.
    fn make_journal(&self) {
        let journal = fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.journal());
        if let Err(error) = journal {
            tracing::debug!(%error, "the journal cannot be made");
        }
    }

    /// Ends the manifest, sees to contents that have not arrived, and sends it.
    fn conclude(
        &mut self,
        manifest: ManifestWriter<File>,
        (arrivals, handed_on): (&mut Arrivals<'_>, u64),
        looked_at: Option<Timestamp>,
    ) -> Result<(SnapshotId, Totals)> {
        let draft_file = self.draft.finish(manifest)?;
        arrivals.ensure_complete(handed_on)?;
        arrivals.look_at_found(&self.repository)?;
        if !self.lease.is_there(&self.repository)? {
            // A prune elsewhere has given us up.
            self.lease = Lease::of_run(&self.repository, &self.home, &self.draft.header.id)?;
            arrivals.miss_what_is_gone(&draft_file, &self.repository)?;
        }
        let Self {
            repository,
            roots,
            upload,
            memory,
            draft,
            ..
        } = self;
        let way = Way {
            repository,
            upload,
            roots,
        };
        let without = draft.end(draft_file, arrivals, &way)?;
        memory.forget(without.into_iter().map(Ok));
        let totals = draft.prove()?;
        self.has_sent = true;
        draft.send(&way)?;
        if !self.lease.is_there(repository)? {
            let message = format!(
                "a prune elsewhere may have removed what snapshot {} needs",
                draft.header.id
            );
            return Err(Error::new(ErrorKind::Damaged, message).with_hint(
                "s3haul backup verify says whether it has; choose a --grace longer than the longest run",
            ));
        }
        // What could not be remembered, or forgotten, is not trusted.
        if let (Some(state), true) = (&memory.state, memory.notes.is_empty())
            && let Err(error) = all_is_in(state, &draft.header.id, looked_at)
        {
            memory
                .notes
                .push(format!("what was done cannot be remembered: {error}"));
        }
        Ok((draft.header.id.clone(), totals))
    }
}

/// How contents are sent: each on its own, as what it was read as, and never in place of another.
fn settings(config: &Config) -> Result<Config> {
    let mut config = config.clone();
    config.transfer.follow_symlinks = false;
    config.transfer.batch_small = BatchSmall::Off;
    config.transfer.if_none_match = true;
    config.validate()?;
    if config.transfer.checksum == ChecksumAlgorithm::Sha256 {
        let message =
            "'--checksum sha256' cannot be used for backups: hashes of parts do not make that of the whole";
        return Err(Error::new(ErrorKind::Usage, message)
            .with_hint("contents are named by their SHA-256 in any case; leave the flag out"));
    }
    Ok(config)
}

/// Whether contents may go on with their tasks: not into other processes, and not where all tasks are made before the first
/// one is done.
fn keeps_contents(config: &Config) -> bool {
    let choice = Choice::new(config);
    choice.processes == 0 && choice.strategy != StrategyKind::Chunked
}

fn header(request: &BackupRequest, roots: &[Root]) -> Header {
    let sources = roots.iter();
    Header {
        s3haul: KIND.to_owned(),
        version: VERSION,
        job: request.job.clone(),
        id: SnapshotId::at(request.now),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        sources: sources
            .map(|root| key::encode(root.path.as_os_str().as_encoded_bytes()).text)
            .collect(),
    }
}

/// Device and inode of what the run writes: all that is in its directory, and what its caller names.
fn own_nodes(upload: &UploadRequest, draft: &Path) -> HashSet<(u64, u64)> {
    let directory = draft.parent().and_then(|directory| fs::read_dir(directory).ok());
    let own = directory
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let own = own.chain(upload.own_outputs.iter().cloned());
    own.filter_map(|path| fs::metadata(path).ok())
        .filter(fs::Metadata::is_file)
        .map(|metadata| (metadata.dev(), metadata.ino()))
        .collect()
}

fn upload_request(request: &BackupRequest, home: &Home, config: Config) -> UploadRequest {
    let mut own_outputs = request.own_outputs.clone();
    own_outputs.extend(home.files());
    UploadRequest {
        filter: request.filter.clone(),
        own_outputs,
        bucket_policy: request.bucket_policy,
        resume: Some(home.resume()),
        deadline: request.deadline,
        ..UploadRequest::of_work(request.target.clone(), config)
    }
}
