//! What may be expected of a server: of one that is known by its name, and of one that was examined.
//!
//! Read for every object, as plain fields. Nothing is expected of a server that nobody knows.

use serde::{Deserialize, Serialize};

/// Which server answers, as far as its behaviour is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// Amazon S3.
    Aws,
    /// MinIO, or a fork that calls itself so.
    Minio,
    /// s3haul's own.
    Embedded,
    /// Any other.
    Unknown,
}

impl ServerKind {
    fn from_header(server: &str) -> Self {
        if server.starts_with("MinIO") {
            Self::Minio
        } else if server.starts_with("AmazonS3") {
            Self::Aws
        } else if server.starts_with("s3haul") {
            Self::Embedded
        } else {
            Self::Unknown
        }
    }
}

/// What a server is relied on for. Where it is not, s3haul asks more questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// It refuses what does not match the checksum that goes with it, with the run's algorithm.
    pub verifies_checksums: bool,
    /// It honours `If-None-Match`, for one PUT and for an object of parts.
    pub honours_conditions: bool,
    /// The ETag of unencrypted content from one PUT is its MD5.
    pub md5_etags: bool,
    /// The ETag of unencrypted parts is made of theirs, as Amazon S3 does it.
    pub composed_etags: bool,
    /// It looks for a checksum behind the body where one is announced.
    pub reads_trailers: bool,
    /// It takes archives apart; none where nobody has tried.
    pub extracts_archives: Option<bool>,
}

impl Capabilities {
    /// Those of servers of this kind; for one that nobody knows, what was `proven` of it. Whether archives are taken
    /// apart no name tells.
    pub(super) fn of(kind: ServerKind, proven: Self) -> Self {
        if kind == ServerKind::Unknown {
            return proven;
        }
        Self {
            verifies_checksums: true,
            honours_conditions: true,
            md5_etags: true,
            composed_etags: true,
            reads_trailers: true,
            extracts_archives: proven.extracts_archives,
        }
    }
}

/// What is known of the server that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownServer {
    /// By the name that it gave.
    pub kind: ServerKind,
    /// What follows from its kind, or from what was found out about it.
    pub capabilities: Capabilities,
}

impl KnownServer {
    /// One of which nothing is known but its kind.
    pub(super) fn of_kind(kind: ServerKind) -> Self {
        Self {
            kind,
            capabilities: Capabilities::of(kind, Capabilities::default()),
        }
    }
}

/// What was found out about a server that gave this name, if it gave one. What answers under another name now is
/// another server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proven {
    pub(super) server: Option<String>,
    pub(super) capabilities: Capabilities,
}

impl Proven {
    /// The server that gave the name `server`.
    pub(super) fn known(&self, server: &str) -> KnownServer {
        let kind = ServerKind::from_header(server);
        let proven = if self.server.as_deref() == Some(server) {
            self.capabilities
        } else {
            Capabilities::default()
        };
        KnownServer {
            kind,
            capabilities: Capabilities::of(kind, proven),
        }
    }

    /// A server that has given no name, or not yet.
    pub(super) fn nameless(&self) -> KnownServer {
        let proven = match self.server {
            None => self.capabilities,
            Some(_) => Capabilities::default(),
        };
        KnownServer {
            kind: ServerKind::Unknown,
            capabilities: proven,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Capabilities = Capabilities {
        verifies_checksums: true,
        honours_conditions: true,
        md5_etags: true,
        composed_etags: true,
        reads_trailers: true,
        extracts_archives: Some(true),
    };

    #[test]
    fn what_was_proven_counts_for_the_server_that_gave_this_name() {
        let nothing = Capabilities::default();
        let of = |server: Option<&str>| Proven {
            server: server.map(str::to_owned),
            capabilities: ALL,
        };
        assert_eq!(of(Some("odd")).known("odd").capabilities, ALL);
        assert_eq!(of(Some("odd")).known("odd/2").capabilities, nothing);
        assert_eq!(of(Some("odd")).nameless().capabilities, nothing);
        assert_eq!(of(None).nameless().capabilities, ALL);
        assert_eq!(of(None).known("odd").capabilities, nothing);
        assert_eq!(Proven::default().known("odd").capabilities, nothing);
    }

    #[test]
    fn known_kinds_need_no_proof_but_for_archives() {
        let nothing = Proven::default();
        let expected = Capabilities {
            extracts_archives: None,
            ..ALL
        };
        for name in ["MinIO", "AmazonS3", "s3haul"] {
            assert_eq!(nothing.known(name).capabilities, expected, "{name}");
        }
        let proven = Proven {
            server: Some("MinIO".into()),
            capabilities: Capabilities {
                extracts_archives: Some(true),
                ..Capabilities::default()
            },
        };
        assert_eq!(proven.known("MinIO").capabilities, ALL);
    }
}
