//! A snapshot becomes files again: directories first, then contents, then other names and links, and last what directories
//! are to look like.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::manifest::{Entry, EntryKind};
use super::paths::{path_of, target_of};
use super::repository::{Manifest, Repository};
use super::wanted::Wanted;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Failure, FailureKind};
use crate::identity::parse_mtime;
use crate::pipeline::{Effect, Fetch, Home, Monitor, StateSettings, UploadRequest, Work, run_work};
use crate::report::{Ending, RunSummary};
use crate::restore::{make_room, open_books};
use crate::source::Filter;
use crate::transfer::{Looks, Made, Overwrite, Place, Told};

/// What to bring back, and where to.
#[derive(Clone, Debug)]
pub struct SnapshotRestoreRequest {
    /// A directory, made if it is missing.
    pub dest: PathBuf,
    /// What is left out, by paths as they are in the snapshot.
    pub filter: Arc<Filter>,
    /// What happens to files that are there and are something else.
    pub overwrite: Overwrite,
    /// Files and directories are given to the users and groups that had them, by number.
    pub gives_owners: bool,
    /// Whether anything is done, or only told.
    pub effect: Effect,
    /// How.
    pub config: Config,
    /// Where it is written down what was begun; none when a killed run is not to be continued.
    pub state: Option<StateSettings>,
    /// When nothing new is begun any more.
    pub deadline: Option<Instant>,
}

/// What it came to, beside the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredEntries {
    /// Directories that are there now.
    pub directories: u64,
    /// Links that were made, symbolic and other names of files.
    pub links: u64,
    /// Pipes, sockets and devices, which are not made.
    pub left_out: u64,
    /// Links in whose place something else is that stays, as was asked for.
    pub kept: u64,
    /// Entries that the snapshot has no content for: they could not be read when it was made.
    pub without_content: u64,
    /// Which those are, and why: the first of them.
    pub lost: Vec<(String, String)>,
    /// What could not be made, and why: the first of them, and how many.
    pub failures: Vec<(String, String)>,
    /// All that could not.
    pub failed: u64,
}

/// Failures that are kept with their reasons.
const KEPT: usize = 1_000;

impl RestoredEntries {
    fn count(&mut self, name: &str, outcome: std::io::Result<Made>, counter: fn(&mut Self) -> &mut u64) {
        match outcome {
            Ok(Made::New) => *counter(self) += 1,
            Ok(Made::Same) => {}
            Ok(Made::LeftOut) => self.kept += 1,
            Err(error) => {
                self.failed += 1;
                if self.failures.len() < KEPT {
                    self.failures.push((name.to_owned(), error.to_string()));
                }
            }
        }
    }
}

/// Brings a snapshot back. Returns when each of its entries is there or has its reason why not.
///
/// Nothing is written outside of the destination, and no link is followed on the way to an entry. Contents are compared with
/// their hashes before a file gets its name. Nobody's rights grow: owners stay who restores unless that is asked for, and of
/// permissions only reading, writing and executing come back.
///
/// # Errors
/// The manifest cannot be read any more; [`ErrorKind::NothingStored`] when the filter leaves nothing in; the bucket, the
/// server or the destination cannot be used, or has no room.
pub fn restore_snapshot(
    (repository, manifest): (&Repository, &Manifest),
    request: &SnapshotRestoreRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<(RunSummary, RestoredEntries)> {
    let does = request.effect == Effect::Apply;
    let wanted = Wanted::new(manifest, request.filter.clone())?;
    let mut restoring = Restoring {
        request,
        wanted: &wanted,
        root: std::path::absolute(&request.dest).map_err(|error| unusable(&request.dest, error))?,
        prefix: repository.prefix(),
        entries: RestoredEntries::default(),
        untouched: HashSet::new(),
    };
    let wanted_bytes = restoring.look_through()?;
    let mut home = None;
    if does {
        make_room(&restoring.root, wanted_bytes)?;
        restoring.root =
            fs::canonicalize(&restoring.root).map_err(|error| unusable(&restoring.root, error))?;
        let place = (repository.connector.endpoint(), &repository.target);
        home = open_books(
            request.state.as_ref(),
            (&place.0, place.1),
            &restoring.root,
            cancel,
        )?;
        restoring.make_directories()?;
    }
    let upload = UploadRequest {
        resume: home.as_ref().map(Home::resume),
        deadline: request.deadline,
        ..UploadRequest::of_work(repository.target.clone(), request.config.clone())
    };
    let trouble = Arc::<Mutex<Option<Error>>>::default();
    let work = Work::Fetches(restoring.fetches(trouble.clone())?);
    let run = run_work(
        work,
        request.effect,
        &repository.connector,
        &upload,
        cancel,
        monitor,
    )?;
    if let Some(trouble) = trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(trouble);
    }
    if does && run.ending == Ending::Finished {
        restoring.make_links()?;
        restoring.finish_directories()?;
    }
    Ok((run, restoring.entries))
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Output,
        format!("'{}' cannot be written", path.display()),
    )
    .with_source(error)
}

