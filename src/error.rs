//! The error that ends a run, and how it reads.
//!
//! A file that cannot be uploaded is not an [`Error`]: it is a failed record and the run goes on
//! (see [`crate::event::Failure`]). An [`Error`] means that the run cannot start or cannot go on.
//! `Display` says what and where; the cause is in `source()` and the next step in [`Error::hint`],
//! so that a caller prints the chain once.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of trouble ended the run; the command line maps it to an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Arguments that contradict each other or make no sense.
    Usage,
    /// A source that does not exist or cannot be used.
    Source,
    /// Configuration that cannot be used: profile, endpoint, certificate file.
    Configuration,
    /// Credentials that are missing or that the server does not accept.
    Credentials,
    /// The bucket does not exist.
    NoSuchBucket,
    /// Nothing is stored where something should be.
    NothingStored,
    /// The server cannot be reached, or not any more.
    Unreachable,
    /// The server refused, or does not speak S3.
    Server,
    /// What is stored is not what was written.
    Damaged,
    /// A report or log file that cannot be written.
    Output,
    /// A guard of the caller's data says no.
    Refused,
    /// Another run has the target in hand.
    Locked,
    /// The time of the run was up before it could begin.
    OutOfTime,
    /// Stopped by a signal or by the caller's cancellation.
    Interrupted,
    /// A fault of s3haul itself or of the machine (a thread or process that cannot be started).
    Internal,
}

type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// Why a run could not start or go on.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Cause>,
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A new error; `message` is a lower-case fragment that names the place, without a final period.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// Adds what the user can do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The next step, when we know one.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// An error and its causes in one line, joined by colons.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Some causes come as several lines; a message is one.
        let cause_text = cause
            .to_string()
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join("; ")
            .replace(":;", ":");
        // Many crates repeat their source in Display; once is enough.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
