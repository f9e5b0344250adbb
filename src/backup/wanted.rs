//! Which entries of a snapshot are to be restored, and which of them as other names of others.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::{Entry, EntryKind};
use super::paths::path_of;
use super::repository::Manifest;
use crate::error::Result;
use crate::source::Filter;

/// Entries that a filter leaves in.
pub(super) struct Wanted<'a> {
    manifest: &'a Manifest,
    filter: Arc<Filter>,
    /// For first names of files that are not wanted themselves, the first other name that is: it gets the content.
    heirs: Arc<HashMap<String, String>>,
}

/// No pattern is for it.
const NO_NAME: &str = "\u{1}";

fn is_wanted(filter: &Filter, entry: &Entry, path: &Path) -> bool {
    match entry.kind {
        EntryKind::Directory => filter.wants(&path.join(NO_NAME)),
        _ => filter.wants(path),
    }
}

impl<'a> Wanted<'a> {
    pub(super) fn new(manifest: &'a Manifest, filter: Arc<Filter>) -> Result<Self> {
        let mut heirs = HashMap::new();
        for entry in manifest.entries()? {
            let Entry { path, link_of, .. } = entry?;
            if let Some(first) = link_of
                && !filter.wants(&path_of(&first))
                && filter.wants(&path_of(&path))
            {
                heirs.entry(first).or_insert(path);
            }
        }
        Ok(Self {
            manifest,
            filter,
            heirs: Arc::new(heirs),
        })
    }

    /// They and their paths, in the order of the names. Directories that lead to them are among them.
    pub(super) fn entries(&self) -> Result<impl Iterator<Item = Result<(Entry, PathBuf)>> + Send + use<>> {
        let filter = self.filter.clone();
        let mut entries = self.manifest.entries()?;
        let mut above: Vec<(Entry, PathBuf)> = Vec::new();
        let mut ready = VecDeque::new();
        Ok(std::iter::from_fn(move || {
            while ready.is_empty() {
                let entry = match entries.next()? {
                    Ok(entry) => entry,
                    Err(error) => return Some(Err(error)),
                };
                let path = path_of(&entry.path);
                while above
                    .pop_if(|(last, _)| !entry.path.starts_with(&last.path))
                    .is_some()
                {}
                if is_wanted(&filter, &entry, &path) {
                    ready.extend(above.drain(..));
                    ready.push_back((entry, path));
                } else if entry.kind == EntryKind::Directory {
                    above.push((entry, path));
                }
            }
            ready.pop_front().map(Ok)
        }))
    }

    /// Whether an entry is wanted itself, and not only leads to one that is.
    pub(super) fn names(&self, entry: &Entry, path: &Path) -> bool {
        is_wanted(&self.filter, entry, path)
    }

    /// Says of an entry whether it is a file whose content has to be fetched.
    pub(super) fn fetched(&self) -> impl Fn(&Entry) -> bool + Send + use<> {
        let heirs = self.heirs.clone();
        move |entry| {
            let has_content = entry.key.is_some();
            has_content
                && entry
                    .link_of
                    .as_ref()
                    .is_none_or(|first| heirs.get(first) == Some(&entry.path))
        }
    }

    /// The same of one entry.
    pub(super) fn is_fetched(&self, entry: &Entry) -> bool {
        self.fetched()(entry)
    }

    /// The name under which the content of another name's file comes.
    pub(super) fn first_of<'e>(&'e self, entry: &'e Entry) -> &'e str {
        let first = entry.link_of.as_deref().unwrap_or_default();
        self.heirs.get(first).map_or(first, String::as_str)
    }
}
