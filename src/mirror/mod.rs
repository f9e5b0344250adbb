//! A mirror of a directory in a bucket: what changed goes up, what is gone is deleted if that is safe.
//!
//! Three sorted streams are joined key by key: the source, what is remembered of the last run, and the listing of what is
//! stored. Uploads go through the pipeline while that goes on; deletions are planned meanwhile, judged when everything else
//! is done, and come last.

mod compare;
mod decide;
mod deletion;
mod gone;
mod guard;
mod join;
mod memory;
mod recorder;
mod shelf;
mod state;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::config::{BucketPolicy, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{DeletionOutcome, Event};
use crate::identity::FileIdentity;
use crate::pipeline::{
    Effect, Home, Monitor, Resume, StateSettings, Stored, UPLOADING, UploadRequest, Work, find_server,
    run_work,
};
use crate::report::{Ending, RunSummary};
use crate::source::{Filter, Root, RootKind, S3Url, resolve_roots};
use crate::store::Connector;

pub(crate) use self::compare::KnownObjects;
use self::compare::{Compared, Comparison, Question, Rules};
use self::deletion::unreadable;
pub(crate) use self::deletion::{Server, delete};
pub(crate) use self::gone::Gone;
use self::guard::{Facts, judge};
pub(crate) use self::join::{Join, Joined, Keyed};
pub(crate) use self::memory::Memory;
use self::recorder::Recorder;
use self::shelf::Shelf;
pub(crate) use self::state::{Change, Known, KnownObject, Origin, Stamp, State};

pub use compare::Tally;
pub use decide::ChangeRule;
pub use deletion::Deleted;
pub use guard::{DeleteRules, MaxDelete, Withheld};
pub use verify::{Verification, VerifyRequest, verify};

/// What to mirror, where to, and what may be deleted for it.
#[derive(Clone, Debug)]
pub struct MirrorRequest {
    /// A directory.
    pub source: PathBuf,
    /// Bucket and prefix.
    pub target: S3Url,
    /// What is left out.
    pub filter: Arc<Filter>,
    /// Files that the caller writes during the run.
    pub own_outputs: Vec<PathBuf>,
    /// Whether a missing bucket is made.
    pub bucket_policy: BucketPolicy,
    /// How.
    pub config: Config,
    /// Whether anything is done, or only told.
    pub effect: Effect,
    /// What counts as a change.
    pub change: ChangeRule,
    /// Whether what is gone is deleted, and in spite of what; none when nothing is.
    pub delete: Option<DeleteRules>,
    /// A file, relative to the source, without which the source is not what it should be.
    pub required_file: Option<PathBuf>,
    /// Where what is remembered of mirrors is kept.
    pub state: StateSettings,
    /// When nothing new is begun any more.
    pub deadline: Option<Instant>,
}

/// What became of what is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// It was deleted, as far as the server let us.
    Done(Deleted),
    /// So many objects and bytes would be deleted.
    Planned {
        /// Objects.
        objects: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Nothing was deleted.
    Withheld(Withheld),
}

/// What a mirror came to.
#[derive(Clone, Debug)]
pub struct MirrorSummary {
    /// Of what went up.
    pub run: RunSummary,
    /// Of everything.
    pub tally: Tally,
    /// None when nobody asked for it.
    pub deletion: Option<Deletion>,
    /// What is wrong with what is remembered, for people.
    pub state_notes: Vec<String>,
    /// Where what is remembered of this mirror is kept.
    pub home: PathBuf,
}

/// Makes what is below the target what the source is. Returns when everything is done that is going to be.
///
/// Cancelling `cancel` stops it in order: see [`crate::pipeline::upload`]. Nothing is deleted then.
///
/// # Errors
/// Those of `upload`; [`ErrorKind::Locked`] when another run has the target; [`ErrorKind::Refused`] when the required file
/// is missing. What was uploaded before the listing failed stays.
pub fn mirror(
    request: &MirrorRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<MirrorSummary> {
    request.config.validate()?;
    let (root, identity) = source(&request.source, &request.target)?;
    refuse_without(request.required_file.as_deref(), &request.source)?;
    let shelf = request.shelf()?;
    let connector = find_server(&request.config, cancel)?;
    let endpoint = connector.endpoint();
    let home = Home::open(&request.state, UPLOADING, (&endpoint, &request.target), cancel)?;
    refuse_state_inside(request, &home)?;
    let origin = Origin {
        host: host_name(),
        source: root.path.display().to_string(),
        device: identity.node().0,
    };
    let plans = request.effect == Effect::Plan;
    let mut memory = Memory::open(&home, &origin, plans);
    let upload = upload_request(request, &home);
    let mut recorder = Recorder::new(monitor, memory.state.clone().filter(|_| !plans));
    let way = Way {
        rules: request.rules(),
        effect: request.effect,
        known: memory.objects(),
        connector: connector.clone(),
    };
    let gone_through = go_through(root, way, &upload, cancel, &mut recorder);
    memory.notes.extend(recorder.finish());
    let (run, compared) = gone_through?;
    let facts = facts(&run, &compared, memory.is_on_other_device(&origin));
    let rules = request.delete.as_ref();
    let verdict = rules.map(|rules| judge(rules, &facts));
    if !plans {
        let forgotten = compared.forgotten.read().map_err(unreadable)?;
        memory.forget(forgotten.map(|gone| Ok(gone?.key)));
        if !facts.is_on_other_device || rules.is_some_and(|rules| rules.allows_other_device) {
            memory.set_origin(&origin);
        }
    }
    let deletion = match verdict {
        None => None,
        Some(Err(withheld)) => Some(Deletion::Withheld(withheld)),
        Some(Ok(())) if plans => Some(tell_gone(compared.gone, monitor)?),
        Some(Ok(())) => {
            let gone = (compared.gone, shelf.as_ref());
            let deleted = delete_gone(gone, (request, &connector), cancel, &mut memory, monitor)?;
            Some(Deletion::Done(deleted))
        }
    };
    Ok(MirrorSummary {
        run,
        tally: compared.tally,
        deletion,
        state_notes: memory.notes,
        home: home.directory().to_owned(),
    })
}

/// How a source is gone through.
struct Way {
    rules: Rules,
    effect: Effect,
    known: KnownObjects,
    connector: Connector,
}

/// Joins the source, what is known, and what is stored; uploads or looks at what comes of it.
fn go_through(
    root: Root,
    way: Way,
    upload: &UploadRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<(RunSummary, Compared)> {
    let compared = Arc::<Mutex<Compared>>::default();
    let stored = Stored::new(
        (&way.connector, upload.config.transfer.retry),
        (&upload.target.bucket, &upload.target.prefix()),
        cancel,
    );
    let comparison = Comparison::new(
        (root, upload.filter.clone()),
        way.known,
        Box::new(stored),
        way.rules,
        compared.clone(),
    );
    let run = run_work(
        Work::Entries(Box::new(comparison)),
        way.effect,
        &way.connector,
        upload,
        cancel,
        monitor,
    )?;
    let compared = std::mem::take(&mut *compared.lock().unwrap_or_else(PoisonError::into_inner));
    match compared.trouble {
        Some(trouble) => Err(trouble),
        None => Ok((run, compared)),
    }
}

fn facts(run: &RunSummary, compared: &Compared, is_on_other_device: bool) -> Facts {
    Facts {
        failures: run.totals.failed + run.totals.cancelled,
        is_complete: compared.is_complete && run.ending == Ending::Finished,
        files: compared.tally.files,
        stored: compared.tally.stored,
        gone: compared.tally.gone,
        is_on_other_device,
    }
}

/// Tells of everything that is gone, and counts it.
fn tell_gone(gone: Gone, monitor: &mut dyn Monitor) -> Result<Deletion> {
    let (objects, bytes) = gone.tell(&mut |record| {
        monitor.notify(&Event::Deletion(Box::new(record.clone())));
    })?;
    Ok(Deletion::Planned { objects, bytes })
}

impl MirrorRequest {
    fn rules(&self) -> Rules {
        Rules {
            question: Question::Changed(self.change),
            deletes_excluded: self.delete.as_ref().is_some_and(|rules| rules.deletes_excluded),
            follows_links: self.config.transfer.follow_symlinks,
        }
    }

    fn shelf(&self) -> Result<Option<Shelf>> {
        let prefix = self
            .delete
            .as_ref()
            .and_then(|rules| rules.backup_prefix.as_deref());
        prefix.map(|prefix| Shelf::new(prefix, &self.target)).transpose()
    }
}

/// The source as a root, and its state; a file or nothing is none.
fn source(path: &Path, target: &S3Url) -> Result<(Root, FileIdentity)> {
    let roots = resolve_roots(&[path.to_owned()], target)?;
    let shown = path.display();
    let root = roots
        .into_iter()
        .find(|root| root.kind == RootKind::Directory)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Usage,
                format!("'{shown}' is a file, and a mirror is of a directory"),
            )
            .with_hint("upload a file with s3haul cp")
        })?;
    let unusable = |error: std::io::Error| {
        Error::new(ErrorKind::Source, format!("source '{shown}' cannot be read")).with_source(error)
    };
    let identity = FileIdentity::from(&fs::metadata(&root.path).map_err(unusable)?);
    let path = fs::canonicalize(&root.path).map_err(unusable)?;
    Ok((Root { path, ..root }, identity))
}

