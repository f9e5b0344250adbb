//! Multipart uploads that have begun and not ended: whatever happens to workers, these can be aborted, and with a journal
//! the next run can go on with them.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::journal::{Earlier, Journal, Left, Record};
use super::step::{Begun, PartDone};
use super::task::{Content, ObjectSpec};
use super::temporary::name_of_temporary;
use crate::identity::FileIdentity;

/// When something was asked: by the clock that goes on, and in microseconds since the Unix epoch: two
/// runs may ask within a millisecond.
#[derive(Clone, Copy, Debug)]
struct Ask {
    since: Instant,
    at: u64,
}

/// Uploads by what is known of them.
#[derive(Debug, Default)]
pub struct OpenUploads {
    /// Keys by upload id.
    begun: Mutex<HashMap<String, String>>,
    /// Keys whose upload was asked for; a worker that is lost takes the answer with it.
    asked: Mutex<HashMap<String, Ask>>,
    /// None when nothing is written down: then what is open when a run is stopped is aborted.
    journal: Option<Mutex<Journal>>,
    /// What earlier runs left and nobody has asked for yet.
    left: Mutex<Left>,
    /// What tells the settings of this run from those of another.
    settings: String,
    /// What is open when this run is stopped stays for the next one.
    stays: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros_since_epoch() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// What tells one object that comes down from another at its key: the object itself.
fn settings_of_stored(etag: &str, size_bytes: u64) -> String {
    format!("{etag} {size_bytes}")
}

impl Earlier {
    /// Whether it is what came of the object with this ETag and size.
    pub fn is_of(&self, etag: &str, size_bytes: u64) -> bool {
        // Where the key says what is in it, nobody has asked for an ETag.
        let of_any = settings_of_stored("", size_bytes);
        self.settings == settings_of_stored(etag, size_bytes) || self.settings == of_any
    }
}

impl OpenUploads {
    /// Uploads that are written down in the journal at `path`. Those that earlier runs left there can be asked for if they
    /// were begun with the same `settings`. If it `stays`, what is open when this run is stopped is not aborted.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub fn with_journal(path: &Path, settings: String, stays: bool) -> io::Result<Self> {
        let (journal, left) = Journal::open(path)?;
        Ok(Self {
            journal: Some(Mutex::new(journal)),
            left: Mutex::new(left),
            settings,
            stays,
            ..Self::default()
        })
    }

    /// True when what is open when this run is stopped is left to the next one.
    pub fn stay(&self) -> bool {
        self.stays && self.are_written_down()
    }

    /// True when the next run can go on with what is open now.
    pub fn are_written_down(&self) -> bool {
        self.journal
            .as_ref()
            .is_some_and(|journal| lock(journal).is_written())
    }

    fn note(&self, record: impl FnOnce() -> Record) {
        if let Some(journal) = &self.journal {
            lock(journal).note(&record());
        }
    }

    /// The upload of this object that an earlier run left, or what it brought of it. Whoever takes it goes on with it or ends
    /// it.
    pub(super) fn take_earlier(&self, object: &ObjectSpec) -> Option<Box<Earlier>> {
        let mut left = lock(&self.left);
        let earlier = match object.place() {
            // One object may become several files.
            Some(place) if place.told.is_some() => {
                left.uploads.remove(&name_of_temporary(place, &object.key))
            }
            _ => left.take(&object.key),
        };
        earlier.map(Box::new)
    }

    /// Whether `earlier` was begun as this run would begin it.
    pub(super) fn fits(&self, object: &ObjectSpec, earlier: &Earlier) -> bool {
        earlier.settings == self.settings_of(object)
    }

    /// What must be the same for a run to go on with what another one began of `object`.
    fn settings_of(&self, object: &ObjectSpec) -> String {
        match object.place() {
            Some(place) => settings_of_stored(place.etag.as_deref().unwrap_or_default(), object.size_bytes),
            None => self.settings.clone(),
        }
    }

