//! Files with several names: hard links are found by device and inode.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use super::hashing::Digest;

/// The first name of a file that has several.
struct FirstName {
    name: String,
    digest: Digest,
    /// Names that have not come yet.
    left: u64,
}

/// First names of files whose other names have not all come yet.
#[derive(Default)]
pub(super) struct Links {
    first_names: HashMap<(u64, u64), FirstName>,
}

impl Links {
    /// The first name of the file that is `name`, too, if it has come with the same content; else this is the first one.
    pub(super) fn first_name(&mut self, name: &str, digest: Digest, metadata: &Metadata) -> Option<String> {
        if metadata.nlink() < 2 {
            return None;
        }
        let node = (metadata.dev(), metadata.ino());
        if let Some(first) = self.first_names.get_mut(&node)
            && first.digest == digest
        {
            let first_name = first.name.clone();
            first.left -= 1;
            if first.left == 0 {
                self.first_names.remove(&node);
            }
            return Some(first_name);
        }
        let first = FirstName {
            name: name.to_owned(),
            digest,
            left: metadata.nlink() - 1,
        };
        self.first_names.insert(node, first);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_of_one_file_with_one_content_belong_together() {
        let directory = tempfile::tempdir().expect("a directory");
        let [a, b, c] = ["a", "b", "c"].map(|name| directory.path().join(name));
        fs::write(&a, "x").expect("written");
        let mut links = Links::default();
        let of = |path| fs::metadata(path).expect("there");
        assert_eq!(links.first_name("a", [1; 32], &of(&a)), None, "it has one name");
        fs::hard_link(&a, &b).expect("linked");
        fs::hard_link(&a, &c).expect("linked");
        assert_eq!(links.first_name("a", [1; 32], &of(&a)), None);
        assert_eq!(links.first_name("b", [1; 32], &of(&b)).as_deref(), Some("a"));
        assert_eq!(
            links.first_name("c", [2; 32], &of(&c)),
            None,
            "it changed meanwhile"
        );
        assert_eq!(links.first_name("d", [2; 32], &of(&c)).as_deref(), Some("c"));
    }
}
