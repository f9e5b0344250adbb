//! Bytes on their way to the server, and what is found of them.

use std::io;
use std::sync::{Arc, OnceLock};

use super::checksum::of_body;
use super::{Body, Checksum, StoreError, StoreResult};
use crate::config::ChecksumAlgorithm;
use crate::identity::FileChanged;

/// What was found of bytes on their way to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// As it was sent with them.
    pub checksum: Checksum,
    /// MD5 in hex, where the ETag must be it.
    pub md5: Option<String>,
}

/// What a PUT carries; can be sent again.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The bytes.
    pub body: Body,
    /// Checksum that goes with them.
    pub algorithm: ChecksumAlgorithm,
    pub(super) with_md5: bool,
    /// What its checksum has to be, if that is known.
    pub(super) only: Option<Checksum>,
    /// Set by whoever first sees all of the bytes; what they are for a later try, they were for the first.
    pub(super) found: Arc<OnceLock<Sums>>,
}

impl Payload {
    /// A body whose MD5 nobody asks for.
    pub fn new(body: Body, algorithm: ChecksumAlgorithm) -> Self {
        Self {
            body,
            algorithm,
            with_md5: false,
            only: None,
            found: Arc::default(),
        }
    }

    /// With their MD5, if it is `wanted`: the server's ETag must be it then.
    #[must_use]
    pub fn with_md5(self, wanted: bool) -> Self {
        Self {
            with_md5: wanted,
            ..self
        }
    }

    /// To be sent only if this is its checksum; whatever it is, if none is given.
    #[must_use]
    pub fn only(self, checksum: Option<Checksum>) -> Self {
        Self {
            only: checksum,
            ..self
        }
    }

    /// With these sums, whatever the bytes are: for who wants to see what a server does with what does not match.
    #[must_use]
    pub(crate) fn claiming(self, sums: Sums) -> Self {
        Self {
            found: Arc::new(OnceLock::from(sums)),
            ..self
        }
    }

    /// Fails with [`FileChanged`] when the bytes with these sums are not what is to be sent.
    pub(super) fn ensure(only: Option<&Checksum>, found: &Sums) -> io::Result<()> {
        match only {
            Some(only) if *only != found.checksum => Err(FileChanged.into()),
            _ => Ok(()),
        }
    }

    /// Nobody compares an ETag with their MD5.
    pub(super) fn md5_is_unwanted(&self) -> bool {
        !self.with_md5
    }

    /// Checksum and, where it is wanted, MD5 of all of the body. A file is read for them, unless it was sent before, and
    /// once for all tries: what is not the same any more when it is sent is not sent to its end.
    ///
    /// # Errors
    /// [`StoreErrorKind::LocalRead`](super::StoreErrorKind::LocalRead) when the file cannot be read,
    /// [`StoreErrorKind::LocalChange`](super::StoreErrorKind::LocalChange) when it is not what it was.
    pub fn sums(&self) -> StoreResult<&Sums> {
        if self.found.get().is_none() {
            let sums = of_body(self.algorithm, self.with_md5, &self.body)?;
            Self::ensure(self.only.as_ref(), &sums).map_err(|error| StoreError::local(&error))?;
            let _ = self.found.set(sums);
        }
        Ok(self.found.get().expect("set above or by somebody else"))
    }
}
