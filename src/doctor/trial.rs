//! The checks by name, in their order, and what is said of one that could not be made.

use super::{Check, Examiner, Found, Verdict};
use crate::config::ChecksumAlgorithm;
use crate::store::{StoreError, StoreErrorKind, StoreResult};

/// One thing to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    Reach,
    Clock,
    Write,
    Metadata,
    Read,
    List,
    Names,
    Parts,
    Abort,
    Checksum(ChecksumAlgorithm),
    Trailer,
    Etag,
    Condition,
    Archive,
    Copy,
    Delete,
    DeleteMany,
}

impl Trial {
    /// All of them: what follows from another comes behind it.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let before = [
            Self::Reach,
            Self::Clock,
            Self::Write,
            Self::Metadata,
            Self::Read,
            Self::List,
            Self::Names,
            Self::Parts,
            Self::Abort,
        ];
        let after = [
            Self::Etag,
            Self::Trailer,
            Self::Condition,
            Self::Archive,
            Self::Copy,
            Self::Delete,
            Self::DeleteMany,
        ];
        let checksums = ChecksumAlgorithm::ALL.map(Self::Checksum);
        before.into_iter().chain(checksums).chain(after)
    }

    fn name(self) -> String {
        match self {
            Self::Reach => "reach",
            Self::Clock => "clock",
            Self::Write => "write",
            Self::Metadata => "metadata",
            Self::Read => "read",
            Self::List => "list",
            Self::Names => "names",
            Self::Parts => "multipart",
            Self::Abort => "multipart abort",
            Self::Checksum(algorithm) => return format!("checksum {}", algorithm.name()),
            Self::Trailer => "checksum behind the body",
            Self::Etag => "ETag",
            Self::Condition => "conditional write",
            Self::Archive => "tar extraction",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::DeleteMany => "delete many",
        }
        .to_owned()
    }

    fn is_needed(self, examiner: &Examiner<'_>) -> bool {
        match self {
            Self::Reach | Self::Write | Self::Read | Self::List | Self::Parts => true,
            Self::Checksum(algorithm) => algorithm == examiner.config.transfer.checksum,
            _ => false,
        }
    }

    /// Looks at it. What goes wrong in a way that says nothing of it is an error.
    pub(super) async fn run(self, examiner: &mut Examiner<'_>) -> StoreResult<Found> {
        // Boxed: the largest of them is not the size of all.
        match self {
            Self::Reach => Ok(examiner.reach()),
            Self::Clock => Box::pin(examiner.clock()).await,
            Self::Write => Box::pin(examiner.write()).await,
            Self::Metadata => Box::pin(examiner.metadata()).await,
            Self::Read => Box::pin(examiner.read()).await,
            Self::List => Box::pin(examiner.list()).await,
            Self::Names => Box::pin(examiner.names()).await,
            Self::Parts => Box::pin(examiner.parts()).await,
            Self::Abort => Box::pin(examiner.abort()).await,
            Self::Checksum(algorithm) => Box::pin(examiner.checksum(algorithm)).await,
            Self::Trailer => Box::pin(examiner.trailer()).await,
            Self::Etag => Box::pin(examiner.etag()).await,
            Self::Condition => Box::pin(examiner.condition()).await,
            Self::Archive => Box::pin(examiner.archive()).await,
            Self::Copy => Box::pin(examiner.copy()).await,
            Self::Delete => Box::pin(examiner.delete()).await,
            Self::DeleteMany => Box::pin(examiner.delete_many()).await,
        }
    }

    pub(super) fn skipped(self, examiner: &Examiner<'_>, why: &str) -> Check {
        self.named(examiner, Found::skipped(why))
    }

    /// What is said of it.
    pub(super) fn check(self, examiner: &Examiner<'_>, outcome: StoreResult<Found>) -> Check {
        let found = outcome.unwrap_or_else(|error| self.failed(&error));
        self.named(examiner, found)
    }

    fn named(self, examiner: &Examiner<'_>, Found { verdict, detail }: Found) -> Check {
        let is_needed = self.is_needed(examiner);
        Check {
            name: self.name(),
            is_needed,
            verdict,
            detail,
        }
    }

    fn failed(self, error: &StoreError) -> Found {
        let right = match (self, error.kind) {
            (Self::Delete | Self::DeleteMany, StoreErrorKind::AccessDenied) => {
                return Found::unsupported(
                    "no right to delete (enough for 'backup run' and 'cp', not for 'sync --delete')",
                );
            }
            (Self::Read | Self::Copy, StoreErrorKind::AccessDenied) => {
                return Found::unsupported("no right to read (enough for 'cp', not for 'restore')");
            }
            (Self::List | Self::Names | Self::Archive, _) => "s3:ListBucket",
            (Self::Abort, _) => "s3:AbortMultipartUpload and s3:ListBucketMultipartUploads",
            _ => "s3:PutObject",
        };
        match error.kind {
            StoreErrorKind::AccessDenied => Found {
                verdict: Verdict::Fails {
                    why: error.to_string(),
                    hint: Some(format!("the credentials in use need {right} here; see --profile")),
                },
                detail: String::new(),
            },
            _ => Found::fails(error.to_string()),
        }
    }
}
