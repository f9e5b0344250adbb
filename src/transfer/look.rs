//! A look at a file before it goes up: is what is stored what it is? Nothing is sent for it but a HEAD, if that.

use serde::{Deserialize, Serialize};

use super::local::LocalSteps;
use super::step::{Done, StepDone, StepError};
use super::task::{Content, ObjectSpec};
use crate::identity::{FileIdentity, parse_mtime};
use crate::store::checksum::Hasher;
use crate::store::{Checksum, FileRange, ObjectHead, SLICE_BYTES, StoreError, StoreErrorKind};

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
}

impl LocalSteps {
    /// Whether the file of `object` is what is stored: the object as it would be after an upload, or none.
    pub(super) async fn look(&self, object: &ObjectSpec, look: &Look) -> Result<StepDone, StepError> {
        let Content::Path(path) = &object.content else {
            return Ok(StepDone::Different);
        };
        let (file, identity) = self.shared.open(path)?;
        let (checksum, etag) = match look {
            Look::Content { checksum, etag } => (Some(checksum.clone()), etag.clone()),
            Look::Head { time_counts } => match self.head(object, &identity).await? {
                None => return Ok(StepDone::Different),
                Some(head) if *time_counts && has_time_of(&head, &identity) => {
                    return Ok(same(&identity, head.checksum.as_ref(), head.etag));
                }
                Some(head) => (head.checksum, head.etag),
            },
        };
        // Nobody can tell without a checksum, nor from one of parts whose lengths are not known.
        let Some(checksum) = checksum.filter(|checksum| !checksum.value.contains('-')) else {
            return Ok(StepDone::Different);
        };
        let range = FileRange {
            length: identity.size_bytes,
            file,
            offset: 0,
            identity: Some(identity),
        };
        let is_the_same = sum(&range, &checksum).await? == checksum;
        Ok(match is_the_same {
            true => same(&identity, Some(&checksum), etag),
            false => StepDone::Different,
        })
    }

    /// The object, if there is one of the size of the file.
    async fn head(
        &self,
        object: &ObjectSpec,
        identity: &FileIdentity,
    ) -> Result<Option<ObjectHead>, StepError> {
        match self
            .store
            .head_object(&object.key, self.shared.settings.checksum)
            .await
        {
            Ok(head) => Ok(Some(head).filter(|head| head.size_bytes == identity.size_bytes)),
            Err(error) if error.kind == StoreErrorKind::NoSuchKey => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the object says that its file was last modified when this one was.
fn has_time_of(head: &ObjectHead, identity: &FileIdentity) -> bool {
    let stored = head.metadata.get("mtime").and_then(|text| parse_mtime(text));
    stored == Some(identity.modified_nanos())
}

fn same(identity: &FileIdentity, checksum: Option<&Checksum>, etag: String) -> StepDone {
    StepDone::Same(Done {
        etag,
        checksum: checksum.map(Checksum::text).unwrap_or_default(),
        size_bytes: identity.size_bytes,
        identity: Some(Box::new(*identity)),
    })
}

/// The checksum of all of `range`, by the algorithm of `like`. Others on the event loop have their turn meanwhile.
async fn sum(range: &FileRange, like: &Checksum) -> Result<Checksum, StepError> {
    /// Slices between two turns of others.
    const SLICES: u64 = 16;
    let mut hasher = Hasher::new(like.algorithm);
    let (mut position, mut slice) = (0, Vec::new());
    while position < range.length {
        range
            .read_slice(position, &mut slice)
            .map_err(|error| StoreError::local(&error))?;
        hasher.update(&slice);
        position += slice.len() as u64;
        if position.is_multiple_of(SLICES * SLICE_BYTES as u64) {
            tokio::task::yield_now().await;
        }
    }
    Ok(hasher.finish())
}
