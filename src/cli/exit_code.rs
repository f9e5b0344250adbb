//! What the process tells its caller: one enum, the same in `--help`, README and man page.

use crate::error::{Error, ErrorKind};
use crate::report::{Ending, RunSummary};
use crate::store::StoreErrorKind;

/// The table as people read it.
pub(super) const TABLE: &str = "\
Exit codes:
   0  all done, also when nothing was to do
   1  the run failed: configuration, credentials, server, aborted
   2  usage: arguments that make no sense
   3  finished, but some files could not be read, kept changing or failed
   4  verification found differences
   5  stopped by --max-duration; the next run goes on
   6  refused by a guard: nothing was deleted
  10  the bucket does not exist, or nothing is stored at the prefix
  11  another run has the target in hand
 130  interrupted by Ctrl-C after a clean stop
 143  terminated by SIGTERM after a clean stop";

/// See [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ExitCode {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Incomplete = 3,
    Differs = 4,
    OutOfTime = 5,
    Refused = 6,
    NotFound = 10,
    Locked = 11,
    Interrupted = 130,
    Terminated = 143,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

impl ExitCode {
    /// Of a run that could not begin.
    pub(super) fn of_error(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Usage => Self::Usage,
            ErrorKind::NoSuchBucket | ErrorKind::NothingStored => Self::NotFound,
            ErrorKind::Refused => Self::Refused,
            ErrorKind::OutOfTime => Self::OutOfTime,
            ErrorKind::Locked => Self::Locked,
            ErrorKind::Interrupted => super::signals::received().unwrap_or(Self::Failed),
            _ => Self::Failed,
        }
    }

    /// Of a run that has ended, one way or another.
    pub(super) fn of_summary(summary: &RunSummary) -> Self {
        match &summary.ending {
            Ending::Fatal { cause } if cause.kind == StoreErrorKind::NoSuchBucket => Self::NotFound,
            Ending::Fatal { .. } => Self::Failed,
            Ending::OutOfTime => Self::OutOfTime,
            Ending::Cancelled => super::signals::received().unwrap_or(Self::Failed),
            Ending::Finished if summary.totals.failed + summary.totals.cancelled > 0 => Self::Incomplete,
            Ending::Finished => Self::Done,
        }
    }
}
