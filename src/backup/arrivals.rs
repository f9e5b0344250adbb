//! Which contents of a run have arrived; and what becomes of files whose content has not.

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use super::contents::Inventory;
use super::draft::Way;
use super::hashing::read_file;
use super::manifest::{Entry, ManifestError, ManifestReader, ManifestWriter};
use super::paths::local_path;
use super::repository::{FromStart, Repository};
use super::survey::wanted;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Outcome, SkipReason};
use crate::identity::FileIdentity;
use crate::pipeline::{Effect, Monitor, Silent, UploadRequest, Wanted, Work, run_work};
use crate::report::Ending;
use crate::store::{StoreErrorKind, hex};
use crate::transfer::OnlyAs;

/// How often a content that has not arrived is sent from another file that has it.
const ROUNDS: usize = 3;

/// A content that has not arrived.
pub(super) struct Missing {
    /// Why.
    pub(super) why: String,
    /// Files that it was to come from, as people type them.
    tried: HashSet<String>,
}

/// Hears what becomes of contents, and passes it on.
pub(super) struct Arrivals<'a> {
    monitor: &'a mut dyn Monitor,
    settled: u64,
    /// By key.
    pub(super) missing: HashMap<String, Missing>,
    /// Keys that somebody else has stored meanwhile.
    found_there: Vec<(String, u64)>,
}

impl Monitor for Arrivals<'_> {
    fn notify(&mut self, event: &Event) {
        self.monitor.notify(event);
        let Event::File(record) = event else {
            return;
        };
        if record.key.is_empty() {
            // It is no content: an entry that could not be read.
            return;
        }
        self.settled += 1;
        let why = match &record.outcome {
            Outcome::Done { .. } => return,
            Outcome::Skipped {
                reason: SkipReason::Exists,
            } => return self.found_there.push((record.key.clone(), record.size_bytes)),
            Outcome::Failed { failure } => failure.to_string(),
            outcome => format!("it was not sent: {outcome:?}"),
        };
        self.miss(&record.key, &record.path, why);
    }
}

impl<'a> Arrivals<'a> {
    pub(super) fn new(monitor: &'a mut dyn Monitor) -> Self {
        Self {
            monitor,
            settled: 0,
            missing: HashMap::new(),
            found_there: Vec::new(),
        }
    }

    fn miss(&mut self, key: &str, path: &str, why: String) {
        let missing = self.missing.entry(key.to_owned()).or_insert_with(|| Missing {
            why: String::new(),
            tried: HashSet::new(),
        });
        missing.why = why;
        missing.tried.insert(path.to_owned());
    }

    /// Whether each of the contents that were handed on has its outcome.
    ///
    /// # Errors
    /// One of them was lost.
    pub(super) fn ensure_complete(&self, handed_on: u64) -> Result<()> {
        if self.settled == handed_on {
            return Ok(());
        }
        let message = format!("of {handed_on} contents, {} have an outcome", self.settled);
        Err(Error::new(ErrorKind::Internal, message))
    }
}

impl Arrivals<'_> {
    /// Looks at what somebody else has stored meanwhile: what is not as long as it should be is not the content.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub(super) fn look_at_found(&mut self, repository: &Repository) -> Result<()> {
        for (key, size_bytes) in std::mem::take(&mut self.found_there) {
            let is = repository.ask(async |store| match store.head_object(&key).await {
                Err(error) if error.kind == StoreErrorKind::NoSuchKey => Ok(None),
                head => head.map(|head| Some(head.size_bytes)),
            })?;
            let why = match is {
                Some(is) if is == size_bytes => continue,
                None => "it was stored, and is gone".to_owned(),
                Some(is) => format!(
                    "what is stored at '{key}' is damaged: it has {is} bytes and not {size_bytes}; once it is removed, the next run stores it again"
                ),
            };
            self.miss(&key, "", why);
        }
        Ok(())
    }

    /// Looks at all that is stored anew: of the contents of `draft`, what is not there has not arrived.
    ///
    /// # Errors
    /// The server cannot be asked, or the draft cannot be read.
    pub(super) fn miss_what_is_gone(&mut self, draft: &File, repository: &Repository) -> Result<()> {
        let prefix = repository.prefix();
        let mut inventory = Inventory::new(&prefix, repository.contents());
        for content in contents(draft, &prefix)? {
            let (key, entry) = content?;
            if let Some((digest, size_bytes)) = entry.content()
                && !inventory.has(&digest, size_bytes)?
            {
                self.miss(&key, "", "a prune elsewhere has removed it".to_owned());
            }
        }
        Ok(())
    }
}

fn unreadable(error: ManifestError) -> Error {
    Error::new(
        ErrorKind::Configuration,
        "the manifest in the making cannot be read",
    )
    .with_source(error)
}

