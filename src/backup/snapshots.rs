//! Snapshots that are there: listed, named by people, and their manifests read.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use super::layout::{SNAPSHOTS, SnapshotId};
use super::manifest::{ManifestError, ManifestReader};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::{Stored, find_server, open_store};
use crate::source::S3Url;
use crate::store::{GetObject, explain};

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// Bytes of its manifest.
    pub manifest_bytes: u64,
}

/// What a person calls a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The last one.
    Latest,
    /// That one; the first letters of an id are enough.
    Id(String),
    /// The last one that had begun by then.
    By(Timestamp),
}

impl FromStr for Which {
    type Err = String;

    /// `latest`, an id, a time such as `2026-11-22T12:00`, or a date: the last one of that day, here.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let here = TimeZone::system();
        if text == "latest" || text.is_empty() {
            return Ok(Self::Latest);
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::By(time));
        }
        if !text.contains('T')
            && let Ok(date) = text.parse::<Date>()
            && text.contains('-')
        {
            let end = date.at(23, 59, 59, 999_999_999).to_zoned(here);
            return end
                .map(|end| Self::By(end.timestamp()))
                .map_err(|error| error.to_string());
        }
        if text.contains('-')
            && text.contains(':')
            && let Ok(time) = text.parse::<jiff::civil::DateTime>()
        {
            let time = time.to_zoned(here);
            return time
                .map(|time| Self::By(time.timestamp()))
                .map_err(|error| error.to_string());
        }
        if text.len() >= 4
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Ok(Self::Id(text.to_owned()));
        }
        Err(format!(
            "'{}' is neither a snapshot's name, nor a time or date, nor 'latest'",
            text.escape_debug()
        ))
    }
}

/// The snapshots below `target`, from the first to the last.
///
/// # Errors
/// They cannot be listed.
pub fn list_snapshots(config: &Config, target: &S3Url, cancel: &CancellationToken) -> Result<Vec<Snapshot>> {
    let connector = find_server(config, cancel)?;
    let prefix = target.prefix();
    let listed = format!("{prefix}{SNAPSHOTS}");
    let server = (&connector, config.transfer.retry);
    let mut snapshots = Vec::new();
    for object in Stored::new(server, (&target.bucket, &listed), cancel) {
        let object = object?;
        if let Some(id) = SnapshotId::of_key(&prefix, &object.key) {
            snapshots.push(Snapshot {
                id,
                manifest_bytes: object.size_bytes,
            });
        }
    }
    Ok(snapshots)
}

/// The one of `snapshots` that is meant.
///
/// # Errors
/// [`ErrorKind::NothingStored`] when there is none; [`ErrorKind::Usage`] when there are several.
pub fn resolve<'a>(snapshots: &'a [Snapshot], which: &Which) -> Result<&'a Snapshot> {
    let nothing = |message: String| {
        Error::new(ErrorKind::NothingStored, message).with_hint("s3haul backup list JOB shows what is there")
    };
    match which {
        Which::Latest => snapshots
            .last()
            .ok_or_else(|| nothing("there is no snapshot yet".to_owned())),
        Which::By(time) => snapshots
            .iter()
            .rfind(|snapshot| snapshot.id.time() <= *time)
            .ok_or_else(|| nothing(format!("there is no snapshot of {time} or before"))),
        Which::Id(name) => {
            let mut named = snapshots
                .iter()
                .filter(|snapshot| snapshot.id.to_string().starts_with(name.as_str()));
            let first = named
                .next()
                .ok_or_else(|| nothing(format!("there is no snapshot '{name}'")))?;
            match named.next() {
                None => Ok(first),
                Some(other) => Err(Error::new(
                    ErrorKind::Usage,
                    format!(
                        "'{name}' is the beginning of '{}' and of '{}'",
                        first.id, other.id
                    ),
                )),
            }
        }
    }
}

/// A manifest that was brought here, read to its end and proven.
#[derive(Debug)]
pub struct Manifest {
    id: SnapshotId,
    file: File,
}

impl Manifest {
    /// Its entries, from the first one.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub fn entries(&self) -> Result<ManifestReader<File>> {
        let again = self
            .file
            .try_clone()
            .and_then(|mut file| file.rewind().map(|()| file));
        again
            .map_err(ManifestError::from)
            .and_then(ManifestReader::new)
            .map_err(|error| damaged(&self.id, error))
    }
}

fn damaged(id: &SnapshotId, error: ManifestError) -> Error {
    Error::new(
        ErrorKind::Server,
        format!("the manifest of snapshot {id} cannot be used"),
    )
    .with_source(error)
    .with_hint("other snapshots are not affected: s3haul backup list JOB shows them")
}

/// Brings the manifest of a snapshot here, and proves it.
///
/// # Errors
/// It cannot be read, or is not what was written.
pub fn open_manifest(config: &Config, target: &S3Url, id: &SnapshotId) -> Result<Manifest> {
    let connector = find_server(config, &CancellationToken::new())?;
    let (host, store) = open_store(&connector, config.transfer.retry, (&target.bucket, 1))?;
    let key = id.key(&target.prefix());
    let spool = |error: io::Error| {
        Error::new(ErrorKind::Configuration, "a manifest cannot be put down here").with_source(error)
    };
    let mut file = tempfile::tempfile().map_err(spool)?;
    let request = GetObject {
        key: &key,
        range: None,
        if_match: None,
    };
    host.runtime
        .block_on(store.get_object(&request, &mut |bytes| file.write_all(bytes)))
        .map_err(|error| explain(&error, &target.bucket, &connector))?;
    let manifest = Manifest { id: id.clone(), file };
    manifest.entries()?.prove().map_err(|error| damaged(id, error))?;
    Ok(manifest)
}
