//! The sources as typed, checked and given their places in the bucket before the first byte moves.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::key;
use super::url::S3Url;
use crate::error::{Error, ErrorKind, Result};

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// A directory: its files go below `key`.
    Directory,
    /// A file: `key` is its key.
    File,
}

/// A source with its place in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Path to read. A link that was named itself is resolved here.
    pub path: PathBuf,
    /// Directory or file.
    pub kind: RootKind,
    /// Prefix (empty or ending in `/`) for a directory, key for a file.
    pub key: String,
    /// The key holds an encoding of the source's name.
    pub encoded: bool,
}

impl Root {
    /// The key that the entry at `path`, which lies below this source, has or would have.
    pub(crate) fn key_of(&self, path: &Path) -> String {
        self.key_with(path, "")
    }

    /// What the keys of all that lies below the directory at `path` begin with. Not its own key and a slash: a name may be
    /// encoded only where it is a whole key.
    pub(crate) fn prefix_of(&self, path: &Path) -> String {
        self.key_with(path, "/")
    }

    fn key_with(&self, path: &Path, end: &str) -> String {
        let bytes = path.as_os_str().as_bytes();
        let inside = bytes
            .strip_prefix(self.path.as_os_str().as_bytes())
            .unwrap_or(bytes);
        let slashes = inside.iter().take_while(|byte| **byte == b'/').count();
        if inside.len() == slashes {
            // The source itself.
            return self.key.clone();
        }
        let name = [&inside[slashes..], end.as_bytes()].concat();
        [self.key.as_str(), &key::encode(&name).text].concat()
    }
}

/// Resolves what was typed against the target by the key rule (see [`S3Url`]): the contents of one directory
/// go into the target; several sources go each under its own name.
///
/// # Errors
/// A source that does not exist, is neither file nor directory or has no name; two sources with one key.
pub fn resolve_roots(sources: &[PathBuf], target: &S3Url) -> Result<Vec<Root>> {
    resolve(sources, target, sources.len() == 1)
}

/// Resolves what was typed so that each goes under its own name, also where there is only one, in the order of the names.
///
/// # Errors
/// As [`resolve_roots`].
pub(crate) fn named_roots(sources: &[PathBuf]) -> Result<Vec<Root>> {
    let nowhere = S3Url {
        bucket: String::new(),
        key: String::new(),
    };
    let mut roots = resolve(sources, &nowhere, false)?;
    for root in &mut roots {
        root.path = resolve_link(&root.path)?;
    }
    roots.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(roots)
}

/// `alone`: the contents of a directory go into the target, without its name.
fn resolve(sources: &[PathBuf], target: &S3Url, alone: bool) -> Result<Vec<Root>> {
    let mut roots = Vec::with_capacity(sources.len());
    let mut named: HashMap<String, &PathBuf> = HashMap::new();
    for source in sources {
        let kind = kind_of(source)?;
        let name = if alone && kind == RootKind::Directory {
            None
        } else {
            Some(own_name(source)?)
        };
        let encoded = name.as_ref().is_some_and(|name| name.encoded);
        let key = match (kind, name.map(|name| name.text)) {
            (_, None) => target.prefix(),
            (RootKind::Directory, Some(name)) => format!("{}{name}/", target.prefix()),
            (RootKind::File, Some(name)) if alone => target.single_key(&name),
            (RootKind::File, Some(name)) => format!("{}{name}", target.prefix()),
        };
        if let Some(other) = named.insert(key.trim_end_matches('/').to_owned(), source) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "'{}' and '{}' would both become s3://{}/{key}",
                    other.display(),
                    source.display(),
                    target.bucket
                ),
            )
            .with_hint("upload them in two runs, into different prefixes"));
        }
        let path = if kind == RootKind::File {
            resolve_link(source)?
        } else {
            source.clone()
        };
        roots.push(Root {
            path,
            kind,
            key,
            encoded,
        });
    }
    Ok(roots)
}

fn source_error(source: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Source, format!("source '{}' {what}", source.display()))
}

fn kind_of(source: &Path) -> Result<RootKind> {
    // A link that the user names is meant as what it points to; links found inside are another matter.
    let metadata = fs::metadata(source).map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::NotFound if source.is_symlink() => "is a dangling symbolic link",
            std::io::ErrorKind::NotFound => "does not exist",
            _ => "cannot be read",
        };
        source_error(source, what).with_source(error)
    })?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Ok(RootKind::Directory);
    }
    if kind.is_file() {
        return Ok(RootKind::File);
    }
    let what = if kind.is_fifo() {
        "is a named pipe"
    } else {
        "is neither a file nor a directory"
    };
    Err(source_error(source, what).with_hint("to upload a stream, pipe it into: s3haul cp - s3://BUCKET/KEY"))
}

/// Files are opened without following links, so a named link must be resolved first.
fn resolve_link(source: &Path) -> Result<PathBuf> {
    if !source.is_symlink() {
        return Ok(source.to_owned());
    }
    fs::canonicalize(source).map_err(|error| source_error(source, "cannot be resolved").with_source(error))
}

fn own_name(source: &Path) -> Result<key::EncodedName> {
    let name = source.file_name().map(std::ffi::OsStr::to_owned);
    // `.` and `..` have the name of the directory they stand for.
    let name = name.or_else(|| {
        fs::canonicalize(source)
            .ok()?
            .file_name()
            .map(std::ffi::OsStr::to_owned)
    });
    let Some(name) = name else {
        return Err(
            source_error(source, "has no name of its own that could become part of a key")
                .with_hint("name it as the only source, so that its contents go into the target"),
        );
    };
    Ok(key::encode(name.as_bytes()))
}
