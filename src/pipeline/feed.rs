//! The feeder: walks the sources, plans each file and enqueues its tasks. A dry run is the same without tasks.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::input::{PatientReader, own_outputs};
use super::outlet::{Outlet, Way};
use super::{Effect, Input, UploadRequest};
use crate::config::{Attention, StrategyKind, TransferSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Failure, FailureKind, Outcome, SkipReason, UploadReason};
use crate::identity::FileIdentity;
use crate::plan::{Looks, Shape, StreamParts, shape};
use crate::queue::Sender;
use crate::source::{Found, PathList, RootKind, SourceFile, Walk, resolve_roots};
use crate::strategy::Choice;
use crate::transfer::{Content, Look, ObjectSpec, RunContext, Task, Ticket, TransferShared, read_stream};

/// An entry, and what is known beforehand of what is stored in its place.
pub(crate) struct Wanted {
    pub(crate) found: Found,
    /// Why it goes up, if it is a file.
    pub(crate) reason: UploadReason,
    /// What has to be found out before it does.
    pub(crate) look: Option<Box<Look>>,
}

impl From<Found> for Wanted {
    fn from(found: Found) -> Self {
        Self {
            found,
            reason: UploadReason::Requested,
            look: None,
        }
    }
}

/// What is to go up, as it is found.
pub(crate) type Entries = Box<dyn Iterator<Item = Wanted> + Send>;

/// The sources of a run, opened and checked before the first byte moves.
pub(super) struct Source {
    kind: Kind,
    transfer: TransferSettings,
    effect: Effect,
    per_file: bool,
    sorts: bool,
}

enum Kind {
    Entries(Entries),
    Stdin { key: String },
}

impl Source {
    pub(super) fn open(request: &UploadRequest, cancel: &CancellationToken) -> Result<Self> {
        let kind = match &request.input {
            Input::Stdin => Kind::Stdin {
                key: stdin_key(request)?,
            },
            Input::Paths(paths) => Kind::Entries(walk(request, paths)?),
            Input::List {
                base,
                list,
                separator,
            } => Kind::Entries(from_list(request, base, (list.as_deref(), *separator), cancel)?),
        };
        Ok(Self::new(kind, Effect::Apply, request))
    }

    /// Entries that somebody else has found.
    pub(super) fn of(entries: Entries, effect: Effect, request: &UploadRequest) -> Self {
        Self::new(Kind::Entries(entries), effect, request)
    }

    pub(super) fn effect(&self) -> Effect {
        self.effect
    }

    fn new(kind: Kind, effect: Effect, request: &UploadRequest) -> Self {
        let choice = Choice::new(&request.config);
        Self {
            kind,
            transfer: request.config.transfer.clone(),
            effect,
            // Who sends nothing has no use for parts.
            per_file: choice.is_per_file() || effect == Effect::Plan,
            // A list that is split beforehand is split as it was found.
            sorts: choice.strategy != StrategyKind::Chunked,
        }
    }

    /// What a source and a strategy cannot do together.
    pub(super) fn check(&self, choice: &Choice) -> Result<()> {
        let children = matches!(choice.strategy, StrategyKind::Processes | StrategyKind::Hybrid);
        if matches!(self.kind, Kind::Stdin { .. }) && children {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "'cp -' cannot be used with '--strategy {}': the stream's bytes are in this process's memory",
                    choice.strategy.name()
                ),
            )
            .with_hint("use --strategy async or threads"));
        }
        Ok(())
    }

    /// Enqueues everything; returns when all is enqueued or the run is cancelled.
    pub(super) fn feed(
        self,
        run: &RunContext,
        transfer: &TransferShared,
        tasks: Sender<Task>,
        batch_limit: Option<u64>,
    ) {
        let tasks = Arc::new(tasks);
        match self.kind {
            Kind::Entries(entries) => {
                let mut feeder = Feeder {
                    settings: &self.transfer,
                    per_file: self.per_file,
                    looks: (self.sorts && batch_limit.is_none()).then(Looks::default),
                    run,
                    outlet: Outlet::new(&tasks, batch_limit, self.sorts),
                };
                for wanted in entries {
                    if run.cancel.is_cancelled() {
                        break;
                    }
                    feeder.take(wanted);
                }
                feeder.outlet.flush();
            }
            Kind::Stdin { key } => {
                let ticket = Ticket::new(
                    Path::new("-"),
                    &key,
                    false,
                    0,
                    run.events.clone(),
                    run.cancel.clone(),
                );
                let parts = StreamParts::new(self.transfer.part_size.bytes());
                let mut input = PatientReader::stdin(&run.cancel);
                read_stream(&mut input, &key, ticket, parts, transfer, &tasks);
            }
        }
        run.events.send(Event::DiscoveryDone);
    }
}

