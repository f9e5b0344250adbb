//! Uploads local files to S3-compatible storage in parallel, and proves that they are there.
//!
//! A file's journey, one way:
//!
//! 1. **discover** ([`source`]): walks lazily; an entry that cannot be read is a record, not a stop.
//! 2. **plan** ([`plan`]): its key, its parts. Pure functions. A dry run ends here.
//! 3. **queue** ([`queue`]): bounded; the only backpressure.
//! 4. **worker** ([`strategy`]): who pulls tasks, and on what.
//! 5. **transfer** ([`transfer`]): one task to one outcome, through the seam to S3 ([`store`]).
//! 6. **record** ([`event`]): workers send events, one collector folds them.
//! 7. **report** ([`report`]): a summary, and for the command line an exit code.
//!
//! [`pipeline::upload`] is the wiring. It blocks, and owns its threads and event loops: call it from a plain
//! thread, never inside a runtime.
//!
//! ```no_run
//! use s3haul::config::Config;
//! use s3haul::pipeline::{Silent, UploadRequest, upload};
//!
//! let target = "s3://bucket/photos/".parse().expect("an S3 address");
//! let request = UploadRequest::new("photos", target, Config::default());
//! let summary = upload(&request, &Default::default(), &mut Silent)?;
//! assert_eq!(summary.totals.failed, 0);
//! # Ok::<(), s3haul::error::Error>(())
//! ```

pub mod backup;
pub mod bench;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod error;
pub mod event;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod identity;
pub mod mirror;
pub mod naming;
pub mod pipeline;
pub mod plan;
pub mod queue;
pub mod report;
pub mod restore;
pub mod schedule;
pub mod server;
pub mod source;
pub mod store;
pub mod strategy;
pub mod timing;
pub mod transfer;
pub mod units;
pub mod usage;
