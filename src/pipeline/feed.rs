//! The feeder: walks the sources, plans each file and enqueues its tasks. A dry run is the same without tasks.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::input::PatientReader;
use super::outlet::{Outlet, Way};
use super::{Effect, Input, UploadRequest};
use crate::config::{Attention, StrategyKind, TransferSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Failure, FailureKind, Outcome, UploadReason};
use crate::plan::{Looks, Shape, StreamParts, shape};
use crate::queue::Sender;
use crate::source::{Found, PathList, RootKind, SourceFile, Walk, resolve_roots};
use crate::strategy::Choice;
use crate::transfer::{
    Content, Look, ObjectSpec, OnlyAs, Place, RunContext, Task, Ticket, TransferShared, read_stream,
};

/// An entry, and what is known beforehand of what is stored in its place.
pub(crate) struct Wanted {
    pub(crate) found: Found,
    /// Why it goes up, if it is a file.
    pub(crate) reason: UploadReason,
    /// What has to be found out before it does.
    pub(crate) look: Option<Box<Look>>,
    /// It goes up only as what it was when it was read: its key says what is in it.
    pub(crate) only_as: Option<Box<OnlyAs>>,
}

impl From<Found> for Wanted {
    fn from(found: Found) -> Self {
        Self {
            found,
            reason: UploadReason::Requested,
            look: None,
            only_as: None,
        }
    }
}

/// What is to go up, as it is found.
pub(crate) type Entries = Box<dyn Iterator<Item = Wanted> + Send>;

/// An object that is to become a file here.
pub(crate) struct Fetch {
    pub(crate) key: String,
    pub(crate) size_bytes: u64,
    /// Where it is to be, or why it cannot be anywhere and what that would be called.
    pub(crate) place: std::result::Result<Place, (PathBuf, Failure)>,
}

/// What is to come down, as it is found.
pub(crate) type Fetches = Box<dyn Iterator<Item = Fetch> + Send>;

/// The sources of a run, opened and checked before the first byte moves.
pub(super) struct Source {
    pub(super) work: Work,
    pub(super) transfer: TransferSettings,
    effect: Effect,
    /// Each file is one task, whatever its size.
    per_file: bool,
    sorts: bool,
}

/// What a run has to do.
pub(crate) enum Work {
    Entries(Entries),
    Fetches(Fetches),
    Stdin { key: String },
}

impl Source {
    pub(super) fn open(request: &UploadRequest, cancel: &CancellationToken) -> Result<Self> {
        let work = match &request.input {
            Input::Stdin => Work::Stdin {
                key: stdin_key(request)?,
            },
            Input::Paths(paths) => Work::Entries(walk(request, paths)?),
            Input::List {
                base,
                list,
                separator,
            } => Work::Entries(from_list(request, base, (list.as_deref(), *separator), cancel)?),
        };
        Ok(Self::new(work, Effect::Apply, request))
    }

    pub(super) fn effect(&self) -> Effect {
        self.effect
    }