/// A restore in the making.
struct Restoring<'a> {
    request: &'a SnapshotRestoreRequest,
    wanted: &'a Wanted<'a>,
    root: PathBuf,
    prefix: String,
    entries: RestoredEntries,
    /// Directories that were there and stay as they are.
    untouched: HashSet<String>,
}

fn place_in(root: &Path, path: &Path, overwrite: Overwrite) -> std::io::Result<Place> {
    let no_place = || std::io::Error::other("its path names nothing that could be below the destination");
    Place::new(root, path, overwrite, None).ok_or_else(no_place)
}

impl Restoring<'_> {
    fn place(&self, path: &Path) -> std::io::Result<Place> {
        place_in(&self.root, path, self.request.overwrite)
    }

    /// Counts entries that no restore makes, and bytes that have no room yet: none where a file of that size is.
    fn look_through(&mut self) -> Result<u64> {
        let (mut wanted_bytes, mut is_any) = (0_u64, false);
        for entry in self.wanted.entries()? {
            let (entry, path) = entry?;
            is_any = true;
            let is_special = matches!(
                entry.kind,
                EntryKind::Fifo | EntryKind::Socket | EntryKind::Device
            );
            if let Some(error) = &entry.error {
                self.entries.without_content += 1;
                if self.entries.lost.len() < KEPT {
                    self.entries.lost.push((entry.path.clone(), error.clone()));
                }
            } else if is_special {
                self.entries.left_out += 1;
            } else if self.wanted.is_fetched(&entry) {
                let size_bytes = entry.size.unwrap_or_default();
                let there = fs::symlink_metadata(self.root.join(path));
                if !there.is_ok_and(|there| there.is_file() && there.len() == size_bytes) {
                    wanted_bytes = wanted_bytes.saturating_add(size_bytes);
                }
            }
        }
        if is_any || self.request.filter.is_empty() {
            return Ok(wanted_bytes);
        }
        let message = "nothing in the snapshot is what --include and --exclude leave in";
        Err(Error::new(ErrorKind::NothingStored, message)
            .with_hint("paths begin with the name of a source; s3haul backup ls JOB@SNAPSHOT shows them"))
    }

    fn make_directories(&mut self) -> Result<()> {
        for entry in self.wanted.entries()? {
            let (entry, path) = entry?;
            if entry.kind == EntryKind::Directory {
                let made = self.place(&path).and_then(|place| place.make_directory());
                let stays = self.request.overwrite == Overwrite::Never || !self.wanted.names(&entry, &path);
                if matches!(made, Ok(false)) && stays {
                    self.untouched.insert(entry.path.clone());
                }
                let made = made.map(|is_new| if is_new { Made::New } else { Made::Same });
                self.entries
                    .count(&entry.path, made, |entries| &mut entries.directories);
            }
        }
        Ok(())
    }

    /// Files that have content of their own. What cannot be read of the manifest any more goes into `trouble`.
    fn fetches(&self, trouble: Arc<Mutex<Option<Error>>>) -> Result<Box<dyn Iterator<Item = Fetch> + Send>> {
        let (root, prefix) = (self.root.clone(), self.prefix.clone());
        let (overwrite, gives_owners) = (self.request.overwrite, self.request.gives_owners);
        let is_fetched = self.wanted.fetched();
        let mut entries = self.wanted.entries()?;
        Ok(Box::new(std::iter::from_fn(move || {
            loop {
                let (entry, path) = match entries.next()? {
                    Ok(entry) => entry,
                    Err(error) => {
                        *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        return None;
                    }
                };
                if !is_fetched(&entry) {
                    continue;
                }
                let looks = looks(&entry, gives_owners);
                let (Some(size_bytes), Some(key), Some(sha256)) = (entry.size, entry.key, entry.sha256)
                else {
                    continue;
                };
                let refused = |error: std::io::Error| {
                    (
                        path.clone(),
                        Failure::new(FailureKind::KeyRefused, error.to_string()),
                    )
                };
                let place = place_in(&root, &path, overwrite).map_err(refused);
                return Some(Fetch {
                    key: format!("{prefix}{key}"),
                    size_bytes,
                    place: place.map(|place| place.with(Told { sha256, looks })),
                });
            }
        })))
    }

    /// Other names of files, and symbolic links.
    fn make_links(&mut self) -> Result<()> {
        // Whether a first name has the content that its other names are to have.
        let mut firsts = HashMap::new();
        for entry in self.wanted.entries()? {
            let (entry, path) = entry?;
            let made = match (entry.kind, &entry.target) {
                _ if entry.error.is_some() => continue,
                (EntryKind::File, _) if self.wanted.is_fetched(&entry) => continue,
                (EntryKind::File, _) => self.make_name(&entry, &path, &mut firsts),
                (EntryKind::Symlink, Some(target)) => self.place(&path).and_then(|place| {
                    place.make_link(&target_of(target), &looks(&entry, self.request.gives_owners))
                }),
                _ => continue,
            };
            self.entries
                .count(&entry.path, made, |entries| &mut entries.links);
        }
        Ok(())
    }

    fn make_name(
        &self,
        entry: &Entry,
        path: &Path,
        firsts: &mut HashMap<String, bool>,
    ) -> std::io::Result<Made> {
        let first = self.wanted.first_of(entry);
        let place_of_first = self.place(&path_of(first))?;
        let is_it = match firsts.get(first) {
            Some(is_it) => *is_it,
            None => {
                let is_it = place_of_first.has_content(entry.sha256.as_deref().unwrap_or_default())?;
                firsts.insert(first.to_owned(), is_it);
                is_it
            }
        };
        if is_it {
            let looks = looks(entry, self.request.gives_owners);
            self.place(path)?.make_name_of(&place_of_first, &looks)
        } else if self.request.overwrite == Overwrite::Never {
            Ok(Made::LeftOut)
        } else {
            let is_there = fs::symlink_metadata(self.root.join(path_of(first))).is_ok();
            let why = if is_there {
                "where something else is"
            } else {
                "which is not there"
            };
            let message = format!("it is another name of '{first}', {why}");
            Err(std::io::Error::other(message))
        }
    }

    /// Gives directories their looks, each when all that is below it has its own: nobody gets through one that nobody may
    /// enter.
    fn finish_directories(&mut self) -> Result<()> {
        let mut open: Vec<(Entry, PathBuf)> = Vec::new();
        for entry in self.wanted.entries()? {
            let (entry, path) = entry?;
            if entry.kind != EntryKind::Directory || self.untouched.contains(&entry.path) {
                continue;
            }
            while let Some(last) = open.pop_if(|(above, _)| !entry.path.starts_with(&above.path)) {
                self.finish(&last);
            }
            open.push((entry, path));
        }
        while let Some(last) = open.pop() {
            self.finish(&last);
        }
        Ok(())
    }

    fn finish(&mut self, (entry, path): &(Entry, PathBuf)) {
        let looks = looks(entry, self.request.gives_owners);
        let finished = self.place(path).and_then(|place| place.finish_directory(&looks));
        self.entries
            .count(&entry.path, finished.map(|()| Made::Same), |entries| {
                &mut entries.directories
            });
    }
}

fn looks(entry: &Entry, gives_owners: bool) -> Looks {
    let mode = entry.mode.as_deref();
    Looks {
        modified: entry.mtime.as_deref().and_then(parse_mtime),
        mode: mode.and_then(|mode| u32::from_str_radix(mode, 8).ok()),
        owner: entry.uid.zip(entry.gid).filter(|_| gives_owners),
    }
}