/// The entries of `draft` that have a content, each with its key.
fn contents<'a>(
    draft: &'a File,
    prefix: &'a str,
) -> Result<impl Iterator<Item = Result<(String, Entry)>> + 'a> {
    let entries = FromStart::of(draft)
        .map_err(ManifestError::from)
        .and_then(ManifestReader::new)
        .map_err(unreadable)?;
    Ok(entries.filter_map(move |entry| match entry {
        Ok(entry) => Some(Ok((format!("{prefix}{}", entry.key.as_ref()?), entry))),
        Err(error) => Some(Err(unreadable(error))),
    }))
}

/// Sends contents that have not arrived from other files that have them.
///
/// # Errors
/// The server cannot be asked, or the draft cannot be read.
pub(super) fn deliver_again(arrivals: &mut Arrivals<'_>, draft: &File, way: &Way<'_>) -> Result<()> {
    for _ in 0..ROUNDS {
        let carriers = carriers(arrivals, draft, way)?;
        if carriers.is_empty() {
            break;
        }
        let keys: Vec<String> = carriers.iter().map(|(key, _)| key.clone()).collect();
        let entries = carriers.into_iter().map(|(_, wanted)| wanted);
        let (repository, mut silent) = (way.repository, Silent);
        // What is left is little, and all that was done depends on it.
        let upload = UploadRequest {
            deadline: None,
            ..way.upload.clone()
        };
        let mut round = Arrivals::new(&mut silent);
        let run = run_work(
            Work::Entries(Box::new(entries)),
            Effect::Apply,
            &repository.connector,
            &upload,
            &repository.cancel,
            &mut round,
        )?;
        match run.ending {
            Ending::Finished | Ending::OutOfTime => {}
            Ending::Cancelled => {
                let message = "stopped before there was a snapshot";
                return Err(Error::new(ErrorKind::Interrupted, message));
            }
            Ending::Fatal { cause } => return Err(Error::new(ErrorKind::Server, cause.message)),
        }
        round.ensure_complete(keys.len() as u64)?;
        round.look_at_found(repository)?;
        for key in keys {
            match round.missing.remove(&key) {
                None => _ = arrivals.missing.remove(&key),
                Some(again) => arrivals.miss(&key, "", again.why),
            }
        }
    }
    Ok(())
}

/// For each content that has not arrived, another file that has it.
fn carriers(arrivals: &mut Arrivals<'_>, draft: &File, way: &Way<'_>) -> Result<Vec<(String, Wanted)>> {
    let prefix = way.repository.prefix();
    let mut carriers: HashMap<String, Wanted> = HashMap::new();
    for content in contents(draft, &prefix)? {
        let (key, entry) = content?;
        let Some(missing) = arrivals.missing.get_mut(&key) else {
            continue;
        };
        let Some(path) = local_path(way.roots, &entry.path) else {
            continue;
        };
        if carriers.contains_key(&key) || !missing.tried.insert(path.to_string_lossy().into_owned()) {
            continue;
        }
        if let Some(carrier) = carrier(&path, &entry, &prefix, way) {
            carriers.insert(key, carrier);
        }
    }
    Ok(carriers.into_iter().collect())
}

/// The file at `path`, if it still has the content of `entry`.
fn carrier(path: &Path, entry: &Entry, prefix: &str, way: &Way<'_>) -> Option<Wanted> {
    let goes_on = |_: &Metadata| !way.repository.cancel.is_cancelled();
    let read = read_file(path, way.upload.config.transfer.checksum, &goes_on).ok()??;
    let is_it = entry.sha256.as_deref() == Some(hex(&read.digest).as_str());
    let only_as = OnlyAs {
        identity: FileIdentity::from(&read.metadata),
        checksum: read.checksum,
        // All carriers are found before the first one is sent.
        content: None,
    };
    is_it.then(|| wanted(path, prefix, &read.digest, only_as))
}

/// Writes the manifest anew, into `mended`: files whose content has not arrived are in it with the reason. Returns their
/// names.
pub(super) fn mend(
    draft: &File,
    mut mended: ManifestWriter<File>,
    arrivals: &Arrivals<'_>,
    prefix: &str,
) -> Result<Vec<String>> {
    let unwritable = |error: io::Error| {
        Error::new(ErrorKind::Configuration, "the manifest cannot be written anew").with_source(error)
    };
    let entries = FromStart::of(draft)
        .map_err(ManifestError::from)
        .and_then(ManifestReader::new)
        .map_err(unreadable)?;
    let mut without = Vec::new();
    for entry in entries {
        let mut entry = entry.map_err(unreadable)?;
        let key = entry.key.as_ref().map(|key| format!("{prefix}{key}"));
        if let Some(missing) = key.and_then(|key| arrivals.missing.get(&key)) {
            (entry.key, entry.sha256, entry.link_of) = (None, None, None);
            entry.error = Some(missing.why.clone());
            without.push(entry.path.clone());
        }
        mended.entry(&entry).map_err(unwritable)?;
    }
    mended.finish().map_err(unwritable)?;
    Ok(without)
}
