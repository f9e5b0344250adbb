//! The files of a workload: made, looked at, read once, and chosen from.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use super::report::WorkloadInfo;
use super::workload::{Kind, SEED, WorkloadSpec};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::{PlannedAction, UploadRequest, plan};
use crate::source::S3Url;

/// Files of one directory.
const FILES_A_DIRECTORY: usize = 100;
/// Empty files that the names of `lazy` lead to: a file system allows only so many names for each.
const EMPTY_FILES: usize = 32;
/// Bytes handled at once.
const PIECE: usize = 256 * 1024;

/// One file of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path below the workload's root, as bytes.
    pub path: PathBuf,
    /// Key below a job's prefix.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// MD5 of the content in hex: the ETag of a single PUT.
    pub md5: String,
}

/// A workload whose files are there.
#[derive(Debug)]
pub struct Workload {
    /// What it is made of, and how it goes up.
    pub spec: WorkloadSpec,
    /// What a report says of it.
    pub info: WorkloadInfo,
    /// Where its files are.
    pub root: PathBuf,
    /// All of them, in the order of the walk. Empty for `lazy`, whose names are too many to keep.
    pub entries: Vec<Entry>,
}

fn cannot(what: impl Into<String>, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Source, what).with_source(error)
}

impl Workload {
    /// Makes the files of `spec` in `directory`, which is empty and ours, and reads all of them once. A directory that
    /// is there already is only read.
    ///
    /// # Errors
    /// Files that cannot be made or read; a directory without files; no room.
    pub fn prepare(spec: WorkloadSpec, directory: &Path, cancel: &CancellationToken) -> Result<Self> {
        let root = match &spec.kind {
            Kind::Directory { path, .. } => path.clone(),
            Kind::Sizes(_) | Kind::Names(_) => {
                let root = directory.join(spec.name.replace([':', '/'], "-"));
                ensure_room(directory, spec.bytes_to_make())?;
                make(&spec, &root, cancel)
                    .map_err(|error| cannot(format!("workload '{}' cannot be made", spec.name), error))?;
                root
            }
        };
        let (entries, id) = match spec.kind {
            Kind::Names(names) => (Vec::new(), hex(&Sha256::digest(format!("lazy {names}")))),
            _ => survey(&root, cancel)?,
        };
        let info = info(&spec, &entries, id);
        if info.objects == 0 {
            return Err(Error::new(
                ErrorKind::Source,
                format!("workload directory '{}' has no files", root.display()),
            )
            .with_hint("name a directory with files, or a workload such as tiny or mixed"));
        }
        Ok(Self {
            spec,
            info,
            root,
            entries,
        })
    }

    /// The least number of files, from `count` on by doubling, whose selection has bytes for an object as all files have
    /// them, within 2 %; all of them where a few large ones decide.
    pub fn even_selection(&self, count: usize) -> usize {
        let mean = |bytes: u64, objects: usize| bytes as f64 / objects.max(1) as f64;
        let whole = mean(self.info.bytes, self.entries.len());
        let mut count = count;
        while count < self.entries.len() {
            let selected = self.selection(count).iter().map(|entry| entry.size).sum();
            if (mean(selected, count) - whole).abs() <= whole * 0.02 {
                return count;
            }
            count *= 2;
        }
        self.entries.len()
    }

    /// An even selection of `count` of its files: of sorted sizes, the middle one of each of `count` equal shares, so
    /// that mean and spread of sizes stay what they are. In the order of the walk.
    pub fn selection(&self, count: usize) -> Vec<Entry> {
        if count >= self.entries.len() {
            return self.entries.clone();
        }
        let mut by_size: Vec<usize> = (0..self.entries.len()).collect();
        by_size.sort_by_key(|place| self.entries[*place].size);
        let share = self.entries.len() as f64 / count as f64;
        let mut chosen: Vec<usize> = (0..count)
            .map(|number| by_size[((number as f64 + 0.5) * share) as usize])
            .collect();
        chosen.sort_unstable();
        chosen.iter().map(|place| self.entries[*place].clone()).collect()
    }
}

