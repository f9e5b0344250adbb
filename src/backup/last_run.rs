//! What the last run of a job came to, noted on this machine: for a status, and for who keeps a timetable.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::layout::SnapshotId;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// When it began.
    pub begun: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The exit code of `backup run`.
    pub exit_code: u8,
    /// What it added; none when it did not come to that.
    pub snapshot: Option<SnapshotId>,
    /// When the last run began that did all.
    pub last_success: Option<Timestamp>,
}

impl LastRun {
    /// What was noted at `path`; none when nothing was, or nothing that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Notes it at `path`, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let fresh = path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec(self)?)?;
        fs::rename(&fresh, path)
    }
}
