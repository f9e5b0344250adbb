//! The steps of an object that becomes a file here: into a temporary file, checked, and given its name.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::journal::Earlier;
use super::landing::Landing;
use super::local::LocalSteps;
use super::look::{md5_of, md5_of_etag, sha256_of, sum};
use super::place::{Occupant, Overwrite, Place, Spot, set_modified};
use super::shared::SENDING_HOLDS_BYTES;
use super::step::{Begun, Done, PartDone, StepDone, StepError};
use super::task::ObjectSpec;
use super::temporary::{Unfinished, allocate, name_of_temporary};
use super::told::Told;
use crate::event::{Failure, FailureKind};
use crate::identity::parse_mtime;
use crate::store::checksum::{Hasher, of_parts};
use crate::store::{
    Checksum, CompletedPart, FileRange, GetObject, ObjectHead, StoreError, StoreErrorKind, read_through,
};

/// A trouble with the file that is written.
fn local(error: &io::Error) -> StepError {
    StoreError::local_write(error).into()
}

fn failed(kind: FailureKind, message: impl Into<String>) -> StepError {
    StepError::Failed(Failure::new(kind, message))
}

/// The object is another one than was listed.
fn changed() -> StepError {
    failed(FailureKind::Changed, "the object was replaced while it was read")
}

/// When the file that the object was made of was modified, in nanoseconds since the Unix epoch; when nobody knows, when
/// the server took it.
fn modified(place: &Place, head: &ObjectHead) -> Option<i128> {
    if let Some(told) = &place.told {
        return told.looks.modified;
    }
    let told = head.metadata.get("mtime").and_then(|text| parse_mtime(text));
    told.or_else(|| {
        let since = head.last_modified?.duration_since(std::time::UNIX_EPOCH).ok()?;
        i128::try_from(since.as_nanos()).ok()
    })
}

fn done(object: &ObjectSpec, head: &ObjectHead) -> Done {
    Done {
        etag: head.etag.clone(),
        checksum: head.whole_checksum().map(Checksum::text).unwrap_or_default(),
        size_bytes: object.size_bytes,
        identity: None,
    }
}

impl LocalSteps {
    /// Whether what is at `place` is the object; an error when it is not and stays.
    pub(super) async fn look_at_place(
        &self,
        object: &ObjectSpec,
        place: &Place,
    ) -> Result<StepDone, StepError> {
        let Some(spot) = place.spot(false, &object.key).map_err(|error| local(&error))? else {
            return Ok(StepDone::Different);
        };
        let (size_bytes, is_at) = match spot.occupant().map_err(|error| local(&error))? {
            Occupant::Nobody => return Ok(StepDone::Different),
            Occupant::File { size_bytes, modified } => (size_bytes, modified),
            Occupant::Link if place.overwrite == Overwrite::Always => return Ok(StepDone::Different),
            Occupant::Link => return Err(failed(FailureKind::Exists, "a symbolic link is there")),
            Occupant::Other => {
                return Err(failed(FailureKind::Exists, "something is there that is no file"));
            }
        };
        let head = self.head_of(object, place).await?;
        if size_bytes == object.size_bytes {
            let is_same = match &place.told {
                Some(told) => self.is_as_told(&spot, place, told).await?,
                None => {
                    modified(place, &head) == Some(is_at) || self.has_content(&spot, place, &head).await?
                }
            };
            if is_same {
                return Ok(StepDone::Same(done(object, &head)));
            }
        }
        match place.overwrite {
            Overwrite::Always => Ok(StepDone::Different),
            Overwrite::Older if modified(place, &head).is_some_and(|modified| is_at < modified) => {
                Ok(StepDone::Different)
            }
            Overwrite::Older | Overwrite::Never => Err(StepError::Exists),
            Overwrite::Refuse => Err(failed(
                FailureKind::Exists,
                "another file is there; --overwrite always, older or never says what to do",
            )),
        }
    }

    /// Whether the file that is there has the content that is told of. It looks as it is to look then, unless whatever is
    /// there stays as it is.
    async fn is_as_told(&self, spot: &Spot, place: &Place, told: &Told) -> Result<bool, StepError> {
        let file = spot.open().map_err(|error| local(&error))?;
        let length = file.metadata().map_err(|error| local(&error))?.len();
        let range = FileRange {
            file: file.try_clone().map_err(|error| local(&error))?,
            offset: 0,
            length,
            identity: None,
        };
        if sha256_of(&range).await? != told.sha256 {
            return Ok(false);
        }
        if place.overwrite != Overwrite::Never {
            told.looks.give(&file).map_err(|error| local(&error))?;
        }
        Ok(true)
    }