/// Writes the paths of `entries` as `--files-from0` takes them.
///
/// # Errors
/// Whatever the file system says.
pub fn write_list(entries: &[Entry], list: &Path) -> io::Result<()> {
    let mut file = io::BufWriter::new(File::create(list)?);
    for entry in entries {
        file.write_all(entry.path.as_os_str().as_bytes())?;
        file.write_all(&[0])?;
    }
    file.flush()
}

fn info(spec: &WorkloadSpec, entries: &[Entry], id: String) -> WorkloadInfo {
    let objects = match spec.kind {
        Kind::Names(names) => names,
        _ => entries.len(),
    };
    let sizes = || entries.iter().map(|entry| entry.size);
    WorkloadInfo {
        name: spec.name.clone(),
        description: spec.description.clone(),
        id,
        objects,
        bytes: sizes().sum(),
        smallest: sizes().min().unwrap_or(0),
        largest: sizes().max().unwrap_or(0),
        part_size_bytes: spec.part_size.bytes(),
        multipart_threshold_bytes: spec.multipart_threshold.bytes(),
        extra_rounds: spec.extra_rounds,
        sends_nothing: spec.sends_nothing,
        expects_errors: spec.expects_errors,
    }
}

/// Free bytes where `directory` is.
pub(super) fn room(directory: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(directory)
        .map_err(|errno| cannot(format!("'{}' cannot be looked at", directory.display()), errno))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn ensure_room(directory: &Path, bytes: u64) -> Result<()> {
    // A tenth stays free, and so do blocks that are not full.
    let (needed, free) = (bytes + bytes / 10 + 16 * 1024 * 1024, room(directory)?);
    if needed <= free {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Source,
        format!(
            "'{}' has room for {} and the workload takes {}",
            directory.display(),
            crate::units::ByteSize(free),
            crate::units::ByteSize(needed)
        ),
    )
    .with_hint("name a directory with more room with --work-dir DIR"))
}

fn make(spec: &WorkloadSpec, root: &Path, cancel: &CancellationToken) -> io::Result<()> {
    fs::create_dir_all(root)?;
    match &spec.kind {
        Kind::Sizes(sizes) => {
            for (number, size) in sizes.iter().enumerate() {
                if cancel.is_cancelled() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let path = place(root, number)?;
                write_content(&path, number as u64, *size)?;
            }
        }
        Kind::Names(names) => make_names(root, *names)?,
        Kind::Directory { .. } => {}
    }
    // Written to the disk before anything is timed.
    rustix::fs::syncfs(File::open(root)?)?;
    Ok(())
}

/// The path of a file, in its directory, which is made with its first file.
fn place(root: &Path, number: usize) -> io::Result<PathBuf> {
    let directory = root.join(format!("d{:04}", number / FILES_A_DIRECTORY));
    if number.is_multiple_of(FILES_A_DIRECTORY) {
        fs::create_dir(&directory)?;
    }
    Ok(directory.join(format!("f{number:07}.bin")))
}

/// Incompressible bytes that follow from the file's number alone.
fn write_content(path: &Path, number: u64, size: u64) -> io::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED ^ (number << 20));
    let mut file = File::create(path)?;
    let mut piece = vec![0; PIECE];
    let mut left = size;
    while left > 0 {
        let count = left.min(PIECE as u64) as usize;
        rng.fill_bytes(&mut piece[..count]);
        file.write_all(&piece[..count])?;
        left -= count as u64;
    }
    Ok(())
}

fn make_names(root: &Path, names: usize) -> io::Result<()> {
    let store = root.with_extension("files");
    fs::create_dir_all(&store)?;
    let files: Vec<PathBuf> = (0..EMPTY_FILES)
        .map(|number| store.join(number.to_string()))
        .collect();
    for file in &files {
        File::create(file)?;
    }
    for number in 0..names {
        fs::hard_link(&files[number % EMPTY_FILES], place(root, number)?)?;
    }
    Ok(())
}