/// Refuses a source without the file that says that it is what it should be.
fn refuse_without(required: Option<&Path>, source: &Path) -> Result<()> {
    let Some(missing) = required.filter(|required| !source.join(required).exists()) else {
        return Ok(());
    };
    let message = format!("'{}' is not in source '{}'", missing.display(), source.display());
    Err(Error::new(ErrorKind::Refused, message)
        .with_hint("look whether the disk is mounted; --require-file names the file that says so"))
}

/// A source inside the state of its own mirror would change with every run.
fn refuse_state_inside(request: &MirrorRequest, home: &Home) -> Result<()> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (source, state) = (real(&request.source), real(home.directory()));
    if !source.starts_with(&state) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Usage,
        format!(
            "source '{}' lies in the directory that keeps what is remembered",
            source.display()
        ),
    )
    .with_hint("name another directory with --state-dir DIR"))
}

fn upload_request(request: &MirrorRequest, home: &Home) -> UploadRequest {
    let mut own_outputs = request.own_outputs.clone();
    own_outputs.extend(home.files());
    let mut config = request.config.clone();
    config.transfer.keeps_identities = true;
    UploadRequest {
        filter: request.filter.clone(),
        own_outputs,
        bucket_policy: request.bucket_policy,
        resume: (request.effect == Effect::Apply).then(|| Resume {
            journal: home.journal(),
            stays: false,
        }),
        deadline: request.deadline,
        ..UploadRequest::new(&request.source, request.target.clone(), config)
    }
}

fn delete_gone(
    (gone, shelf): (Gone, Option<&Shelf>),
    (request, connector): (&MirrorRequest, &Connector),
    cancel: &CancellationToken,
    memory: &mut Memory,
    monitor: &mut dyn Monitor,
) -> Result<Deleted> {
    let server = Server {
        connector,
        retry: request.config.transfer.retry,
        bucket: &request.target.bucket,
        goes_on: &|| Ok(request.deadline.is_none_or(|deadline| Instant::now() < deadline)),
    };
    delete(gone, shelf, &server, cancel, |lot| {
        let deleted = lot
            .iter()
            .filter(|record| record.outcome == DeletionOutcome::Done)
            .map(|record| Ok(record.key.clone()));
        memory.forget(deleted);
        for record in lot {
            monitor.notify(&Event::Deletion(Box::new(record)));
        }
    })
}

/// What this machine is called.
pub(crate) fn host_name() -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    match machine.trim() {
        "" => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        id => id.to_owned(),
    }
}
