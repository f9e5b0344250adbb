//! Where objects are copied before they are deleted: another prefix of the same bucket.

use futures::stream::{self, StreamExt as _};

use super::gone::GoneObject;
use crate::error::{Error, ErrorKind, Result};
use crate::source::S3Url;
use crate::store::{MAX_COPIED, ObjectStore, StoreResult};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shelf {
    /// Prefix of what is mirrored, with its slash.
    from: String,
    /// Prefix of the copies, with its slash.
    into: String,
}

impl Shelf {
    /// Copies that are made at a time.
    pub(super) const IN_FLIGHT: usize = 16;

    /// A shelf at `prefix` for what is deleted below `target`.
    ///
    /// # Errors
    /// One lies inside of the other: the copies would be deleted by the next run, or lie where something is mirrored.
    pub(super) fn new(prefix: &str, target: &S3Url) -> Result<Self> {
        let from = target.prefix();
        let into = format!("{}/", prefix.trim_matches('/'));
        if into == "/" || from.is_empty() || into.starts_with(&from) || from.starts_with(&into) {
            let message = format!("'{into}' is no place for copies of what is deleted below {target}");
            return Err(Error::new(ErrorKind::Usage, message)
                .with_hint("name a prefix beside that of the target, such as --backup-dir deleted/2026-11"));
        }
        Ok(Self { from, into })
    }

    /// Copies all of `lot`, and says of each whether it worked.
    pub(super) async fn take(
        &self,
        lot: Vec<GoneObject>,
        store: &dyn ObjectStore,
    ) -> Vec<(GoneObject, StoreResult<()>)> {
        let copies = lot.into_iter().map(|object| async move {
            let into = self.place_of(&object.key);
            let copied = store.copy_object(&object.key, &into, object.size_bytes).await;
            (object, copied)
        });
        stream::iter(copies).buffered(Self::IN_FLIGHT).collect().await
    }

    /// Where the copy of the object at `key` lies.
    fn place_of(&self, key: &str) -> String {
        let relative = key.strip_prefix(&self.from).unwrap_or(key);
        format!("{}{relative}", self.into)
    }

    /// Keys of those copies of `lot` that are made in parts, and so are open uploads until they are whole.
    pub(super) fn copied_in_parts(&self, lot: &[GoneObject]) -> Vec<String> {
        let large = lot.iter().filter(|object| object.size_bytes > MAX_COPIED);
        large.map(|object| self.place_of(&object.key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_lie_beside_what_is_mirrored() {
        let target: S3Url = "s3://bucket/site/".parse().expect("a target");
        let shelf = Shelf::new("/old/site", &target).expect("beside it");
        assert_eq!(shelf.into, "old/site/");
        for wrong in ["", "/", "site", "site/old", "/site/"] {
            assert!(Shelf::new(wrong, &target).is_err(), "{wrong}");
        }
        let nested: S3Url = "s3://bucket/a/b/".parse().expect("a target");
        assert!(Shelf::new("a", &nested).is_err(), "a/b/b/x would lie at a/b/x");
        let all: S3Url = "s3://bucket/".parse().expect("a target");
        assert!(Shelf::new("old", &all).is_err(), "everything is mirrored");
    }
}
