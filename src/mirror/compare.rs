//! What has to be done, found out while it is done: the join of source, memory and listing, as entries for the pipeline.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::decide::{ChangeRule, Decision, decide, prove};
use super::gone::Gone;
use super::join::{Join, Joined, Keyed, Shelters};
use super::state::{KnownObject, Stamp};
use crate::error::{Error, ErrorKind};
use crate::event::SkipReason;
use crate::identity::FileIdentity;
use crate::pipeline::Wanted;
use crate::source::key::path_of;
use crate::source::{Filter, Found, Root, SourceFile, Walk};
use crate::store::ListedObject;

impl Keyed for SourceFile {
    fn key(&self) -> &str {
        &self.key
    }
}

impl From<&FileIdentity> for Stamp {
    fn from(identity: &FileIdentity) -> Self {
        Self {
            size_bytes: identity.size_bytes,
            modified: identity.modified_nanos(),
            changed: identity.changed_nanos(),
            inode: identity.inode(),
        }
    }
}

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files of the source.
    pub files: u64,
    /// Files that are stored as they are, and their bytes.
    pub unchanged: u64,
    /// Bytes of those.
    pub bytes_unchanged: u64,
    /// Objects that were stored below the prefix before the run.
    pub stored: u64,
    /// Of those: what the source does not have any more.
    pub gone: u64,
    /// Of those that the source does not have: what stays because nobody knows what has become of its file.
    pub sheltered: u64,
}

/// What a comparison came to.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) tally: Tally,
    /// Source and listing came to their end.
    pub(super) is_complete: bool,
    /// What ended it before.
    pub(super) trouble: Option<Error>,
    /// Remembered, and neither in the source nor stored any more.
    pub(super) forgotten: Gone,
    /// What the source does not have any more.
    pub(super) gone: Gone,
}

/// Entries that may be aside before the join is left for them: what they cost does not grow with their number, and whoever
/// takes them finds that the run is to stop.
const MOST_ASIDE: usize = 1_000;

/// Why the join has no next key.
enum Halt {
    /// Enough is aside for now.
    Pause,
    /// It cannot go on.
    Trouble(Error),
}

/// Entries that have no place in the join, and what follows from them.
#[derive(Debug, Default)]
struct Aside {
    found: VecDeque<Found>,
    shelters: Shelters,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files of a walk in the order of their keys. Everything else goes aside before the first key behind it is asked
/// for.
struct Files {
    walk: Walk,
    root: Root,
    aside: Arc<Mutex<Aside>>,
    last_key: String,
}

impl Files {
    /// The next of them, if it is one: a directory that changes while it is read may show a name twice. A walk that is out
    /// of order would let good objects seem to be gone.
    fn follows(&mut self, file: SourceFile) -> Option<Result<SourceFile, Halt>> {
        match file.key.cmp(&self.last_key) {
            Ordering::Greater => {
                self.last_key.clone_from(&file.key);
                Some(Ok(file))
            }
            Ordering::Equal => None,
            Ordering::Less => {
                let (key, last) = (&file.key, &self.last_key);
                let message = format!("the walk names '{key}' behind '{last}'; nothing follows from it");
                Some(Err(Halt::Trouble(Error::new(ErrorKind::Internal, message))))
            }
        }
    }
}

impl Iterator for Files {
    type Item = Result<SourceFile, Halt>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if lock(&self.aside).found.len() >= MOST_ASIDE {
                return Some(Err(Halt::Pause));
            }
            let found = match self.walk.next()? {
                Found::File(file) => match self.follows(file) {
                    Some(next) => return Some(next),
                    None => continue,
                },
                found => found,
            };
            let mut aside = lock(&self.aside);
            match &found {
                // What is stored of it is known by its key.
                Found::Skipped {
                    reason: SkipReason::Excluded,
                    ..
                } => {}
                Found::Skipped { path, .. } | Found::Failed { path, .. } => {
                    aside
                        .shelters
                        .add(self.root.key_of(path), self.root.prefix_of(path));
                }
                Found::File(_) | Found::Directory { .. } => {}
            }
            aside.found.push_back(found);
        }
    }
}

pub(crate) type KnownObjects = Box<dyn Iterator<Item = Result<KnownObject, Error>> + Send>;
pub(super) type StoredObjects = Box<dyn Iterator<Item = Result<ListedObject, Error>> + Send>;

/// One of those that can only end, in a join that can also pause.
type Halting<T> = Box<dyn Iterator<Item = Result<T, Halt>> + Send>;

fn halting<T: 'static>(stream: Box<dyn Iterator<Item = Result<T, Error>> + Send>) -> Halting<T> {
    Box::new(stream.map(|item| item.map_err(Halt::Trouble)))
}

/// What a comparison is to find out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// What has changed.
    Changed(ChangeRule),
    /// What is not what is stored; of so many of 100 objects the content is read.
    Differs { read_percent: f64 },
}

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) question: Question,
    pub(super) deletes_excluded: bool,
    pub(super) follows_links: bool,
}

/// See the module. What it came to is in the [`Compared`] that it was made with.
pub(super) struct Comparison {
    join: Join<Files, Halting<KnownObject>, Halting<ListedObject>>,
    aside: Arc<Mutex<Aside>>,
    rules: Rules,
    filter: Arc<Filter>,
    source: PathBuf,
    prefix: String,
    /// Only this run writes to it, and only until its end.
    compared: Arc<Mutex<Compared>>,
    own: Compared,
    has_ended: bool,
}

