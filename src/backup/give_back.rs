//! A snapshot becomes files again: directories first, then contents, then other names and links, and last what directories
//! are to look like.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::manifest::{Entry, EntryKind, ManifestReader};
use super::snapshots::{Manifest, Snapshot, open_manifest};
use crate::config::{BucketPolicy, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Failure, FailureKind};
use crate::identity::parse_mtime;
use crate::pipeline::{
    Effect, Fetch, Home, Input, Monitor, Resume, StateSettings, UploadRequest, Work, find_server, run_work,
};
use crate::report::RunSummary;
use crate::restore::make_room;
use crate::source::{Filter, S3Url, key};
use crate::transfer::{Overwrite, Place, Told};

/// What to bring back, and where to.
#[derive(Clone, Debug)]
pub struct GiveBackRequest {
    /// Bucket and prefix of the job.
    pub target: S3Url,
    /// Which snapshot.
    pub snapshot: Snapshot,
    /// A directory, made if it is missing.
    pub dest: PathBuf,
    /// What is left out.
    pub filter: Arc<Filter>,
    /// What happens to files that are there and are something else.
    pub overwrite: Overwrite,
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
pub struct GivenBack {
    /// Directories that are there now.
    pub directories: u64,
    /// Links that were made, symbolic and other names of files.
    pub links: u64,
    /// Pipes, sockets and devices, which are not made.
    pub left_out: u64,
    /// Entries that the snapshot has no content for.
    pub without_content: u64,
    /// What could not be made, and why: the first of them, and how many.
    pub failures: Vec<(String, String)>,
    /// All that could not.
    pub failed: u64,
}

/// Failures that are kept with their reasons.
const KEPT: usize = 1_000;

impl GivenBack {
    fn count(&mut self, path: &str, outcome: std::io::Result<bool>, counter: fn(&mut Self) -> &mut u64) {
        match outcome {
            Ok(is_made) => *counter(self) += u64::from(is_made),
            Err(error) => {
                self.failed += 1;
                if self.failures.len() < KEPT {
                    self.failures.push((path.to_owned(), error.to_string()));
                }
            }
        }
    }
}

/// Brings a snapshot back. Returns when each of its entries is there or has its reason why not.
///
/// Nothing is written outside of the destination, and no link is followed on the way to an entry. Contents are compared with
/// their hashes before a file gets its name. Nobody's rights grow: owners stay who restores, and of permissions only
/// reading, writing and executing come back.
///
/// # Errors
/// The manifest cannot be used; the bucket, the server or the destination cannot be used, or has no room.
pub fn give_back(
    request: &GiveBackRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<(RunSummary, GivenBack)> {
    request.config.validate()?;
    let manifest = open_manifest(&request.config, &request.target, &request.snapshot.id)?;
    let connector = find_server(&request.config, cancel)?;
    let mut root = request.dest.clone();
    let does = request.effect == Effect::Apply;
    let mut given = GivenBack::default();
    if does {
        make_room(&root, wanted_bytes(request, &manifest)?)?;
        root = fs::canonicalize(&root).map_err(|error| unusable(&root, error))?;
        make_directories(request, &manifest, &root, &mut given)?;
    }
    let purpose = format!("restore to {}", root.display());
    let place = (connector.endpoint(), &request.target);
    let state = request.state.as_ref().filter(|_| does);
    let home = state
        .map(|state| Home::open(state, &purpose, (&place.0, place.1), cancel))
        .transpose()?;
    let upload = UploadRequest {
        input: Input::Paths(Vec::new()),
        target: request.target.clone(),
        filter: request.filter.clone(),
        own_outputs: Vec::new(),
        bucket_policy: BucketPolicy::MustExist,
        resume: home.as_ref().map(|home| Resume {
            journal: home.journal(),
            stays: true,
        }),
        deadline: request.deadline,
        config: request.config.clone(),
    };
    let fetches = fetches(request, &manifest, &root)?;
    let run = run_work(
        Work::Fetches(fetches),
        request.effect,
        &connector,
        &upload,
        cancel,
        monitor,
    )?;
    if does && !cancel.is_cancelled() {
        make_links(request, &manifest, &root, &mut given)?;
        finish_directories(request, &manifest, &root, &mut given)?;
    }
    Ok((run, given))
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Output,
        format!("'{}' cannot be written", path.display()),
    )
    .with_source(error)
}

/// The entries that are wanted, each with its path.
fn wanted(
    request: &GiveBackRequest,
    manifest: &Manifest,
) -> Result<impl Iterator<Item = (Entry, PathBuf)> + Send + use<>> {
    let filter = request.filter.clone();
    let entries: ManifestReader<fs::File> = manifest.entries()?;
    // It was read to its end, and its hash compared, when it was opened.
    let entries = entries.map_while(std::result::Result::ok);
    Ok(entries.filter_map(move |entry| {
        let path = path_of(&entry.path);
        let is_in = if entry.kind == EntryKind::Directory {
            filter.wants(&path.join("x")) || filter.enters_directory(&path)
        } else {
            filter.wants(&path)
        };
        is_in.then_some((entry, path))
    }))
}

/// The path of an entry, as it was: the name of its source and what lies below that were encoded each on its own.
fn path_of(path: &str) -> PathBuf {
    let path = path.trim_end_matches('/');
    let bytes = match path.split_once('/') {
        Some((source, below)) => [key::decode(source), vec![b'/'], key::decode(below)].concat(),
        None => key::decode(path),
    };
    PathBuf::from(OsString::from_vec(bytes))
}

/// Bytes that have no room yet: none where a file of that size is.
fn wanted_bytes(request: &GiveBackRequest, manifest: &Manifest) -> Result<u64> {
    let mut bytes: u64 = 0;
    for (entry, path) in wanted(request, manifest)? {
        let (Some(size), Some(_), None) = (entry.size, &entry.key, &entry.link_of) else {
            continue;
        };
        let there = fs::symlink_metadata(request.dest.join(path));
        if !there.is_ok_and(|there| there.is_file() && there.len() == size) {
            bytes = bytes.saturating_add(size);
        }
    }
    Ok(bytes)
}

fn place(request: &GiveBackRequest, root: &Path, path: &Path) -> std::io::Result<Place> {
    let no_place = || std::io::Error::other("its path names nothing that could be below the destination");
    Place::new(root, path, request.overwrite, None).ok_or_else(no_place)
}

fn make_directories(
    request: &GiveBackRequest,
    manifest: &Manifest,
    root: &Path,
    given: &mut GivenBack,
) -> Result<()> {
    for (entry, path) in wanted(request, manifest)? {
        if entry.kind == EntryKind::Directory {
            let made = place(request, root, &path).and_then(|place| place.make_directory());
            given.count(&entry.path, made.map(|()| true), |given| &mut given.directories);
        }
    }
    Ok(())
}

/// Files that have content of their own.
fn fetches(
    request: &GiveBackRequest,
    manifest: &Manifest,
    root: &Path,
) -> Result<Box<dyn Iterator<Item = Fetch> + Send>> {
    let (root, prefix, overwrite) = (root.to_owned(), request.target.prefix(), request.overwrite);
    let entries = wanted(request, manifest)?;
    Ok(Box::new(entries.filter_map(move |(entry, path)| {
        let (Some(size_bytes), Some(key), Some(sha256), None) =
            (entry.size, &entry.key, &entry.sha256, &entry.link_of)
        else {
            return None;
        };
        let told = Told {
            modified: modified(&entry),
            mode: mode(&entry),
            sha256: sha256.clone(),
        };
        let place = Place::new(&root, &path, overwrite, None).map(|place| place.with(told));
        let no_place = || {
            let message = "its path names nothing that could be below the destination";
            (path.clone(), Failure::new(FailureKind::KeyRefused, message))
        };
        Some(Fetch {
            key: format!("{prefix}{key}"),
            size_bytes,
            place: place.ok_or_else(no_place),
        })
    })))
}

fn modified(entry: &Entry) -> i128 {
    entry.mtime.as_deref().and_then(parse_mtime).unwrap_or(0)
}

fn mode(entry: &Entry) -> u32 {
    let mode = entry.mode.as_deref().map(|mode| u32::from_str_radix(mode, 8));
    mode.and_then(std::result::Result::ok).unwrap_or(0o600)
}

/// Other names of files, and symbolic links: nothing is written behind them any more.
fn make_links(
    request: &GiveBackRequest,
    manifest: &Manifest,
    root: &Path,
    given: &mut GivenBack,
) -> Result<()> {
    for (entry, path) in wanted(request, manifest)? {
        given.without_content += u64::from(entry.error.is_some());
        let made = match (entry.kind, &entry.link_of, &entry.target) {
            (EntryKind::File, Some(first), _) => place(request, root, &path).and_then(|place_of_link| {
                let first = place(request, root, &path_of(first))?;
                place_of_link.make_name_of(&first)
            }),
            (EntryKind::Symlink, _, Some(target)) => place(request, root, &path)
                .and_then(|place| place.make_link(&path_of_target(target), modified(&entry))),
            (EntryKind::Fifo | EntryKind::Socket | EntryKind::Device, ..) => {
                given.left_out += 1;
                continue;
            }
            _ => continue,
        };
        given.count(&entry.path, made, |given| &mut given.links);
    }
    Ok(())
}

fn path_of_target(target: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(key::decode(target)))
}

/// Permissions and times of directories, when nothing is written in them any more.
fn finish_directories(
    request: &GiveBackRequest,
    manifest: &Manifest,
    root: &Path,
    given: &mut GivenBack,
) -> Result<()> {
    let mut directories: Vec<(Entry, PathBuf)> = wanted(request, manifest)?
        .filter(|(entry, _)| entry.kind == EntryKind::Directory)
        .collect();
    // From the innermost: who may not enter a directory any more cannot set what is in it.
    directories.reverse();
    for (entry, path) in directories {
        let done = place(request, root, &path)
            .and_then(|place| place.finish_directory(mode(&entry), modified(&entry)));
        given.count(&entry.path, done.map(|()| false), |given| &mut given.directories);
    }
    Ok(())
}