    /// What the server says of the object, if it is the one that was listed.
    async fn head_of(&self, object: &ObjectSpec, place: &Place) -> Result<ObjectHead, StepError> {
        let head = self.store.head_object(&object.key).await?;
        if place.is_of(&head.etag) && head.size_bytes == object.size_bytes {
            Ok(head)
        } else {
            Err(changed())
        }
    }

    /// Whether the file that is there has the content of the object, as far as the object says what that is.
    async fn has_content(&self, spot: &Spot, place: &Place, head: &ObjectHead) -> Result<bool, StepError> {
        let file = spot.open().map_err(|error| local(&error))?;
        Ok(self.proof(file, place, head).await? == Some(true))
    }

    /// Whether `file` is what `head` says; none when it says nothing that could be compared.
    async fn proof(&self, file: File, place: &Place, head: &ObjectHead) -> Result<Option<bool>, StepError> {
        let range = FileRange {
            file,
            offset: 0,
            length: head.size_bytes,
            identity: None,
        };
        if let Some(told) = &place.told {
            return Ok(Some(sha256_of(&range).await? == told.sha256));
        }
        if let Some(checksum) = head.whole_checksum() {
            return Ok(Some(sum(&range, checksum).await? == *checksum));
        }
        let Some(md5) = md5_of_etag(&head.etag) else {
            return Ok(None);
        };
        let is_same = md5_of(&range).await? == md5;
        // Servers that nobody knows, and those that encrypt, may have ETags that look like an MD5 and are none.
        let proves = is_same || (self.shared.connector.capabilities().md5_etags && !head.opaque_etag);
        Ok(proves.then_some(is_same))
    }

    /// Reads a whole object by one request, as long as its connection holds.
    pub(super) async fn fetch(&self, object: &ObjectSpec, place: &Place) -> Result<StepDone, StepError> {
        if object.size_bytes > self.shared.settings.multipart_threshold.bytes() {
            return Err(StepError::TooLarge {
                size_bytes: object.size_bytes,
            });
        }
        let _held = self.shared.hold(object.size_bytes.min(SENDING_HOLDS_BYTES)).await;
        let spot = spot_of(object, place)?;
        let file = spot.make_temporary().map_err(|error| local(&error))?;
        let unfinished = Unfinished::new(&spot);
        let outcome = self.fetch_into(&spot, file, object, place).await?;
        unfinished.done();
        Ok(outcome)
    }

    async fn fetch_into(
        &self,
        spot: &Spot,
        file: File,
        object: &ObjectSpec,
        place: &Place,
    ) -> Result<StepDone, StepError> {
        let range = (0, object.size_bytes);
        let (found, head) = self.land(&file, object, place, range, true).await?;
        let head = match head {
            Some(head) => head,
            // It came in pieces.
            None => self.head_of(object, place).await?,
        };
        if !place.is_of(&head.etag) {
            return Err(changed());
        }
        let is_proven = head
            .checksum(found.algorithm)
            .filter(|kept| !kept.value.contains('-'));
        let is_proven = is_proven.map(|kept| *kept == found);
        self.name(spot, file, (object, place, &head), is_proven).await
    }