    /// The server is about to be asked to begin an upload. To fetch an object, nothing is begun there.
    pub(super) fn asked(&self, object: &ObjectSpec) {
        if object.place().is_none() {
            let (key, at) = (object.key.clone(), micros_since_epoch());
            self.note(|| Record::Asked { key, at });
            let since = Instant::now();
            lock(&self.asked).insert(object.key.clone(), Ask { since, at });
        }
    }

    /// The question was answered, and no upload began.
    pub(super) fn refused(&self, object: &ObjectSpec) {
        if let Some(Ask { at, .. }) = lock(&self.asked).remove(&object.key) {
            self.ended_without(&object.key, at);
        }
    }

    /// Nothing is left of what was asked for at `key` then.
    pub fn ended_without(&self, key: &str, at: u64) {
        self.note(|| Record::Refused {
            key: key.to_owned(),
            at,
        });
    }

    /// An upload, or the fetching of an object, has begun.
    pub(super) fn add(&self, begun: &Begun, object: &ObjectSpec) {
        let at = self.answered(begun, object);
        let identity = match &object.content {
            // A stream cannot be read again: nobody can go on with it.
            Content::Held(_) => return self.ended_without(&object.key, at),
            Content::Path(_) => begun.identity.or(Some(FileIdentity::NONE)),
            Content::Stored(_) => None,
        };
        self.note(|| Record::Begun {
            key: object.key.clone(),
            at,
            upload_id: begun.upload_id.clone(),
            identity,
            settings: self.settings_of(object),
        });
    }

    /// What an earlier run began goes on.
    pub(super) fn add_earlier(&self, begun: &Begun, object: &ObjectSpec) {
        let at = self.answered(begun, object);
        self.ended_without(&object.key, at);
    }

    /// Keeps what has begun. Returns when it was asked for.
    fn answered(&self, begun: &Begun, object: &ObjectSpec) -> u64 {
        if object.place().is_some() {
            return 0;
        }
        let asked = lock(&self.asked).remove(&object.key);
        lock(&self.begun).insert(begun.upload_id.clone(), object.key.clone());
        asked.map_or(0, |ask| ask.at)
    }

    /// A part of an upload is stored.
    pub fn stored(&self, upload_id: &str, part: &PartDone) {
        self.note(|| Record::Part {
            upload_id: upload_id.to_owned(),
            part: part.clone(),
        });
    }

    /// An upload is complete or aborted.
    pub fn remove(&self, upload_id: &str) {
        lock(&self.begun).remove(upload_id);
        self.note(|| Record::Ended {
            upload_id: upload_id.to_owned(),
        });
    }

    /// Takes all that this run has begun and not ended: pairs of upload id and key.
    pub fn take(&self) -> Vec<(String, String)> {
        lock(&self.begun).drain().collect()
    }

    /// Takes all that earlier runs have begun and nobody has ended.
    pub fn take_all_earlier(&self) -> Vec<Earlier> {
        let earlier = std::mem::take(&mut lock(&self.left).uploads);
        earlier.into_values().collect()
    }

    /// Takes the keys whose upload this run asked for without an answer, when that was, and how long ago.
    pub fn take_unanswered(&self) -> Vec<(String, u64, Duration)> {
        let asked = lock(&self.asked).drain().collect::<Vec<_>>();
        let asked = asked.into_iter();
        asked
            .map(|(key, ask)| (key, ask.at, ask.since.elapsed()))
            .collect()
    }

    /// The same of earlier runs.
    pub fn take_all_earlier_unanswered(&self) -> Vec<(String, u64, Duration)> {
        let now = micros_since_epoch();
        let earlier = std::mem::take(&mut lock(&self.left).unanswered);
        let since = |at: u64| Duration::from_micros(now.saturating_sub(at));
        earlier
            .into_iter()
            .map(|(key, at)| (key, at, since(at)))
            .collect()
    }
}
