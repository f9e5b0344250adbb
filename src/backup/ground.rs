//! What a survey of the sources goes by, and what it came to.

use std::collections::{BTreeSet, HashSet};
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::manifest::ManifestWriter;
use crate::config::ChecksumAlgorithm;
use crate::error::Error;

/// What was counted on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files, and their bytes.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Files that were not read, because they are what they were.
    pub unchanged: u64,
    /// Entries that are left out by `--exclude`.
    pub excluded: u64,
    /// Sources that have files, by the names that they have in the snapshot.
    pub(super) with_files: BTreeSet<String>,
    /// Contents that were handed on to be uploaded.
    pub(super) handed_on: u64,
}

/// What a survey came to.
#[derive(Default)]
pub(super) struct Surveyed {
    pub(super) tally: Tally,
    /// None when it was lost on the way.
    pub(super) manifest: Option<ManifestWriter<File>>,
    /// The sources came to their end.
    pub(super) is_complete: bool,
    /// It was looked for each content whether it is stored.
    pub(super) has_looked: bool,
    /// What ended it before.
    pub(super) trouble: Option<Error>,
    /// What is wrong with what is remembered, for people.
    pub(super) note: Option<String>,
}

/// What ends a survey before its time.
#[derive(Clone)]
pub(super) struct Ends {
    pub(super) cancel: CancellationToken,
    pub(super) deadline: Option<Instant>,
}

impl Ends {
    pub(super) fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// What a survey goes by.
pub(super) struct Ground {
    /// What the run itself writes, by device and inode: no part of the sources.
    pub(super) own: HashSet<(u64, u64)>,
    /// Prefix of the job.
    pub(super) prefix: String,
    /// What contents are sent with.
    pub(super) algorithm: ChecksumAlgorithm,
    /// Small contents go on with their tasks.
    pub(super) keeps_contents: bool,
    pub(super) ends: Ends,
}

impl Ground {
    /// Whether the run itself writes this file.
    pub(super) fn is_own(&self, file: &Metadata) -> bool {
        self.own.contains(&(file.dev(), file.ino()))
    }
}
