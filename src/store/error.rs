//! What a store can answer when it does not do what it was asked, and what follows from it.
//!
//! Serialisable, because worker processes report it over a pipe. Nothing decides by matching message texts.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::identity::FileChanged;

/// What went wrong, by what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The server asks for a slower pace: 503 SlowDown and its relatives, 429.
    Throttled,
    /// A passing trouble of the server: other 5xx, RequestTimeout, 409 OperationAborted.
    Transient,
    /// No connection could be made.
    Unreachable,
    /// A connection was made and lost before the request was answered.
    Connection,
    /// No byte moved, or no answer came, for too long.
    Stalled,
    /// The bytes that arrived are not the bytes that were meant.
    BadDigest,
    /// Our clock and the server's differ by too much.
    ClockSkew,
    /// Credentials that were good once and are not any more.
    ExpiredCredentials,
    /// No credentials could be found.
    NoCredentials,
    /// Credentials that the server does not know or whose signature it does not accept.
    InvalidCredentials,
    /// Known, but not allowed.
    AccessDenied,
    /// The bucket does not exist.
    NoSuchBucket,
    /// The multipart upload does not exist (any more).
    NoSuchUpload,
    /// Complete named parts that the server does not have: an answer to one of them was not true.
    InvalidPart,
    /// The object does not exist.
    NoSuchKey,
    /// A conditional write met an existing object.
    PreconditionFailed,
    /// The bucket lives in another region.
    WrongRegion,
    /// The server has no space left.
    StorageFull,
    /// A success that proves nothing: HTML, no ETag, an unreadable or contradictory answer.
    NotCredible,
    /// The certificate is not trusted or does not fit.
    Tls,
    /// The local file could not be read while it was sent.
    LocalRead,
    /// What was read could not be written here.
    LocalWrite,
    /// There is no space left where it is written.
    LocalFull,
    /// The local file changed while it was sent; the server did not get all of it.
    LocalChange,
    /// Anything else: asking again would give the same answer.
    Refused,
}

/// An answer that is not the one asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreError {
    /// What follows from it.
    pub kind: StoreErrorKind,
    /// What happened, for people.
    pub message: String,
    /// S3 error code, if there was one.
    pub code: Option<String>,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The server's name for the request.
    pub request_id: Option<String>,
    /// The server's wish.
    pub retry_after: Option<Duration>,
    /// The server's clock, when its answer had one.
    pub server_time: Option<SystemTime>,
    /// Region that the server named.
    pub region: Option<String>,
    /// Times the request was sent in all; set by the retry layer.
    pub tries: u32,
}

impl StoreError {
    /// An error without an answer from the server.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            code: None,
            status: None,
            request_id: None,
            retry_after: None,
            server_time: None,
            region: None,
            tries: 1,
        }
    }

    /// The local file gave no bytes, or not those that it had.
    pub(crate) fn local(error: &io::Error) -> Self {
        let kind = if FileChanged::caused(error) {
            StoreErrorKind::LocalChange
        } else {
            StoreErrorKind::LocalRead
        };
        Self::new(kind, error.to_string())
    }

    /// What came could not be written here.
    pub(crate) fn local_write(error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::StorageFull | Io::QuotaExceeded => StoreErrorKind::LocalFull,
            _ => StoreErrorKind::LocalWrite,
        };
        Self::new(kind, error.to_string())
    }

    /// A page for people where S3 should have answered: a captive portal, a proxy, a web server.
    pub(super) fn html() -> Self {
        Self::new(StoreErrorKind::NotCredible, "the answer is an HTML page, not S3")
    }

    /// True when no other object of this run can fare better: the run ends.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Unreachable
                | StoreErrorKind::NoCredentials
                | StoreErrorKind::InvalidCredentials
                | StoreErrorKind::ExpiredCredentials
                | StoreErrorKind::NoSuchBucket
                | StoreErrorKind::WrongRegion
                | StoreErrorKind::StorageFull
                | StoreErrorKind::LocalFull
                | StoreErrorKind::Tls
                | StoreErrorKind::ClockSkew
        )
    }

    /// True when the request may have had its effect although it seems to have failed.
    pub fn is_ambiguous(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Connection
                | StoreErrorKind::Stalled
                | StoreErrorKind::NotCredible
                | StoreErrorKind::Transient
                | StoreErrorKind::NoSuchUpload
        )
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match (self.status, &self.code) {
            (Some(status), Some(code)) => write!(formatter, " ({status} {code}")?,
            (Some(status), None) => write!(formatter, " (HTTP {status}")?,
            (None, _) => return Ok(()),
        }
        if let Some(request_id) = &self.request_id {
            write!(formatter, ", request {request_id}")?;
        }
        formatter.write_str(")")
    }
}

impl std::error::Error for StoreError {}

/// The kind that an S3 error code stands for; `None` leaves it to the status.
pub(super) fn kind_of_code(code: &str) -> Option<StoreErrorKind> {
    use StoreErrorKind as Kind;
    Some(match code {
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "RequestThrottled" => Kind::Throttled,
        "InternalError"
        | "ServiceUnavailable"
        | "RequestTimeout"
        | "IncompleteBody"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "XMinioServerNotInitialized" => Kind::Transient,
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "InvalidDigest" => {
            Kind::BadDigest
        }
        "RequestTimeTooSkewed" => Kind::ClockSkew,
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Kind::ExpiredCredentials,
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" => Kind::InvalidCredentials,
        "AccessDenied" | "AllAccessDisabled" => Kind::AccessDenied,
        "NoSuchBucket" => Kind::NoSuchBucket,
        "InvalidPart" | "InvalidPartOrder" => Kind::InvalidPart,
        "NoSuchUpload" => Kind::NoSuchUpload,
        "NoSuchKey" => Kind::NoSuchKey,
        "PreconditionFailed" => Kind::PreconditionFailed,
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => Kind::WrongRegion,
        "XMinioStorageFull" | "InsufficientStorage" => Kind::StorageFull,
        _ => return None,
    })
}

/// The kind that an HTTP status stands for when no code says more.
pub(super) fn kind_of_status(status: u16) -> StoreErrorKind {
    use StoreErrorKind as Kind;
    match status {
        401 | 403 => Kind::AccessDenied,
        404 => Kind::NoSuchKey,
        408 | 409 => Kind::Transient,
        412 => Kind::PreconditionFailed,
        429 | 503 => Kind::Throttled,
        301 | 307 | 308 => Kind::WrongRegion,
        // A success that could not be read as one.
        200..=299 => Kind::NotCredible,
        501 | 505 => Kind::Refused,
        507 => Kind::StorageFull,
        500.. => Kind::Transient,
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minio_and_aws_words_for_slower_mean_the_same() {
        for code in ["SlowDown", "SlowDownWrite", "SlowDownRead"] {
            assert_eq!(kind_of_code(code), Some(StoreErrorKind::Throttled), "{code}");
        }
        assert_eq!(kind_of_status(429), StoreErrorKind::Throttled);
        assert_eq!(kind_of_status(502), StoreErrorKind::Transient);
        assert_eq!(kind_of_status(507), StoreErrorKind::StorageFull);
        assert_eq!(kind_of_status(501), StoreErrorKind::Refused);
    }
}
