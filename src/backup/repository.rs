//! Where the snapshots of a job are: listed, named by people, and their manifests read.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::layout::{DATA, SNAPSHOTS, SnapshotId};
use super::manifest::{Entry, Header, ManifestError, ManifestReader, Totals};
use super::which::Snapshot;
use crate::config::{BucketPolicy, ChecksumAlgorithm, Config, RetrySettings};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::{Stored, find_server, look_at_bucket, open_store};
use crate::source::S3Url;
use crate::store::{
    Connector, GetObject, ListedObject, Listing, ObjectStore, StoreResult, explain, read_through,
};
use crate::strategy::Host;

/// Requests that one question may have in flight.
pub(super) const IN_FLIGHT: usize = 8;

/// Where the snapshots of a job are: a prefix of a bucket, on a server that was found once.
pub struct Repository {
    pub(super) connector: Connector,
    /// Bucket and prefix.
    pub(super) target: S3Url,
    pub(super) retry: RetrySettings,
    pub(super) checksum: ChecksumAlgorithm,
    pub(super) cancel: CancellationToken,
    host: Arc<Host>,
    store: Arc<dyn ObjectStore>,
}

impl Repository {
    /// Finds server and bucket; makes a missing bucket where `policy` says so.
    ///
    /// # Errors
    /// Those of [`crate::pipeline::upload`] before it begins.
    pub fn open(
        config: &Config,
        target: &S3Url,
        policy: BucketPolicy,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let connector = find_server(config, cancel)?;
        let retry = config.transfer.retry;
        look_at_bucket(&connector, retry, (&target.bucket, policy), cancel)?;
        let (host, store) = open_store(&connector, retry, (&target.bucket, IN_FLIGHT))?;
        Ok(Self {
            connector,
            target: target.clone(),
            retry,
            checksum: config.transfer.checksum,
            cancel: cancel.clone(),
            host,
            store,
        })
    }

    /// The prefix, which ends with a slash.
    pub(super) fn prefix(&self) -> String {
        self.target.prefix()
    }

    /// All contents that are stored, of which there may be millions: while some are looked at, the next are asked for.
    pub(super) fn contents(&self) -> Stored {
        let listed = format!("{}{DATA}", self.prefix());
        let server = (&self.connector, self.retry);
        Stored::new(server, (&self.target.bucket, &listed), &self.cancel)
    }

    /// The objects in `directory`, itself below the prefix: a few.
    ///
    /// # Errors
    /// They cannot be listed.
    pub(super) fn objects(&self, directory: &str) -> Result<Vec<ListedObject>> {
        let mut listing = Listing::new(format!("{}{directory}", self.prefix()));
        self.ask(async |store| {
            let mut objects = Vec::new();
            while let Some(page) = listing.next_page(store).await? {
                objects.extend(page);
            }
            Ok(objects)
        })
    }

