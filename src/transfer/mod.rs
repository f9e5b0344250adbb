//! One task to one outcome: small files by one PUT, large ones by parts, every byte checked; and objects the other way.
//!
//! A [`Task`] is pulled from the queue by a worker, which calls [`drive`]. What touches files and the store is
//! split into [`Step`]s of plain data, so that a worker may run them itself ([`LocalSteps`]) or have a child
//! process do so. Knows stores, but neither strategies nor the terminal.

mod archive;
mod batch;
mod batch_probe;
mod drive;
mod drive_batch;
mod drive_file;
mod fetch;
mod file;
mod here;
mod journal;
mod landing;
mod local;
mod look;
mod multipart;
mod open_uploads;
mod place;
mod place_entries;
mod shared;
mod step;
mod stream;
mod task;
mod temporary;
mod ticket;
mod time_limit;
mod told;
mod verify;

pub use batch_probe::probe_batches;
pub use drive::{RunContext, drive};
pub use journal::Earlier;
#[cfg(fuzzing)]
pub(crate) use journal::fuzz_journal;
pub use local::LocalSteps;
pub use look::Look;
pub use open_uploads::OpenUploads;
pub use place::{Overwrite, Place};
pub(crate) use place_entries::Made;
pub use shared::TransferShared;
pub(crate) use step::run_unless_cancelled;
pub use step::{FatalCause, Step, StepDone, StepError, Steps};
pub use stream::{Stopped, read_stream};
pub use task::{Content, FileTask, ObjectSpec, OnlyAs, PartTask, Task, parts};
pub use temporary::remove_temporary;
pub use ticket::{EventSender, Ticket};
pub use time_limit::TimeLimit;
pub use told::{Looks, Told};
