//! From keys to names below a directory. Keys are hostile input: whatever they are, no name leads out.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::source::Filter;
use crate::source::key::{decode, encode};

/// The path that `key` has below the directory of `prefix`: what an upload of that path would name so. None of a key that
/// is not below the prefix.
pub(super) fn relative_path(key: &str, prefix: &str) -> Option<PathBuf> {
    let relative = key.strip_prefix(prefix)?;
    let name = decode(relative);
    // What somebody else has named, and no upload of ours would, is its own name.
    let is_ours = encode(&name).text == relative;
    let name = if is_ours {
        name
    } else {
        relative.as_bytes().to_vec()
    };
    Some(PathBuf::from(OsString::from_vec(name)))
}

/// Whether `filter` leaves a file at `path` in, and all directories on the way to it.
pub(super) fn is_wanted(filter: &Filter, path: &Path) -> bool {
    let mut directories = path
        .ancestors()
        .skip(1)
        .filter(|directory| !directory.as_os_str().is_empty());
    directories.all(|directory| filter.enters_directory(directory)) && filter.includes_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    fn name(key: &str) -> Vec<u8> {
        relative_path(key, "p/")
            .expect("below it")
            .as_os_str()
            .as_bytes()
            .to_vec()
    }

    #[test]
    fn names_that_were_encoded_come_back_and_others_stay_as_they_are() {
        for (key, expected) in [
            ("p/a/b", &b"a/b"[..]),
            ("p/gr%FC%DF", b"gr\xFC\xDF"),
            ("p/100%25C3", b"100%C3"),
            ("p/a%2Fb", b"a%2Fb"),
            ("p/%C3%A9", b"%C3%A9"),
            ("p/line%0Abreak", b"line\nbreak"),
            ("p/..%2F..%2Fetc", b"..%2F..%2Fetc"),
        ] {
            assert_eq!(name(key), expected, "{key}");
        }
        assert_eq!(relative_path("q/a", "p/"), None);
    }

    proptest::proptest! {
        #[test]
        fn what_is_uploaded_comes_back_under_its_name(bytes in proptest::collection::vec(1_u8.., 1..40)) {
            let key = format!("p/{}", encode(&bytes).text);
            proptest::prop_assert_eq!(name(&key), bytes);
        }

        #[test]
        fn a_name_is_uploaded_under_the_key_that_it_came_from_or_is_that_key(key in "\\PC{1,20}") {
            let name = name(&format!("p/{key}"));
            proptest::prop_assert!(encode(&name).text == key || name == key.as_bytes());
        }
    }
}