    /// Asks the bucket for something, with up to [`IN_FLIGHT`] requests in flight.
    ///
    /// # Errors
    /// What the server says, explained; [`ErrorKind::Interrupted`] when it is cancelled.
    pub(super) fn ask<T>(&self, question: impl AsyncFnOnce(&dyn ObjectStore) -> StoreResult<T>) -> Result<T> {
        self.host.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(Error::new(ErrorKind::Interrupted, "stopped while asking the server")),
                answer = question(self.store.as_ref()) => {
                    answer.map_err(|error| explain(&error, &self.target.bucket, &self.connector))
                }
            }
        })
    }

    /// Asks also when it was cancelled, and no longer than for `limit`. None when that is over.
    pub(super) fn ask_at_the_end<T>(
        &self,
        limit: Duration,
        question: impl AsyncFnOnce(&dyn ObjectStore) -> StoreResult<T>,
    ) -> Option<StoreResult<T>> {
        let answer = async { tokio::time::timeout(limit, question(self.store.as_ref())).await };
        self.host.runtime.block_on(answer).ok()
    }

    /// The snapshots that are there, from the first to the last.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let prefix = self.prefix();
        let mut snapshots = Vec::new();
        for object in self.objects(SNAPSHOTS)? {
            if let Some(id) = SnapshotId::of_key(&prefix, &object.key) {
                snapshots.push(Snapshot {
                    id,
                    manifest_bytes: object.size_bytes,
                });
            }
        }
        Ok(snapshots)
    }

    /// The first line of the manifest of a snapshot; none when it is damaged.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn header(&self, snapshot: &Snapshot) -> Result<Option<Header>> {
        let key = snapshot.id.key(&self.prefix());
        let length = snapshot.manifest_bytes.min(BEGINNING_BYTES);
        if length == 0 {
            return Ok(None);
        }
        let mut beginning = Vec::new();
        self.ask(async |store| {
            let request = GetObject {
                range: Some((0, length)),
                ..GetObject::whole(&key)
            };
            let mut sink = |bytes: &[u8]| {
                beginning.extend_from_slice(bytes);
                Ok(())
            };
            store.get_object(&request, &mut sink).await
        })?;
        let reader = ManifestReader::new(&beginning[..]).ok();
        Ok(reader.map(|reader| reader.header().clone()))
    }

    /// Brings the manifest of a snapshot here, and proves it: read to its end, it is what was written, of this snapshot.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written.
    pub fn manifest(&self, snapshot: &Snapshot) -> Result<Manifest> {
        let Snapshot { id, manifest_bytes } = snapshot;
        let spool = |error: io::Error| {
            Error::new(ErrorKind::Configuration, "a manifest cannot be put down here").with_source(error)
        };
        let mut file = tempfile::tempfile().map_err(spool)?;
        let key = id.key(&self.prefix());
        self.ask(async |store| {
            let wanted = GetObject::whole(&key);
            read_through(store, &wanted, *manifest_bytes, &mut |bytes| {
                file.write_all(bytes)
            })
            .await
        })?;
        let mut manifest = Manifest {
            id: id.clone(),
            file,
            totals: Totals::default(),
        };
        let (header, totals) = manifest
            .read()
            .and_then(ManifestReader::prove)
            .map_err(|error| damaged(id, error))?;
        if header.id != *id {
            return Err(damaged(id, ManifestError::OfAnother(header.id.to_string())));
        }
        manifest.totals = totals;
        Ok(manifest)
    }
}

/// So much of a manifest has its first line in it: a block of zstd's has at most 128 KiB.
const BEGINNING_BYTES: u64 = 256 * 1024;

/// A manifest that was brought here, read to its end and proven.
#[derive(Debug)]
pub struct Manifest {
    id: SnapshotId,
    file: File,
    totals: Totals,
}

impl Manifest {
    /// The snapshot that it is of.
    pub fn id(&self) -> &SnapshotId {
        &self.id
    }

    /// What is in it.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    fn read(&self) -> std::result::Result<ManifestReader<FromStart>, ManifestError> {
        ManifestReader::new(FromStart::of(&self.file)?)
    }

    /// Its entries, from the first one.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub fn entries(&self) -> Result<impl Iterator<Item = Result<Entry>> + Send + use<>> {
        let id = self.id.clone();
        let entries = self.read().map_err(|error| damaged(&id, error))?;
        Ok(entries.map(move |entry| entry.map_err(|error| damaged(&id, error))))
    }
}

/// A file that several read at a time, each from its start: those that share one share its position, too.
pub(super) struct FromStart {
    file: File,
    position: u64,
}

impl FromStart {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self {
            file: file.try_clone()?,
            position: 0,
        })
    }
}

impl io::Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}

fn damaged(id: &SnapshotId, error: ManifestError) -> Error {
    Error::new(
        ErrorKind::Damaged,
        format!("the manifest of snapshot {id} cannot be used"),
    )
    .with_source(error)
    .with_hint("other snapshots are not affected: s3haul backup list JOB shows them")
}