impl Comparison {
    /// Compares what lies below `root`, as far as `filter` leaves it in, with what is `known` and `stored`, both in the
    /// order of keys.
    pub(super) fn new(
        (root, filter): (Root, Arc<Filter>),
        known: KnownObjects,
        stored: StoredObjects,
        rules: Rules,
        compared: Arc<Mutex<Compared>>,
    ) -> Self {
        let aside = Arc::<Mutex<Aside>>::default();
        let (prefix, source) = (root.key.clone(), root.path.clone());
        let files = Files {
            walk: Walk::new(root.clone(), filter.clone(), rules.follows_links).by_key(),
            root,
            aside: aside.clone(),
            last_key: String::new(),
        };
        Self {
            join: Join::new(files, halting(known), halting(stored)),
            aside,
            rules,
            filter,
            source,
            prefix,
            compared,
            own: Compared::default(),
            has_ended: false,
        }
    }

    /// What is to be done about one key; none when nothing is.
    fn settle(&mut self, joined: Joined<SourceFile, KnownObject>) -> io::Result<Option<Wanted>> {
        let Joined { local, known, stored } = joined;
        // An object that only says that there is a directory is a sign that somebody put up, and no file's.
        let is_sign = |object: &ListedObject| object.key.ends_with('/') && object.size_bytes == 0;
        let stored = stored.filter(|object| object.key != self.prefix && !is_sign(object));
        self.own.tally.stored += u64::from(stored.is_some());
        match (local, stored) {
            (Some(file), stored) => {
                lock(&self.aside).shelters.pass(&file.key);
                Ok(self.file(file, known, stored))
            }
            (None, Some(object)) if self.is_sheltered(&object.key) => {
                self.own.tally.sheltered += 1;
                Ok(None)
            }
            (None, Some(object)) => {
                self.own.tally.gone += 1;
                self.own.gone.note(&object.key, object.size_bytes)?;
                Ok(None)
            }
            (None, None) => {
                if let Some(known) = known {
                    self.own.forgotten.note(&known.key, 0)?;
                }
                Ok(None)
            }
        }
    }

    /// Whether an object stays although the source has no file for it: its name is excluded, or nobody knows what has
    /// become of its file.
    fn is_sheltered(&self, key: &str) -> bool {
        let is_unknown = lock(&self.aside).shelters.cover(key);
        is_unknown || (!self.rules.deletes_excluded && self.is_excluded(key))
    }

    /// Whether the walk would not come to the file of `key`. A link on the way is judged like a file: one that is left out
    /// may lead to where the file is now.
    fn is_excluded(&self, key: &str) -> bool {
        let Some(path) = path_of(key, &self.prefix) else {
            return false;
        };
        let is_link = |directory: &Path| self.source.join(directory).is_symlink();
        let mut above = path.ancestors().skip(1).filter(|above| *above != Path::new(""));
        !self.filter.wants(&path)
            || above.any(|directory| !self.filter.includes_file(directory) && is_link(directory))
    }

    fn file(
        &mut self,
        mut file: SourceFile,
        known: Option<KnownObject>,
        stored: Option<ListedObject>,
    ) -> Option<Wanted> {
        self.own.tally.files += 1;
        let identity = match file.look(self.rules.follows_links) {
            Ok(identity) => identity,
            Err(error) => return Some(Found::failed(file.path, &error).into()),
        };
        let known = known.map(|known| known.known);
        let stamp = Stamp::from(&identity);
        let decision = match self.rules.question {
            Question::Changed(rule) => decide(rule, &stamp, known.as_ref(), stored.as_ref()),
            Question::Differs { read_percent } => {
                prove(&stamp, stored.as_ref(), fastrand::f64() * 100.0 < read_percent)
            }
        };
        let (reason, look) = match decision {
            Decision::Unchanged => {
                self.own.tally.unchanged += 1;
                self.own.tally.bytes_unchanged += identity.size_bytes;
                return None;
            }
            Decision::Upload(reason) => (reason, None),
            Decision::Look(reason, look) => (reason, Some(Box::new(look))),
        };
        Some(Wanted {
            found: Found::File(file),
            reason,
            look,
            only_as: None,
        })
    }

    /// Says what it came to.
    fn end(&mut self) {
        if !self.has_ended {
            self.has_ended = true;
            *lock(&self.compared) = std::mem::take(&mut self.own);
        }
    }
}

/// One that is given up on the way says what it came to until then.
impl Drop for Comparison {
    fn drop(&mut self) {
        self.end();
    }
}

impl Iterator for Comparison {
    type Item = Wanted;

    fn next(&mut self) -> Option<Wanted> {
        loop {
            if let Some(found) = lock(&self.aside).found.pop_front() {
                return Some(found.into());
            }
            let settled = match self.join.next() {
                Some(Err(Halt::Pause)) => continue,
                Some(Err(Halt::Trouble(error))) => Err(error),
                // The walk may have said its last word just now.
                None if lock(&self.aside).found.is_empty() => {
                    self.own.is_complete = true;
                    self.end();
                    return None;
                }
                None => continue,
                Some(Ok(joined)) => self.settle(joined).map_err(|error| {
                    let message = "what is to be deleted cannot be written down";
                    Error::new(ErrorKind::Configuration, message).with_source(error)
                }),
            };
            match settled {
                Ok(None) => {}
                Ok(Some(wanted)) => return Some(wanted),
                Err(error) => {
                    self.own.trouble = Some(error);
                    self.end();
                    return None;
                }
            }
        }
    }
}