    /// What is to be done; what the request says of its input does not count.
    pub(super) fn new(work: Work, effect: Effect, request: &UploadRequest) -> Self {
        let choice = Choice::new(&request.config);
        Self {
            work,
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
        if matches!(self.work, Work::Stdin { .. }) && children {
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
        let feeder = |looks, batch_limit| Feeder {
            settings: &self.transfer,
            per_file: self.per_file,
            takes_more: self.sorts,
            looks,
            run,
            outlet: Outlet::new(&tasks, batch_limit, self.sorts),
        };
        match self.work {
            Work::Entries(entries) => {
                let looks = (self.sorts && batch_limit.is_none()).then(Looks::default);
                feeder(looks, batch_limit).take_all(entries, Feeder::take);
            }
            Work::Fetches(fetches) => feeder(None, None).take_all(fetches, Feeder::fetch),
            Work::Stdin { key } => {
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
    /// Each file is one task, whatever its size.
    per_file: bool,
    /// Tasks may come while others are worked on; where all of them are split beforehand, nobody waits for more.
    takes_more: bool,
    /// None where every size counts.
    looks: Option<Looks>,
    run: &'a RunContext,
    outlet: Outlet<'a>,
}

impl Feeder<'_> {
    /// Takes each of `found` until there are no more or the run is to begin nothing new.
    fn take_all<T>(mut self, found: impl Iterator<Item = T>, take: impl Fn(&mut Self, T)) {
        for one in found {
            if self.run.cancel.is_cancelled() || self.run.is_out_of_time() {
                break;
            }
            take(&mut self, one);
        }
        self.outlet.flush();
    }

    fn take(&mut self, wanted: Wanted) {
        match wanted.found {
            Found::Directory { .. } => {}
            Found::Skipped { path, reason } => self
                .ticket(&path, "", false, 0)
                .settle(Outcome::Skipped { reason }),
            Found::Failed { path, failure, .. } => self
                .ticket(&path, "", false, 0)
                .settle(Outcome::Failed { failure }),
            Found::File(file) => {
                self.file(file, (wanted.reason, wanted.only_as), wanted.look);
            }
        }
    }

    fn fetch(&mut self, fetch: Fetch) {
        let Fetch {
            key,
            size_bytes,
            place,
        } = fetch;
        let place = match place {
            Ok(place) => place,
            Err((path, failure)) => {
                return self
                    .ticket(&path, &key, false, size_bytes)
                    .settle(Outcome::Failed { failure });
            }
        };
        let ticket = self.ticket(&place.path(), &key, false, size_bytes);
        // Whoever looks at what is there hands its parts out if that has to be.
        let way = if self.per_file || !self.takes_more {
            Way::Whole
        } else {
            Way::Presumed
        };
        let object = ObjectSpec {
            key,
            content: Content::Stored(Box::new(place)),
            size_bytes,
            only_as: None,
        };
        self.outlet.put(object, ticket, way, Some(Box::new(Look::Place)));
    }

    fn ticket(&self, path: &Path, key: &str, encoded: bool, size_bytes: u64) -> Ticket {
        let (events, cancel) = (self.run.events.clone(), self.run.cancel.clone());
        let mut ticket = Ticket::new(path, key, encoded, size_bytes, events, cancel);
        if self.settings.attention >= Attention::Requests {
            ticket.note(|record| record.found = Some(Instant::now()));
        }
        ticket
    }

    fn file(
        &mut self,
        mut file: SourceFile,
        (reason, only_as): (UploadReason, Option<Box<OnlyAs>>),
        look: Option<Box<Look>>,
    ) {
        let presumed = match &mut self.looks {
            Some(looks) if file.seen.is_none() => looks.presumed(),
            _ => None,
        };
        if let Some(size_bytes) = presumed {
            let mut ticket = self.ticket(&file.path, &file.key, file.encoded, size_bytes);
            ticket.note(|record| record.size_bytes = 0);
            let way = if self.per_file { Way::Whole } else { Way::Presumed };
            return self.outlet.put(spec(file, size_bytes, None), ticket, way, look);
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
                    Shape::Multipart(_) if look.is_some() && !self.per_file && self.takes_more => {
                        Way::Presumed
                    }
                    Shape::Multipart(plan) if look.is_none() && !self.per_file => Way::Parts(plan),
                    _ => Way::Whole,
                };
                self.outlet
                    .put(spec(file, size_bytes, only_as), ticket, way, look);
            }
        }
    }
}

fn spec(file: SourceFile, size_bytes: u64, only_as: Option<Box<OnlyAs>>) -> ObjectSpec {
    ObjectSpec {
        key: file.key,
        content: Content::Path(file.path),
        size_bytes,
        only_as,
    }
}

pub(super) fn shape_of(size_bytes: u64, settings: &TransferSettings) -> std::result::Result<Shape, Failure> {
    shape(
        size_bytes,
        settings.multipart_threshold.bytes(),
        settings.part_size.bytes(),
    )
    .map_err(|too_large| Failure::new(FailureKind::KeyRefused, too_large.to_string()))
}
