//! Small objects as one tar archive, the way MinIO takes it apart, and the proof by listing that it did.
//!
//! MinIO calls it Snowball auto-extract: a PUT with `X-Amz-Meta-Snowball-Auto-Extract` becomes one object for each
//! entry. What an object carries beside its bytes stands in PAX records named `minio.metadata.<header>`. Called by
//! `batch.rs` and `batch_probe.rs`.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};

use crate::config::ChecksumAlgorithm;
use crate::plan::common_directory;
use crate::store::{
    Body, ListRequest, ListedObject, ObjectProperties, ObjectStore, Payload, PutObject, StoreResult, hex,
};

/// Bytes that an entry takes beside its content: its header, its PAX records with theirs, padding.
pub(super) const ENTRY_OVERHEAD: u64 = 2_560;
/// Pages of a listing that are read to find a batch. Where its keys are further apart, each is asked for instead.
const MAX_PAGES: usize = 8;
/// Entries of a listing that may stand between those of a batch before a second page is needed.
const STRANGERS: usize = 64;

/// An object that is in an archive, and what a listing must say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) key: String,
    pub(super) size_bytes: u64,
    /// Of its content.
    md5: [u8; 16],
}

impl Packed {
    fn is(&self, size_bytes: u64, etag: &str) -> bool {
        self.size_bytes == size_bytes && self.etag().eq_ignore_ascii_case(etag)
    }

    /// The ETag that it gets.
    pub(super) fn etag(&self) -> String {
        hex(&self.md5)
    }

    /// Its checksum as records have it.
    pub(super) fn checksum(&self) -> String {
        format!("md5:{}", BASE64.encode(self.md5))
    }
}

/// An archive of objects below one directory, in memory.
pub(super) struct Archive<'a> {
    directory: &'a str,
    tar: tar::Builder<Vec<u8>>,
    /// Becomes the objects' time of storing.
    now: u64,
    packed: Vec<Packed>,
}

impl<'a> Archive<'a> {
    /// An empty one for keys that begin with `directory`, with room for `bytes`.
    pub(super) fn new(directory: &'a str, bytes: u64) -> Self {
        let capacity = usize::try_from(bytes).unwrap_or(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            directory,
            tar: tar::Builder::new(Vec::with_capacity(capacity)),
            now: now.map_or(1, |now| now.as_secs()),
            packed: Vec::new(),
        }
    }

    /// Appends an object. An error leaves the archive as it was or unusable for this object only.
    pub(super) fn add(&mut self, key: &str, content: &[u8], properties: &ObjectProperties) -> io::Result<()> {
        let name = key
            .strip_prefix(self.directory)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let records: Vec<(String, &[u8])> =
            std::iter::once(("content-type".to_owned(), properties.content_type.as_bytes()))
                .chain(
                    properties
                        .all_metadata()
                        .map(|(name, value)| (format!("x-amz-meta-{name}"), value.as_bytes())),
                )
                .map(|(name, value)| (format!("minio.metadata.{name}"), value))
                .collect();
        self.tar
            .append_pax_extensions(records.iter().map(|(name, value)| (name.as_str(), *value)))?;
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(self.now);
        self.tar.append_data(&mut header, name, content)?;
        self.packed.push(Packed {
            key: key.to_owned(),
            size_bytes: content.len() as u64,
            md5: Md5::digest(content).into(),
        });
        Ok(())
    }

    /// The request that stores the objects, and what is to be found afterwards.
    pub(super) fn finish(self, algorithm: ChecksumAlgorithm) -> io::Result<(PutObject, Vec<Packed>)> {
        let Self {
            directory,
            tar,
            packed,
            ..
        } = self;
        let body = Body::from(tar.into_inner()?);
        let mut metadata = vec![
            ("snowball-auto-extract", "true".to_owned()),
            // One that cannot be stored must not keep the others from it.
            ("minio-snowball-ignore-errors", "true".to_owned()),
        ];
        if !directory.is_empty() {
            // Rights may hold below a prefix only, and MinIO asks for them by this.
            metadata.push(("minio-snowball-prefix", directory.to_owned()));
        }
        let request = PutObject {
            key: format!("{directory}.s3haul-batch-{:016x}.tar", fastrand::u64(..)),
            payload: Payload::new(body, algorithm),
            properties: ObjectProperties {
                content_type: "application/x-tar".into(),
                metadata,
                ..ObjectProperties::default()
            },
            if_none_match: false,
        };
        Ok((request, packed))
    }
}

/// The directory that all of `keys` share, as far as a header can carry it.
pub(super) fn directory_of<'a>(keys: impl Iterator<Item = &'a str>) -> &'a str {
    let directory = common_directory(keys);
    let can_be_sent = directory.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if can_be_sent && directory.trim() == directory {
        directory
    } else {
        ""
    }
}

