//! Names in a snapshot and paths of files: the name of a source, and what lies below it, were encoded each on its own.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use crate::source::{Root, RootKind, key};

fn decoded(text: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(key::decode(text)))
}

/// The path that `name` stands for, relative to where a snapshot is restored to.
pub(super) fn path_of(name: &str) -> PathBuf {
    let name = name.trim_end_matches('/');
    match name.split_once('/') {
        // By hand: a name that begins with a slash must not replace the one before it.
        Some((source, below)) => {
            let bytes = [key::decode(source), vec![b'/'], key::decode(below)].concat();
            PathBuf::from(OsString::from_vec(bytes))
        }
        None => decoded(name),
    }
}

/// The path that `name` had when the snapshot was made of `roots`.
pub(super) fn local_path(roots: &[Root], name: &str) -> Option<PathBuf> {
    let in_root = |root: &Root| match root.kind {
        RootKind::File => (name == root.key).then(|| root.path.clone()),
        RootKind::Directory => Some(root.path.join(decoded(name.strip_prefix(&root.key)?))),
    };
    roots.iter().find_map(in_root)
}

/// Where a symbolic link with this text as its target leads to.
pub(super) fn target_of(text: &str) -> PathBuf {
    decoded(text)
}
