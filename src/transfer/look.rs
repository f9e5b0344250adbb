//! A look at a file before it goes up: is what is stored what it is? Nothing is sent for it but a HEAD, if that; and the
//! object is read only where somebody wants a proof.

use std::io;

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::local::LocalSteps;
use super::step::{Done, StepDone, StepError};
use super::task::{Content, ObjectSpec};
use crate::identity::{FileIdentity, parse_mtime};
use crate::store::checksum::Hasher;
use crate::store::{
    Checksum, FileRange, GetObject, ObjectHead, SLICE_BYTES, StoreError, StoreErrorKind, hex, read_through,
};

/// How to tell whether a file is what is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// The file is read: is this what is stored?
    Content {
        /// Checksum of the whole object.
        checksum: Checksum,
        /// ETag of the object.
        etag: String,
    },
    /// The object is asked for what it carries.
    Head {
        /// Its file's time of modification decides if it is the same; else its checksum does.
        time_counts: bool,
    },
    /// What is where an object is to be written?
    Place,
    /// The content decides, whatever it takes: the object is read where it carries nothing that tells.
    Proof {
        /// It is read in any case.
        reads: bool,
    },
}

/// What is known of an object without reading it.
enum Digest {
    Checksum(Checksum),
    /// An ETag that looks like an MD5: it proves that the content is the same, but not that it is another, for servers
    /// that encrypt have others.
    Md5(String),
}

impl LocalSteps {
    /// Whether the file of `object` is what is stored: the object as it would be after an upload, or none.
    pub(super) async fn look(&self, object: &ObjectSpec, look: &Look) -> Result<StepDone, StepError> {
        let Content::Path(path) = &object.content else {
            return Ok(StepDone::Different);
        };
        let (file, identity) = self.shared.open(path)?;
        let range = FileRange {
            length: identity.size_bytes,
            file,
            offset: 0,
            identity: Some(identity),
        };
        if let Look::Content { checksum, etag } = look {
            let is_same = sum(&range, checksum).await? == *checksum;
            return Ok(answer(is_same, &identity, Some(checksum), etag));
        }
        let Some(head) = self.head(object, &identity).await? else {
            return Ok(StepDone::Different);
        };
        match look {
            Look::Head { time_counts: true } if has_time_of(&head, &identity) => {
                Ok(answer(true, &identity, head.whole_checksum(), &head.etag))
            }
            Look::Proof { reads } => self.prove(object, &range, &head, *reads).await,
            // Nobody can tell without a checksum.
            _ => match head.whole_checksum() {
                None => Ok(StepDone::Different),
                Some(checksum) => {
                    let is_same = sum(&range, checksum).await? == *checksum;
                    Ok(answer(is_same, &identity, Some(checksum), &head.etag))
                }
            },
        }
    }

    /// The object, if there is one of the size of the file.
    async fn head(
        &self,
        object: &ObjectSpec,
        identity: &FileIdentity,
    ) -> Result<Option<ObjectHead>, StepError> {
        match self.store.head_object(&object.key).await {
            Ok(head) => Ok(Some(head).filter(|head| head.size_bytes == identity.size_bytes)),
            Err(error) if error.kind == StoreErrorKind::NoSuchKey => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn prove(
        &self,
        object: &ObjectSpec,
        range: &FileRange,
        head: &ObjectHead,
        reads: bool,
    ) -> Result<StepDone, StepError> {
        let identity = range.identity.as_ref().expect("a file has a state");
        let told = match known_digest(head).filter(|_| !reads) {
            None => None,
            Some(Digest::Checksum(checksum)) => Some(sum(range, &checksum).await? == checksum),
            Some(Digest::Md5(md5)) => Some(md5_of(range).await? == md5).filter(|is_same| *is_same),
        };
        let is_same = match told {
            Some(is_same) => is_same,
            None => self.reads_as(&object.key, range).await?,
        };
        Ok(answer(is_same, identity, head.whole_checksum(), &head.etag))
    }

    /// Whether the object's bytes are those of `range`, byte by byte.
    async fn reads_as(&self, key: &str, range: &FileRange) -> Result<bool, StepError> {
        let mut side = Side::new(range);
        let (mut is_same, mut trouble) = (true, None);
        let mut sink = |bytes: &[u8]| match side.goes_on_with(bytes) {
            Ok(true) => Ok(()),
            Ok(false) => {
                is_same = false;
                Err(io::Error::other("nothing more is wanted"))
            }
            Err(error) => {
                trouble = Some(StoreError::local(&error));
                Err(error)
            }
        };
        let wanted = GetObject::whole(key);
        let outcome = read_through(self.store.as_ref(), &wanted, range.length, &mut sink).await;
        match (trouble, outcome) {
            (Some(error), _) => Err(error.into()),
            _ if !is_same => Ok(false),
            (None, Ok(_)) => Ok(side.place() == range.length),
            (None, Err(error)) => Err(error.into()),
        }
    }
}

/// The local side of a comparison: how much of the file has been seen to be the same.
struct Side<'a> {
    range: &'a FileRange,
    slice: Vec<u8>,
    /// Bytes of the slice that have been compared.
    used: usize,
    /// Where the next slice begins.
    next: u64,
}

impl<'a> Side<'a> {
    fn new(range: &'a FileRange) -> Self {
        Self {
            range,
            slice: Vec::new(),
            used: 0,
            next: 0,
        }
    }

