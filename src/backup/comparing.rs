//! What is different between two snapshots: two sorted streams as one.

use std::cmp::Ordering;
use std::iter::Peekable;

use super::manifest::Entry;
use super::repository::Manifest;
use crate::error::Result;

/// What has become of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOfEntry {
    /// It is only in the second snapshot.
    Added,
    /// It is only in the first one.
    Removed,
    /// Its content, or where it leads to, is another.
    Content,
    /// It is something else: a file that was a directory.
    Kind,
    /// Its permissions, owner or time are others.
    Looks,
}

/// Tells `told` of each entry that is not in both snapshots alike, in the order of the names, and of what it is in the second
/// one, or was in the first.
///
/// # Errors
/// A manifest cannot be read any more.
pub fn compare(
    (before, after): (&Manifest, &Manifest),
    mut told: impl FnMut(ChangeOfEntry, &Entry),
) -> Result<()> {
    let mut before = before.entries()?.peekable();
    let mut after = after.entries()?.peekable();
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => name(old).cmp(name(new)),
        };
        match order {
            Ordering::Less => told(ChangeOfEntry::Removed, &next(&mut before)?),
            Ordering::Greater => told(ChangeOfEntry::Added, &next(&mut after)?),
            Ordering::Equal => {
                let (old, new) = (next(&mut before)?, next(&mut after)?);
                if let Some(change) = change(&old, &new) {
                    told(change, &new);
                }
            }
        }
    }
}

/// What cannot be read comes before all names.
fn name(entry: &Result<Entry>) -> &str {
    entry.as_ref().map_or("", |entry| &entry.path)
}

fn next(entries: &mut Peekable<impl Iterator<Item = Result<Entry>>>) -> Result<Entry> {
    entries.next().expect("it was peeked at")
}

fn change(old: &Entry, new: &Entry) -> Option<ChangeOfEntry> {
    let content = |entry: &Entry| (entry.sha256.clone(), entry.target.clone(), entry.error.is_some());
    let looks = |entry: &Entry| (entry.mode.clone(), entry.uid, entry.gid, entry.mtime.clone());
    if old.kind != new.kind {
        Some(ChangeOfEntry::Kind)
    } else if content(old) != content(new) {
        Some(ChangeOfEntry::Content)
    } else if looks(old) != looks(new) || old.link_of != new.link_of {
        Some(ChangeOfEntry::Looks)
    } else {
        None
    }
}
