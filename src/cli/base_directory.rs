//! The directories that the XDG Base Directory Specification names.

use std::path::PathBuf;

/// The one that `variable` names, else the one `below_home`; none without a home. Paths that are not absolute do not count.
pub(super) fn base_directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}