/// All files as `cp` finds them, each read once so that all are equally warm, and the id of all of them.
fn survey(root: &Path, cancel: &CancellationToken) -> Result<(Vec<Entry>, String)> {
    let target: S3Url = "s3://bench/".parse().expect("an S3 address");
    let request = UploadRequest::new(root, target, Config::default());
    let mut entries = Vec::new();
    let mut contents = BTreeMap::new();
    for planned in plan(&request)? {
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Interrupted, "the bench was stopped"));
        }
        match planned.action {
            PlannedAction::Skip(_) => {}
            PlannedAction::Fail(failure) => {
                return Err(Error::new(
                    ErrorKind::Source,
                    format!(
                        "'{}' cannot be part of a workload: {failure}",
                        planned.path.display()
                    ),
                )
                .with_hint("every file of a workload has to be readable"));
            }
            PlannedAction::Upload { key, .. } => {
                let (size, md5, sha256) = sums(&planned.path)
                    .map_err(|error| cannot(format!("'{}' cannot be read", planned.path.display()), error))?;
                let path = planned
                    .path
                    .strip_prefix(root)
                    .unwrap_or(&planned.path)
                    .to_owned();
                contents.insert(key.clone(), (size, sha256));
                entries.push(Entry { path, key, size, md5 });
            }
        }
    }
    let mut id = Sha256::new();
    for (key, (size, sha256)) in &contents {
        id.update(format!("{key}\0{size}\0{sha256}\n"));
    }
    Ok((entries, hex(&id.finalize())))
}

/// Size, MD5 and SHA-256 of a file.
fn sums(path: &Path) -> io::Result<(u64, String, String)> {
    let (mut md5, mut sha256, mut size) = (Md5::new(), Sha256::new(), 0);
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok((size, hex(&md5.finalize()), hex(&sha256.finalize())));
        }
        md5.update(&piece[..count]);
        sha256.update(&piece[..count]);
        size += count as u64;
    }
}

fn hex(bytes: &[u8]) -> String {
    crate::store::hex(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(spec: WorkloadSpec, directory: &Path) -> Workload {
        Workload::prepare(spec, directory, &CancellationToken::new()).expect("a workload")
    }

    #[test]
    fn the_same_workload_has_the_same_id_and_another_has_another() {
        let directories = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
        let spec = |size| WorkloadSpec::uniform("some", "", 7, size);
        let first = prepared(spec(10), directories[0].path());
        let again = prepared(spec(10), directories[1].path());
        let other = prepared(spec(11), directories[2].path());
        assert_eq!(first.info.id, again.info.id);
        assert_ne!(first.info.id, other.info.id);
        assert_eq!((first.info.objects, first.info.bytes), (7, 70));
        let contents: std::collections::BTreeSet<_> = first.entries.iter().map(|entry| &entry.md5).collect();
        assert_eq!(contents.len(), 7, "no two files are the same");
    }

    #[test]
    fn a_selection_has_the_sizes_of_the_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut spec = WorkloadSpec::uniform("some", "", 0, 0);
        spec.kind = Kind::Sizes((0..1_000).map(|size| (size * 7_919) % 1_000).collect());
        let workload = prepared(spec, directory.path());
        let selection = workload.selection(50);
        assert_eq!(selection.len(), 50);
        let mean = selection.iter().map(|entry| entry.size).sum::<u64>() as f64 / 50.0;
        assert!((mean / 499.5 - 1.0).abs() < 0.02, "{mean}");
        let place = |entry: &Entry| workload.entries.iter().position(|other| other == entry);
        assert!(selection.iter().map(place).is_sorted(), "the order of the walk");
        assert_eq!(workload.selection(5_000).len(), 1_000);
    }

    #[test]
    fn names_are_many_and_files_are_few() {
        let directory = tempfile::tempdir().expect("a directory");
        let workload = prepared(WorkloadSpec::lazy(250), directory.path());
        assert_eq!(workload.info.objects, 250);
        assert_eq!(
            survey(&workload.root, &CancellationToken::new())
                .expect("readable")
                .0
                .len(),
            250
        );
    }

    #[test]
    fn an_empty_directory_is_no_workload() {
        let directory = tempfile::tempdir().expect("a directory");
        let spec = WorkloadSpec::directory(directory.path().to_owned());
        let error = Workload::prepare(spec, directory.path(), &CancellationToken::new())
            .expect_err("nothing to upload");
        assert!(error.to_string().contains("has no files"), "{error}");
    }
}