/// For each of `packed`: whether the bucket lists it with this size and this MD5.
pub(super) async fn are_stored(store: &dyn ObjectStore, packed: &[Packed]) -> StoreResult<Vec<bool>> {
    let mut order: Vec<usize> = (0..packed.len()).collect();
    order.sort_unstable_by(|a, b| packed[*a].key.cmp(&packed[*b].key));
    let mut found = vec![false; packed.len()];
    let (Some(first), Some(last)) = (order.first(), order.last()) else {
        return Ok(found);
    };
    let prefix = common_directory(packed.iter().map(|packed| packed.key.as_str()));
    let before_first = without_last_character(&packed[*first].key);
    let first_page = ListRequest {
        prefix,
        recursive: true,
        start_after: (!before_first.is_empty()).then_some(before_first),
        continuation: None,
        max_keys: u16::try_from((packed.len() + STRANGERS).min(1_000)).ok(),
    };
    let (mut continuation, mut left) = (None::<String>, order.as_slice());
    for _ in 0..MAX_PAGES {
        let request = ListRequest {
            continuation: continuation.as_deref(),
            ..first_page
        };
        let page = store.list_objects(&request).await?;
        left = merge(left, packed, &page.objects, &mut found);
        let is_past = page
            .objects
            .last()
            .is_some_and(|object| object.key >= packed[*last].key);
        match page.continuation {
            Some(next) if !is_past && !left.is_empty() => continuation = Some(next),
            _ => return Ok(found),
        }
    }
    for index in left {
        // What cannot be found out goes again, which costs less than being wrong.
        let head = store.head_object(&packed[*index].key).await;
        found[*index] = head.is_ok_and(|head| packed[*index].is(head.size_bytes, &head.etag));
    }
    Ok(found)
}

/// Ticks off those in `order` that `listed` shows; returns those that may still come.
fn merge<'a>(
    mut order: &'a [usize],
    packed: &[Packed],
    listed: &[ListedObject],
    found: &mut [bool],
) -> &'a [usize] {
    for object in listed {
        while let [index, rest @ ..] = order {
            if packed[*index].key > object.key {
                break;
            }
            found[*index] =
                packed[*index].key == object.key && packed[*index].is(object.size_bytes, &object.etag);
            order = rest;
        }
    }
    order
}

/// A text that comes just before `key` in a listing, with at most a few others between.
fn without_last_character(key: &str) -> &str {
    let mut characters = key.chars();
    characters.next_back();
    characters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(key: &str, content: &[u8]) -> Packed {
        Packed {
            key: key.into(),
            size_bytes: content.len() as u64,
            md5: Md5::digest(content).into(),
        }
    }

    fn listed(key: &str, content: &[u8]) -> ListedObject {
        ListedObject {
            key: key.into(),
            size_bytes: content.len() as u64,
            last_modified: None,
            etag: hex(&Md5::digest(content)),
        }
    }

    #[test]
    fn only_what_is_listed_with_its_size_and_md5_counts() {
        let packed = [
            packed("d", b"d"),
            packed("b", b"b"),
            packed("c", b"c"),
            packed("e", b"e"),
        ];
        let order = [1, 2, 0, 3];
        let mut found = [false; 4];
        // b is another content of the same size, c is missing.
        let page = [listed("a", b"x"), listed("b", b"B"), listed("d", b"d")];
        let left = merge(&order, &packed, &page, &mut found);
        assert_eq!((found, left), ([true, false, false, false], &[3][..]));
        assert!(merge(left, &packed, &[listed("f", b"")], &mut found).is_empty());
        assert_eq!(found, [true, false, false, false]);
    }

    #[test]
    fn an_archive_says_what_each_object_carries() {
        let mut archive = Archive::new("x/", 0);
        let properties = ObjectProperties {
            content_type: "text/plain".into(),
            metadata: vec![("mtime", "1.5".to_owned())],
            ..ObjectProperties::default()
        };
        let long = format!("x/{}/\u{e9}", "long".repeat(60));
        archive.add("x/a", b"hello", &properties).expect("adds");
        archive.add(&long, b"", &properties).expect("adds");
        assert!(archive.add("y", b"", &properties).is_err());
        let (request, packed) = archive.finish(ChecksumAlgorithm::Crc32).expect("finishes");
        assert_eq!(packed.len(), 2);
        let prefix = ("minio-snowball-prefix", "x/".to_owned());
        assert!(request.properties.metadata.contains(&prefix));
        let Body::Bytes(bytes) = &request.payload.body else {
            panic!("in memory");
        };
        let mut read = tar::Archive::new(&bytes[..]);
        let mut names = Vec::new();
        for entry in read.entries().expect("entries") {
            let mut entry = entry.expect("entry");
            let records: Vec<(String, String)> = entry
                .pax_extensions()
                .expect("readable")
                .expect("some")
                .map(|record| record.expect("record"))
                .map(|record| {
                    (
                        record.key().expect("text").to_owned(),
                        record.value().expect("text").to_owned(),
                    )
                })
                .collect();
            let wanted = |name: &str, value: &str| records.contains(&(name.to_owned(), value.to_owned()));
            assert!(wanted("minio.metadata.content-type", "text/plain"), "{records:?}");
            assert!(wanted("minio.metadata.x-amz-meta-mtime", "1.5"), "{records:?}");
            names.push(entry.path().expect("path").display().to_string());
        }
        assert_eq!(names, ["a", &long[2..]]);
    }

    #[test]
    fn directories_that_no_header_can_carry_are_left_out() {
        assert_eq!(directory_of(["x/a", "x/b"].into_iter()), "x/");
        assert_eq!(directory_of(["\u{e9}/a", "\u{e9}/b"].into_iter()), "");
        assert_eq!(directory_of([" x/a"].into_iter()), "");
    }
}
