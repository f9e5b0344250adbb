//! What speaks against a snapshot before there is one: it would be of another job, or of a disk that is not mounted.

use super::ground::Tally;
use super::manifest::Header;
use super::repository::Repository;
use super::which::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Root, S3Url};

/// Refuses to add a snapshot to those of another job. Returns what is remarkable about those that are there, for people.
pub(super) fn look_at_before(
    before: Option<&Header>,
    now: &Header,
    target: &S3Url,
) -> Result<Option<String>> {
    let Some(before) = before else {
        return Ok(None);
    };
    if before.job != now.job {
        let message = format!(
            "{target} has the snapshots of job '{}', and this is job '{}'",
            before.job.escape_debug(),
            now.job
        );
        return Err(Error::new(ErrorKind::Usage, message)
            .with_hint("give each job a prefix of its own; a job that was renamed keeps its name here"));
    }
    Ok((before.host != now.host).then(|| {
        format!(
            "the last snapshot at {target} is of host '{}' and this is '{}': two that share a target forget each other's days",
            before.host.escape_debug(),
            now.host
        )
    }))
}

/// Refuses a snapshot in which a source has no file that had some in the one before: its disk may not be mounted, and the
/// snapshots that have its files would be forgotten for such as these.
pub(super) fn refuse_emptied(
    roots: &[Root],
    tally: &Tally,
    (repository, snapshots): (&Repository, &[Snapshot]),
) -> Result<()> {
    let is_empty = |root: &&Root| !tally.with_files.contains(root.key.trim_end_matches('/'));
    let empty: Vec<&Root> = roots.iter().filter(is_empty).collect();
    let (Some(last), false) = (snapshots.last(), empty.is_empty()) else {
        return Ok(());
    };
    let manifest = match repository.manifest(last) {
        Err(error) if error.kind() == ErrorKind::Damaged => return Ok(()),
        manifest => manifest?,
    };
    for entry in manifest.entries()? {
        let entry = entry?;
        let had = |root: &&&Root| entry.path.starts_with(&root.key);
        if let Some(root) = empty.iter().find(had).filter(|_| entry.key.is_some()) {
            let path = root.path.display();
            let message =
                format!("source '{path}' has no file, and had some in the last snapshot: nothing is added");
            return Err(Error::new(ErrorKind::Refused, message).with_hint(
                "look whether its disk is mounted, and whether the job's patterns (which begin inside the source) leave anything in; allow-empty-source = true in the job if that is meant",
            ));
        }
    }
    Ok(())
}
