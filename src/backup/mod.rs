//! Backups with history: each run adds a snapshot, and nothing that is stored is ever overwritten.
//!
//! Whole files are objects that are named by their content, each once however often it occurs; a snapshot is a manifest that
//! names them, and exists when that has arrived. `docs/backup-format.md` says how to read it without s3haul.

mod arrivals;
mod census;
mod checking;
mod comparing;
mod contents;
mod draft;
mod entries;
mod forgetting;
#[cfg(fuzzing)]
mod fuzz;
mod ground;
mod guards;
mod hashing;
mod last_run;
mod layout;
mod leases;
mod links;
pub mod manifest;
mod paths;
mod pruning;
mod remembered;
mod repository;
mod restoring;
mod retention;
mod run;
mod survey;
mod wanted;
mod which;

#[cfg(fuzzing)]
pub(crate) use fuzz::fuzz_manifest;

pub use census::{Census, census};
pub use checking::{Checked, Difference, Flaw, Share, check, share_of};
pub use comparing::{ChangeOfEntry, compare};
pub use forgetting::{Forgotten, forget, refuse_nothing};
pub use ground::Tally;
pub use last_run::LastRun;
pub use layout::SnapshotId;
pub use pruning::{PruneRules, Pruned, prune};
pub use remembered::look_again;
pub use repository::{Manifest, Repository};
pub use restoring::{RestoredEntries, SnapshotRestoreRequest, restore_snapshot};
pub use retention::Keep;
pub use run::{BackupRequest, BackupSummary, backup};
pub use which::{Snapshot, Which, resolve};