fn stdin_key(request: &UploadRequest) -> Result<String> {
    let key = &request.target.key;
    if key.is_empty() || key.ends_with('/') {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("'{}' names no key for standard input", request.target),
        )
        .with_hint("write the whole key: s3haul cp - s3://BUCKET/NAME"));
    }
    Ok(key.clone())
}

fn walk(request: &UploadRequest, paths: &[PathBuf]) -> Result<Entries> {
    let roots = resolve_roots(paths, &request.target)?;
    let filter = request.filter.clone();
    let follow = request.config.transfer.follow_symlinks;
    Ok(Box::new(
        roots
            .into_iter()
            .flat_map(move |root| Walk::new(root, filter.clone(), follow))
            .map(Wanted::from),
    ))
}

fn from_list(
    request: &UploadRequest,
    base: &Path,
    (list, separator): (Option<&Path>, u8),
    cancel: &CancellationToken,
) -> Result<Entries> {
    let mut roots = resolve_roots(&[base.to_owned()], &request.target)?;
    let root = roots.remove(0);
    if root.kind != RootKind::Directory {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("'{}' is not a directory", base.display()),
        )
        .with_hint("with --files-from, the source is the directory that the listed paths are relative to"));
    }
    let reader = match list {
        None => PatientReader::stdin(cancel),
        Some(path) => PatientReader::open(path, cancel).map_err(|error| {
            Error::new(
                ErrorKind::Source,
                format!("list '{}' cannot be read", path.display()),
            )
            .with_source(error)
        })?,
    };
    let reader = BufReader::new(reader);
    let follow = request.config.transfer.follow_symlinks;
    let list = PathList::new(reader, separator, root, request.filter.clone(), follow);
    Ok(Box::new(list.map(Wanted::from)))
}

/// What becomes of each entry of a walk.
struct Feeder<'a> {
    settings: &'a TransferSettings,
    per_file: bool,
    /// None where every size counts.
    looks: Option<Looks>,
    run: &'a RunContext,
    outlet: Outlet<'a>,
}

impl Feeder<'_> {
    fn take(&mut self, wanted: Wanted) {
        match wanted.found {
            Found::Skipped { path, reason } => self
                .ticket(&path, "", false, 0)
                .settle(Outcome::Skipped { reason }),
            Found::Failed { path, failure } => self
                .ticket(&path, "", false, 0)
                .settle(Outcome::Failed { failure }),
            Found::File(file) => self.file(file, wanted.reason, wanted.look),
        }
    }

    fn ticket(&self, path: &Path, key: &str, encoded: bool, size_bytes: u64) -> Ticket {
        let (events, cancel) = (self.run.events.clone(), self.run.cancel.clone());
        let mut ticket = Ticket::new(path, key, encoded, size_bytes, events, cancel);
        if self.settings.attention >= Attention::Requests {
            ticket.note(|record| record.found = Some(Instant::now()));
        }
        ticket
    }

    fn file(&mut self, mut file: SourceFile, reason: UploadReason, look: Option<Box<Look>>) {
        let presumed = match &mut self.looks {
            Some(looks) if file.seen.is_none() => looks.presumed(),
            _ => None,
        };
        if let Some(size_bytes) = presumed {
            let mut ticket = self.ticket(&file.path, &file.key, file.encoded, size_bytes);
            ticket.note(|record| record.size_bytes = 0);
            let way = if self.per_file { Way::Whole } else { Way::Presumed };
            return self.outlet.put(spec(file, size_bytes), ticket, way, look);
        }
        let size_bytes = match file.look(self.settings.follow_symlinks) {
            Ok(seen) => seen.size_bytes,
            Err(error) => return self.take(Found::failed(file.path, &error).into()),
        };
        if let Some(looks) = &mut self.looks {
            looks.saw(size_bytes);
        }
        let mut ticket = self.ticket(&file.path, &file.key, file.encoded, size_bytes);
        if reason != UploadReason::Requested {
            ticket.note(|record| record.reason = reason);
        }
        match shape_of(size_bytes, self.settings) {
            Err(failure) => ticket.settle(Outcome::Failed { failure }),
            Ok(shape) => {
                let way = match shape {
                    // Whoever looks at it hands its parts out if that has to be.
                    Shape::Multipart(_) if look.is_some() && !self.per_file => Way::Presumed,
                    Shape::Multipart(plan) if !self.per_file => Way::Parts(plan),
                    _ => Way::Whole,
                };
                self.outlet.put(spec(file, size_bytes), ticket, way, look);
            }
        }
    }
}