    /// Bytes that are the same.
    fn place(&self) -> u64 {
        self.next - (self.slice.len() - self.used) as u64
    }

    /// Whether the file goes on with `bytes`.
    fn goes_on_with(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        while !bytes.is_empty() {
            if self.used == self.slice.len() {
                if self.next >= self.range.length {
                    return Ok(false);
                }
                self.range.read_slice(self.next, &mut self.slice)?;
                self.next += self.slice.len() as u64;
                self.used = 0;
            }
            let length = bytes.len().min(self.slice.len() - self.used);
            if self.slice[self.used..self.used + length] != bytes[..length] {
                return Ok(false);
            }
            self.used += length;
            bytes = &bytes[length..];
        }
        Ok(true)
    }
}

fn known_digest(head: &ObjectHead) -> Option<Digest> {
    if let Some(checksum) = head.whole_checksum() {
        return Some(Digest::Checksum(checksum.clone()));
    }
    md5_of_etag(&head.etag).map(Digest::Md5)
}

/// The MD5 in lower case that an ETag is, if it looks like one.
pub(super) fn md5_of_etag(etag: &str) -> Option<String> {
    let is_md5 = etag.len() == 32 && etag.bytes().all(|letter| letter.is_ascii_hexdigit());
    is_md5.then(|| etag.to_ascii_lowercase())
}

/// Whether the object says that its file was last modified when this one was.
fn has_time_of(head: &ObjectHead, identity: &FileIdentity) -> bool {
    let stored = head.metadata.get("mtime").and_then(|text| parse_mtime(text));
    stored == Some(identity.modified_nanos())
}

fn answer(is_same: bool, identity: &FileIdentity, checksum: Option<&Checksum>, etag: &str) -> StepDone {
    if !is_same {
        return StepDone::Different;
    }
    StepDone::Same(Done {
        etag: etag.to_owned(),
        checksum: checksum.map(Checksum::text).unwrap_or_default(),
        size_bytes: identity.size_bytes,
        identity: Some(Box::new(*identity)),
    })
}

/// The checksum of all of `range`, by the algorithm of `like`.
pub(super) async fn sum(range: &FileRange, like: &Checksum) -> Result<Checksum, StepError> {
    let mut hasher = Hasher::new(like.algorithm);
    read(range, |slice| hasher.update(slice)).await?;
    Ok(hasher.finish())
}

pub(super) async fn md5_of(range: &FileRange) -> Result<String, StepError> {
    let mut md5 = Md5::new();
    read(range, |slice| md5.update(slice)).await?;
    Ok(hex(&md5.finalize()))
}

pub(super) async fn sha256_of(range: &FileRange) -> Result<String, StepError> {
    let mut sha256 = Sha256::new();
    read(range, |slice| sha256.update(slice)).await?;
    Ok(hex(&sha256.finalize()))
}

/// Hands all of `range` on in slices. Others on the event loop have their turn meanwhile.
async fn read(range: &FileRange, mut take: impl FnMut(&[u8])) -> Result<(), StepError> {
    /// Slices between two turns of others.
    const SLICES: u64 = 16;
    let (mut position, mut slice) = (0, Vec::new());
    while position < range.length {
        range
            .read_slice(position, &mut slice)
            .map_err(|error| StoreError::local(&error))?;
        take(&slice);
        position += slice.len() as u64;
        if position.is_multiple_of(SLICES * SLICE_BYTES as u64) {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}
