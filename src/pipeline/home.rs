//! Where what is remembered of a target is kept, and the lock that lets one run at a time have it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Resume;
use crate::config::ProfilePlace;
use crate::error::{Error, ErrorKind, Result};
use crate::naming::unique_name;
use crate::source::S3Url;

/// What runs that upload want the directory of a target for: one of them has it at a time.
pub const UPLOADING: &str = "";
/// Time between two looks at a lock that somebody holds.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where directories of targets are, and how long to wait for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// The directory that they lie in.
    pub base: PathBuf,
    /// Time to wait for another run of the same target.
    pub patience: Duration,
}

impl StateSettings {
    /// Where the profile of a server is kept: beside what is remembered of targets.
    pub fn server_profile(&self, bucket: &str) -> ProfilePlace {
        ProfilePlace {
            directory: self.base.join("servers"),
            bucket: bucket.to_owned(),
        }
    }
}

/// The directory of one target, locked for as long as this exists: the kernel lets go of the lock when the process ends,
/// however it does. The directory itself is locked, for a file could be deleted, and locked again by another; and a file in it,
/// for the other machines of a network file system hear of those only.
#[derive(Debug)]
pub struct Home {
    directory: PathBuf,
    _locks: [File; 2],
}

impl Home {
    /// Opens the directory of `target` at `endpoint` for a `purpose`, and waits for its lock.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when another run has it, [`ErrorKind::Configuration`] when the directory cannot be used.
    pub fn open(
        settings: &StateSettings,
        purpose: &str,
        (endpoint, target): (&str, &S3Url),
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let directory = settings.base.join(name_of(purpose, endpoint, target));
        let patience = settings.patience;
        let cannot = |error: io::Error| {
            Error::new(
                ErrorKind::Configuration,
                format!(
                    "what is remembered of this target cannot be kept in '{}'",
                    directory.display()
                ),
            )
            .with_source(error)
            .with_hint(
                "set XDG_STATE_HOME to a directory that can be written, or name one with --state-dir DIR",
            )
        };
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(cannot)?;
        let lock = File::open(&directory).map_err(cannot)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(directory.join("lock")).map_err(cannot)?;
        let since = Instant::now();
        loop {
            match lock.try_lock().and_then(|()| file.try_lock()) {
                Ok(()) => {
                    return Ok(Self {
                        directory,
                        _locks: [lock, file],
                    });
                }
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if cancel.is_cancelled() {
                return Err(Error::new(
                    ErrorKind::Interrupted,
                    "stopped while waiting for another run",
                ));
            }
            if since.elapsed() >= patience {
                return Err(Error::new(
                    ErrorKind::Locked,
                    format!("another run of s3haul has {target} in hand"),
                )
                .with_hint("wait for it with --wait-lock 10m, or look what it is doing"));
            }
            std::thread::sleep(LOOK_EVERY.min(patience));
        }
    }

    /// A place beside the directories of targets, for what is noted of `target` for a `purpose` without a lock.
    pub fn place_of_note(
        settings: &StateSettings,
        purpose: &str,
        (endpoint, target): (&str, &S3Url),
    ) -> PathBuf {
        let name = name_of(purpose, endpoint, target);
        settings.base.join(format!("{name}.json"))
    }

    /// Where it is remembered what the objects were made of.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state.redb")
    }

    /// Where multipart uploads are written down.
    pub fn journal(&self) -> PathBuf {
        self.directory.join("journal")
    }

    /// How a run of the target goes on with what the last one left, and leaves what it has begun itself.
    pub(crate) fn resume(&self) -> Resume {
        Resume {
            journal: self.journal(),
            stays: true,
        }
    }

    /// All that is written in it while a run goes on.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let lock = self.directory.join("lock");
        [self.state(), self.journal(), lock].into_iter()
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// A name that people recognise and that no other target has.
fn name_of(purpose: &str, endpoint: &str, target: &S3Url) -> String {
    let prefix = target.prefix();
    let readable = format!("{}-{prefix}", target.bucket);
    unique_name(
        &readable,
        &[purpose, endpoint.trim_end_matches('/'), &target.bucket, &prefix],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(base: &Path, target: &str, patience: Duration) -> Result<Home> {
        let target = target.parse().expect("a target");
        let settings = StateSettings {
            base: base.to_owned(),
            patience,
        };
        Home::open(
            &settings,
            "",
            ("http://here:9000", &target),
            &CancellationToken::new(),
        )
    }

    #[test]
    fn one_run_at_a_time_has_a_target() {
        let base = tempfile::tempdir().expect("a directory");
        let first = open(base.path(), "s3://bucket/p/", Duration::ZERO).expect("free");
        let second = open(base.path(), "s3://bucket/p/", Duration::from_millis(1));
        assert_eq!(second.expect_err("taken").kind(), ErrorKind::Locked);
        let _other = open(base.path(), "s3://bucket/q/", Duration::ZERO).expect("another target");
        let waiting = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| open(base.path(), "s3://bucket/p/", Duration::from_secs(20)));
            drop(first);
            waiting.join().expect("no panic")
        });
        waiting.expect("free again");
    }

    #[test]
    fn a_directory_that_was_left_behind_locks_nobody_out() {
        let base = tempfile::tempdir().expect("a directory");
        drop(open(base.path(), "s3://bucket/p/", Duration::ZERO).expect("free"));
        open(base.path(), "s3://bucket/p/", Duration::ZERO).expect("still free");
    }

    #[test]
    fn names_are_readable_and_differ() {
        let name = |endpoint: &str, target: &str| name_of("", endpoint, &target.parse().expect("a target"));
        let one = name("http://a", "s3://photos/2026/raw/");
        assert!(one.starts_with("photos-2026-raw-"), "{one}");
        for (endpoint, target) in [
            ("http://b", "s3://photos/2026/raw/"),
            ("http://a", "s3://photos/2026/ra/"),
            ("http://a", "s3://photos-2026/raw/"),
        ] {
            assert_ne!(name(endpoint, target), one);
        }
        assert_eq!(name("http://a/", "s3://photos/2026/raw"), one, "the same place");
    }
}