    /// Brings the bytes of `range`, an offset and a length, to their place in `file`. What a whole object says of itself
    /// comes with them.
    async fn land(
        &self,
        file: &File,
        object: &ObjectSpec,
        place: &Place,
        (first, length): (u64, u64),
        is_whole: bool,
    ) -> Result<(Checksum, Option<ObjectHead>), StepError> {
        let mut landing = Landing {
            file,
            first,
            came: 0,
            hasher: Hasher::new(self.shared.settings.checksum),
        };
        let wanted = GetObject {
            key: &object.key,
            range: (!is_whole).then_some((first, length)),
            if_match: place.etag.as_deref(),
        };
        let mut sink = |bytes: &[u8]| landing.take(bytes, length);
        match read_through(self.store.as_ref(), &wanted, length, &mut sink).await {
            Ok(through) if through.bytes == length => Ok((landing.hasher.finish(), through.head)),
            Ok(_) => Err(changed()),
            Err(error) if error.kind == StoreErrorKind::PreconditionFailed => Err(changed()),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks for what an earlier run brought of a large object, or makes room for all of it.
    pub(super) fn begin_fetch(
        &self,
        object: &ObjectSpec,
        place: &Place,
        earlier: Option<Box<Earlier>>,
    ) -> Result<StepDone, StepError> {
        let spot = spot_of(object, place)?;
        let begun = Arc::new(Begun {
            upload_id: name_of_temporary(place, &object.key),
            identity: None,
        });
        if let Some(earlier) = earlier
            && let Ok(file) = spot.open_temporary()
            && file
                .metadata()
                .is_ok_and(|metadata| metadata.len() == object.size_bytes)
        {
            return Ok(StepDone::Resumed(begun, earlier.parts));
        }
        let file = spot.make_temporary().map_err(|error| local(&error))?;
        allocate(&file, object.size_bytes).map_err(|error| {
            let _ = spot.remove_temporary();
            local(&error)
        })?;
        Ok(StepDone::Begun(begun))
    }

    /// Brings one part of a large object; nothing of one that an earlier run `sent` and that is still what it was.
    pub(super) async fn fetch_part(
        &self,
        (object, place): (&ObjectSpec, &Place),
        number: u32,
        (offset, length): (u64, u64),
        sent: Option<Box<PartDone>>,
    ) -> Result<StepDone, StepError> {
        let _held = self.shared.hold(length.min(SENDING_HOLDS_BYTES)).await;
        let spot = spot_of(object, place)?;
        let file = spot.open_temporary().map_err(|error| local(&error))?;
        if let Some(sent) = sent {
            let range = FileRange {
                file: file.try_clone().map_err(|error| local(&error))?,
                offset,
                length,
                identity: None,
            };
            if sum(&range, &sent.part.checksum).await? == sent.part.checksum {
                return Ok(StepDone::Part(*sent));
            }
        }
        let (checksum, _) = self.land(&file, object, place, (offset, length), false).await?;
        let part = CompletedPart {
            number,
            etag: String::new(),
            checksum,
        };
        Ok(StepDone::Part(PartDone { part, length }))
    }

    /// Checks the whole of a large object, and gives it its name.
    pub(super) async fn finish_fetch(
        &self,
        object: &ObjectSpec,
        place: &Place,
        parts: &[PartDone],
    ) -> Result<StepDone, StepError> {
        let head = self.head_of(object, place).await?;
        let spot = spot_of(object, place)?;
        let file = spot.open_temporary().map_err(|error| local(&error))?;
        let sums: Vec<_> = parts
            .iter()
            .map(|done| (&done.part.checksum, done.length))
            .collect();
        let found = of_parts(self.shared.settings.checksum, &sums).filter(|sum| !sum.value.contains('-'));
        let is_proven = found.and_then(|found| {
            let kept = head
                .whole_checksum()
                .filter(|kept| kept.algorithm == found.algorithm)?;
            Some(*kept == found)
        });
        let outcome = self.name(&spot, file, (object, place, &head), is_proven).await;
        if outcome.is_err() {
            let _ = spot.remove_temporary();
        }
        outcome
    }

    /// The last of a file: proof of its content if there is none yet, its time, its way to the disk, its name.
    async fn name(
        &self,
        spot: &Spot,
        file: File,
        (object, place, head): (&ObjectSpec, &Place, &ObjectHead),
        is_proven: Option<bool>,
    ) -> Result<StepDone, StepError> {
        let is_proven = match is_proven.filter(|_| place.told.is_none()) {
            Some(is_proven) => Some(is_proven),
            None => {
                let again = file.try_clone().map_err(|error| local(&error))?;
                self.proof(again, place, head).await?
            }
        };
        if is_proven == Some(false) {
            return Err(failed(
                FailureKind::Verification,
                "what came is not what the object's checksum says",
            ));
        }
        match (&place.told, modified(place, head)) {
            (Some(told), _) => told.looks.give(&file).map_err(|error| local(&error))?,
            (None, Some(modified)) => set_modified(&file, modified).map_err(|error| local(&error))?,
            (None, None) => {}
        }
        // To wait for a disk on an event loop would hold up all others.
        let synced = tokio::task::spawn_blocking(move || file.sync_all()).await;
        synced
            .map_err(io::Error::other)
            .flatten()
            .map_err(|error| local(&error))?;
        let replaces = matches!(place.overwrite, Overwrite::Always | Overwrite::Older);
        spot.settle(replaces).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                failed(FailureKind::Exists, "a file has appeared there meanwhile")
            }
            _ => local(&error),
        })?;
        Ok(StepDone::Stored(done(object, head)))
    }
}

fn spot_of(object: &ObjectSpec, place: &Place) -> Result<Spot, StepError> {
    let spot = place.spot(true, &object.key).map_err(|error| local(&error))?;
    spot.ok_or_else(|| failed(FailureKind::KeyRefused, "the key names no file"))
}