fn spec(file: SourceFile, size_bytes: u64) -> ObjectSpec {
    ObjectSpec {
        key: file.key,
        content: Content::Path(file.path),
        size_bytes,
    }
}

fn shape_of(size_bytes: u64, settings: &TransferSettings) -> std::result::Result<Shape, Failure> {
    shape(
        size_bytes,
        settings.multipart_threshold.bytes(),
        settings.part_size.bytes(),
    )
    .map_err(|too_large| Failure::new(FailureKind::KeyRefused, too_large.to_string()))
}

/// What a dry run says of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Path as found.
    pub path: PathBuf,
    /// What would happen.
    pub action: PlannedAction,
}

/// See [`PlannedFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedAction {
    /// It would be uploaded.
    Upload {
        /// Key.
        key: String,
        /// The key is an encoding of the name.
        encoded: bool,
        /// Why.
        reason: UploadReason,
        /// Bytes.
        size_bytes: u64,
        /// Parts; 0 for a single PUT.
        parts: u32,
    },
    /// It would be left out.
    Skip(SkipReason),
    /// It could not be uploaded.
    Fail(Failure),
}

/// Everything that [`super::upload`] would do, in the order of the walk, without asking the server.
///
/// # Errors
/// The same as `upload`, as far as they do not need the server.
pub fn plan(request: &UploadRequest) -> Result<impl Iterator<Item = PlannedFile> + use<>> {
    request.config.validate()?;
    let source = Source::open(request, &CancellationToken::new())?;
    source.check(&Choice::new(&request.config))?;
    let (transfer, own) = (source.transfer, own_outputs(request));
    let entries = match source.kind {
        Kind::Entries(entries) => entries,
        Kind::Stdin { key } => {
            let stream = SourceFile {
                path: PathBuf::from("-"),
                key,
                encoded: false,
                seen: Some(Box::new(FileIdentity::NONE)),
            };
            Box::new(std::iter::once(Wanted::from(Found::File(stream)))) as Entries
        }
    };
    Ok(entries.map(move |wanted| planned(wanted.found, &transfer, &own)))
}

fn planned(found: Found, settings: &TransferSettings, own: &[(u64, u64)]) -> PlannedFile {
    match found {
        Found::Skipped { path, reason } => PlannedFile {
            path,
            action: PlannedAction::Skip(reason),
        },
        Found::Failed { path, failure } => PlannedFile {
            path,
            action: PlannedAction::Fail(failure),
        },
        Found::File(file) => planned_file(file, settings, own),
    }
}

fn planned_file(mut file: SourceFile, settings: &TransferSettings, own: &[(u64, u64)]) -> PlannedFile {
    let identity = match file.look(settings.follow_symlinks) {
        Ok(identity) => identity,
        Err(error) => return planned(Found::failed(file.path, &error), settings, own),
    };
    let size_bytes = identity.size_bytes;
    let action = match shape_of(size_bytes, settings) {
        _ if own.contains(&identity.node()) => PlannedAction::Skip(SkipReason::OwnOutput),
        Err(failure) => PlannedAction::Fail(failure),
        Ok(shape) => PlannedAction::Upload {
            key: file.key,
            encoded: file.encoded,
            reason: UploadReason::Requested,
            size_bytes,
            parts: match shape {
                Shape::Single => 0,
                Shape::Multipart(plan) => plan.count(),
            },
        },
    };
    PlannedFile {
        path: file.path,
        action,
    }
}
