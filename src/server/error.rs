//! Errors of starting and running the embedded server.
//!
//! Called by: `handle.rs`, `blobs.rs` and `index.rs`; shown to people by whoever starts a server.
//! Must not know: S3 error codes (those go over the wire and come from `s3s`).

use std::path::PathBuf;

/// Why the embedded server could not start or could not answer its owner.
///
/// Every message is a lower-case fragment that says what failed, where, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A directory or file under the data directory could not be created, read or removed.
    #[error(
        "cannot use data directory {path:?}: {source}; check that it exists, is writable and has \
        free space"
    )]
    DataDirectory {
        /// The file or directory concerned.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another process (or another server in this process) holds the data directory.
    #[error(
        "data directory {path:?} is in use by another server; stop that server or choose another \
        directory"
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The index file is there but cannot be opened or read.
    #[error(
        "cannot open index {path:?}: {reason}; restore the data directory from a copy or choose \
        an empty one"
    )]
    Index {
        /// The index file.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// The loopback port could not be bound.
    #[error("cannot listen on 127.0.0.1:{port}: {source}; choose another port, or 0 for any free one")]
    Listen {
        /// The port asked for; 0 means any.
        port: u16,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A thread or its runtime could not be created.
    #[error("cannot start the server thread: {source}; check the limit on threads and open files")]
    Thread {
        /// What the operating system said.
        source: std::io::Error,
    },
}
