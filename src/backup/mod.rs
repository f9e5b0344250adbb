//! Backups with history: each run adds a snapshot, and nothing that is stored is ever overwritten.
//!
//! Whole files are objects that are named by their content, each once however often it occurs; a snapshot is a manifest that
//! names them, and exists when that has arrived. `docs/backup-format.md` says how to read it without s3haul.

mod contents;
mod give_back;
mod layout;
pub mod manifest;
mod run;
mod snapshots;
mod survey;

pub use give_back::{GiveBackRequest, GivenBack, give_back};
pub use layout::SnapshotId;
pub use run::{BackupRequest, BackupSummary, backup};
pub use snapshots::{Manifest, Snapshot, Which, list_snapshots, open_manifest, resolve};
pub use survey::Tally;
