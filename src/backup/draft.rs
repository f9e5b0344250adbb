//! The manifest of a run in the making: written here, mended, proven, and sent.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::arrivals::{Arrivals, deliver_again, mend};
use super::manifest::{Header, ManifestReader, ManifestWriter, Totals};
use super::repository::Repository;
use crate::config::{ObjectAttributes, TransferSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Outcome;
use crate::pipeline::{Effect, Silent, UploadRequest, Wanted, Work, run_work};
use crate::source::{Found, Root, SourceFile};
use crate::units::ByteSize;

/// Largest object that one PUT can store: 5 GiB, by the limits of Amazon S3.
const LARGEST_PUT: ByteSize = ByteSize(5 * 1024 * 1024 * 1024);

/// What the last steps of a run go by.
pub(super) struct Way<'a> {
    pub(super) repository: &'a Repository,
    pub(super) upload: &'a UploadRequest,
    pub(super) roots: &'a [Root],
}

/// The manifest of a run in the making.
pub(super) struct Draft {
    pub(super) path: PathBuf,
    pub(super) header: Header,
}

impl Draft {
    /// A manifest in a file that is only read by its owner. What an earlier run left there is overwritten.
    pub(super) fn begin(&self) -> Result<ManifestWriter<File>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600);
        let file = options.open(&self.path);
        file.and_then(|file| ManifestWriter::new(file, &self.header))
            .map_err(|error| self.unwritable(error))
    }

    fn unwritable(&self, error: io::Error) -> Error {
        let message = format!("the manifest cannot be written to '{}'", self.path.display());
        Error::new(ErrorKind::Configuration, message).with_source(error)
    }

    /// Ends the manifest.
    pub(super) fn finish(&self, manifest: ManifestWriter<File>) -> Result<File> {
        let finished = manifest.finish().map_err(|error| self.unwritable(error));
        finished.map(|(file, _)| file)
    }

    /// Contents that have not arrived are sent from other files that have them; where that does not help,
    /// it is written anew with the reason. Returns the names of the files that it is written for.
    pub(super) fn end(&self, file: File, arrivals: &mut Arrivals<'_>, way: &Way<'_>) -> Result<Vec<String>> {
        if !arrivals.missing.is_empty() {
            deliver_again(arrivals, &file, way)?;
        }
        if arrivals.missing.is_empty() {
            return Ok(Vec::new());
        }
        let mended = Self {
            path: self.path.with_extension("mended"),
            header: self.header.clone(),
        };
        let without = mend(&file, mended.begin()?, arrivals, &way.repository.prefix())?;
        fs::rename(&mended.path, &self.path).map_err(|error| self.unwritable(error))?;
        Ok(without)
    }

    /// Reads the draft as a restore would.
    pub(super) fn prove(&self) -> Result<Totals> {
        let draft = File::open(&self.path).map_err(|error| self.unwritable(error))?;
        let proven = ManifestReader::new(draft).and_then(ManifestReader::prove);
        let (header, totals) = proven.map_err(|error| self.unwritable(io::Error::other(error)))?;
        if header == self.header {
            Ok(totals)
        } else {
            Err(self.unwritable(io::Error::other("it is that of another run")))
        }
    }

    /// Sends the manifest by one PUT, and only where nothing is.
    pub(super) fn send(&self, way: &Way<'_>) -> Result<()> {
        let mut upload = way.upload.clone();
        (upload.resume, upload.deadline) = (None, None);
        upload.own_outputs = Vec::new();
        upload.config.transfer = TransferSettings {
            multipart_threshold: LARGEST_PUT,
            memory: LARGEST_PUT,
            attributes: ObjectAttributes::default(),
            ..upload.config.transfer
        };
        let file = SourceFile {
            path: self.path.clone(),
            key: self.header.id.key(&way.repository.prefix()),
            encoded: false,
            seen: None,
        };
        let work = Work::Entries(Box::new(std::iter::once(Wanted::from(Found::File(file)))));
        let Repository {
            connector, cancel, ..
        } = way.repository;
        let sent = run_work(work, Effect::Apply, connector, &upload, cancel, &mut Silent)?;
        if sent.totals.done == 1 {
            // What stays is overwritten by the next run.
            let _ = fs::remove_file(&self.path);
            return Ok(());
        }
        if cancel.is_cancelled() {
            return Err(Error::new(
                ErrorKind::Interrupted,
                "stopped before there was a snapshot",
            ));
        }
        let why = sent.failures.first().map(|record| match &record.outcome {
            Outcome::Failed { failure } => failure.to_string(),
            outcome => format!("{outcome:?}"),
        });
        let why = why.unwrap_or_else(|| "a manifest of that name is there already".to_owned());
        let message = "the manifest could not be stored, so there is no snapshot of this run";
        Err(Error::new(ErrorKind::Server, message)
            .with_source(io::Error::other(why))
            .with_hint("contents that were sent stay, and the next run does not send them again"))
    }
}
