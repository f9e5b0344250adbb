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
mod home;
mod join;
mod listing;
mod recorder;
mod state;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::{BucketPolicy, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::identity::FileIdentity;
use crate::pipeline::{Entries, Input, Monitor, UploadRequest, connect, upload_entries};
use crate::report::{Ending, RunSummary};
use crate::source::{Filter, Root, RootKind, S3Url, Walk, resolve_roots};

use self::compare::{Compared, Comparison, Rules};
use self::gone::{Gone, GoneObject};
use self::guard::{Facts, judge};
use self::home::Home;
use self::listing::Stored;
use self::recorder::Recorder;
use self::state::{Change, Origin, State};

pub use compare::Tally;
pub use decide::ChangeRule;
pub use deletion::Deleted;
pub use guard::{DeleteRules, MaxDelete, Withheld};

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
    /// What counts as a change.
    pub change: ChangeRule,
    /// Whether what is gone is deleted, and in spite of what; none when nothing is.
    pub delete: Option<DeleteRules>,
    /// A file, relative to the source, without which the source is not what it should be.
    pub required_file: Option<PathBuf>,
    /// Where what is remembered of mirrors is kept.
    pub state_base: PathBuf,
    /// Time to wait for another run of the same target.
    pub lock_patience: Duration,
}

/// What became of what is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// It was deleted, as far as the server let us.
    Done(Deleted),
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
    let (root, identity) = source(request)?;
    let (_, connector, _) = connect(&request.config, &request.target.bucket)?;
    let home = Home::open(
        &request.state_base,
        &connector.endpoint(),
        &request.target,
        request.lock_patience,
        cancel,
    )?;
    drop(connector);
    refuse_state_inside(request, &home)?;
    let origin = Origin {
        host: host_name(),
        source: root.path.display().to_string(),
        device: identity.node().0,
    };
    let mut memory = Memory::open(&home, &origin);
    let compared = Arc::<Mutex<Compared>>::default();
    let entries = comparison(request, root, &memory, (cancel, &compared));
    let upload = upload_request(request, &home);
    let mut recorder = Recorder::new(monitor, memory.state.clone());
    let run = upload_entries(entries, &upload, cancel, &mut recorder)?;
    memory.notes.extend(recorder.finish());
    let compared = std::mem::take(&mut *compared.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(trouble) = compared.trouble {
        return Err(trouble);
    }
    memory.forget(&compared.forgotten);
    let facts = Facts {
        failures: run.totals.failed + run.totals.cancelled,
        is_complete: compared.is_complete && run.ending == Ending::Finished,
        files: compared.tally.files,
        stored: compared.tally.stored,
        gone: compared.tally.gone,
        is_on_other_device: memory
            .before
            .as_ref()
            .is_some_and(|before| before.device != origin.device),
    };
    let rules = request.delete.as_ref();
    if !facts.is_on_other_device || rules.is_some_and(|rules| rules.allows_other_device) {
        memory.set_origin(&origin);
    }
    let deletion = match rules.map(|rules| judge(rules, &facts)) {
        None => None,
        Some(Err(withheld)) => Some(Deletion::Withheld(withheld)),
        Some(Ok(())) => Some(Deletion::Done(delete(
            compared.gone,
            request,
            cancel,
            &mut memory,
        )?)),
    };
    Ok(MirrorSummary {
        run,
        tally: compared.tally,
        deletion,
        state_notes: memory.notes,
    })
}

/// What is remembered, as far as it can be.
struct Memory {
    state: Option<Arc<State>>,
    /// Where the source was last time.
    before: Option<Origin>,
    notes: Vec<String>,
}

impl Memory {
    fn open(home: &Home, origin: &Origin) -> Self {
        let path = home.state();
        match State::open(&path, origin) {
            Ok(opened) => Self {
                state: Some(Arc::new(opened.state)),
                before: opened.origin,
                notes: opened
                    .distrust
                    .map(|why| {
                        format!("what was remembered of this mirror does not count ({why}); it is made anew")
                    })
                    .into_iter()
                    .collect(),
            },
            Err(error) => Self {
                state: None,
                before: None,
                notes: vec![format!(
                    "nothing is remembered of this mirror, because '{}' cannot be used ({error}); each run has to ask for each object",
                    path.display()
                )],
            },
        }
    }

    fn note(&mut self, outcome: std::io::Result<()>) {
        if let Err(error) = outcome {
            self.notes
                .push(format!("what was done cannot be remembered: {error}"));
        }
    }

    fn set_origin(&mut self, origin: &Origin) {
        if let Some(state) = self.state.clone() {
            self.note(state.set_origin(origin));
        }
    }

    fn forget(&mut self, keys: &[String]) {
        if let Some(state) = self.state.clone().filter(|_| !keys.is_empty()) {
            let changes: Vec<Change> = keys
                .iter()
                .map(|key| Change::Forget { key: key.clone() })
                .collect();
            self.note(state.apply(&changes));
        }
    }
}

/// The source as a root, and its state; a file or nothing is none.
fn source(request: &MirrorRequest) -> Result<(Root, FileIdentity)> {
    let roots = resolve_roots(std::slice::from_ref(&request.source), &request.target)?;
    let shown = request.source.display();
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
    if let Some(required) = &request.required_file
        && !root.path.join(required).exists()
    {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("'{}' is not in source '{shown}'", required.display()),
        )
        .with_hint("look whether the disk is mounted; --require-file names the file that says so"));
    }
    let path = fs::canonicalize(&root.path).map_err(unusable)?;
    Ok((Root { path, ..root }, identity))
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

fn comparison(
    request: &MirrorRequest,
    root: Root,
    memory: &Memory,
    (cancel, compared): (&CancellationToken, &Arc<Mutex<Compared>>),
) -> Entries {
    let follows_links = request.config.transfer.follow_symlinks;
    let walk = Walk::new(root.clone(), request.filter.clone(), follows_links);
    let known = memory.state.as_ref().and_then(|state| state.objects().ok());
    // What cannot be read is not remembered.
    let known = known
        .into_iter()
        .flatten()
        .map_while(|object| object.ok().map(Ok));
    let stored = Stored::new(request.config.clone(), request.target.clone(), cancel.clone());
    let rules = Rules {
        change: request.change,
        deletes_excluded: request
            .delete
            .as_ref()
            .is_some_and(|rules| rules.deletes_excluded),
        follows_links,
    };
    Box::new(Comparison::new(
        (root, walk),
        Box::new(known),
        Box::new(stored),
        rules,
        (compared.clone(), Gone::default()),
    ))
}

fn upload_request(request: &MirrorRequest, home: &Home) -> UploadRequest {
    let mut own_outputs = request.own_outputs.clone();
    own_outputs.push(home.state());
    own_outputs.push(home.directory().join("lock"));
    let mut config = request.config.clone();
    config.transfer.keeps_identities = true;
    UploadRequest {
        input: Input::Paths(vec![request.source.clone()]),
        target: request.target.clone(),
        filter: request.filter.clone(),
        own_outputs,
        bucket_policy: request.bucket_policy,
        config,
    }
}

fn delete(
    gone: Gone,
    request: &MirrorRequest,
    cancel: &CancellationToken,
    memory: &mut Memory,
) -> Result<Deleted> {
    let mut forgotten = Vec::new();
    let outcome = deletion::delete(
        gone,
        (&request.config, &request.target),
        cancel,
        |object: GoneObject| forgotten.push(object.key),
    );
    memory.forget(&forgotten);
    outcome
}

/// What this machine is called.
fn host_name() -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    match machine.trim() {
        "" => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        id => id.to_owned(),
    }
}
