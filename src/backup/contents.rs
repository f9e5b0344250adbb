//! Which contents there are: a set that takes 16 bytes for each, for there may be millions.

use super::hashing::Digest;
use super::layout::hash_of_key;
use crate::error::Result;
use crate::pipeline::Stored;

/// Half of a hash, mixed with the size: of a hundred million contents, two have the same with a probability of 10^-23. What
/// is stored with another size than it should have is another content.
type Fingerprint = [u8; 16];

fn fingerprint(digest: &Digest, size_bytes: u64) -> Fingerprint {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    // The first half keeps the order of the hashes, in which listings come.
    for (byte, size) in half[8..].iter_mut().zip(size_bytes.to_le_bytes()) {
        *byte ^= size;
    }
    half
}

/// A set of contents.
pub(super) struct Contents {
    /// By the first byte; each sorted.
    shards: Vec<Vec<Fingerprint>>,
    /// What has another size is another content.
    minds_sizes: bool,
}

impl Contents {
    pub(super) fn new() -> Self {
        Self {
            shards: vec![Vec::new(); 256],
            minds_sizes: true,
        }
    }

    /// One that has contents by their hash alone: what is damaged is still what somebody needs.
    pub(super) fn of_any_size() -> Self {
        Self {
            minds_sizes: false,
            ..Self::new()
        }
    }

    fn fingerprint(&self, digest: &Digest, size_bytes: u64) -> Fingerprint {
        fingerprint(digest, if self.minds_sizes { size_bytes } else { 0 })
    }

    /// Adds one. True when it was not there.
    pub(super) fn insert(&mut self, digest: &Digest, size_bytes: u64) -> bool {
        let wanted = self.fingerprint(digest, size_bytes);
        let shard = &mut self.shards[usize::from(digest[0])];
        let Err(place) = shard.binary_search(&wanted) else {
            return false;
        };
        if shard.len() == shard.capacity() {
            // Doubling would leave half of the memory unused.
            shard.reserve_exact((shard.len() / 4).max(16));
        }
        shard.insert(place, wanted);
        true
    }

    pub(super) fn contains(&self, digest: &Digest, size_bytes: u64) -> bool {
        let shard = &self.shards[usize::from(digest[0])];
        shard.binary_search(&self.fingerprint(digest, size_bytes)).is_ok()
    }
}

/// Which contents the bucket has, or is about to have.
pub(super) struct Inventory {
    prefix: String,
    /// Asked for when it is first wanted.
    listing: Option<Stored>,
    contents: Contents,
}

impl Inventory {
    /// Those below `prefix`, of which `listing` is all that is stored there.
    pub(super) fn new(prefix: &str, listing: Stored) -> Self {
        Self {
            prefix: prefix.to_owned(),
            listing: Some(listing),
            contents: Contents::new(),
        }
    }

    /// Whether the content is stored or on its way.
    ///
    /// # Errors
    /// What is stored cannot be listed.
    pub(super) fn has(&mut self, digest: &Digest, size_bytes: u64) -> Result<bool> {
        for object in self.listing.take().into_iter().flatten() {
            let object = object?;
            if let Some(stored) = hash_of_key(&self.prefix, &object.key) {
                self.contents.insert(&stored, object.size_bytes);
            }
        }
        Ok(self.contents.contains(digest, size_bytes))
    }

    /// It is on its way.
    pub(super) fn begin(&mut self, digest: &Digest, size_bytes: u64) {
        self.contents.insert(digest, size_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_there_and_nothing_else() {
        let mut contents = Contents::new();
        let digest = |number: u32| -> Digest {
            use sha2::Digest as _;
            sha2::Sha256::digest(number.to_le_bytes()).into()
        };
        for number in 0..10_000 {
            assert!(contents.insert(&digest(number), u64::from(number)));
        }
        for number in 0..10_000 {
            assert!(!contents.insert(&digest(number), u64::from(number)));
            assert!(contents.contains(&digest(number), u64::from(number)));
            assert!(
                !contents.contains(&digest(number), u64::from(number) + 1),
                "of another size"
            );
            assert!(!contents.contains(&digest(number + 10_000), u64::from(number)));
        }
    }
}
