//! One batch: read, archived, stored by one request, found again one by one.
//!
//! Called by `local.rs` for `Step::Batch`. What is not found, for whatever reason, is left to single PUTs: a batch
//! that fails costs nothing but time.

use std::sync::Arc;

use super::archive::{Archive, ENTRY_OVERHEAD, Packed, are_stored, directory_of};
use super::file;
use super::local::LocalSteps;
use super::step::{Done, StepDone, StepError};
use super::task::{Content, ObjectSpec};
use crate::identity::FileIdentity;
use crate::store::PutObject;

/// Files that are read before others on this thread get their turn.
const READ_AT_ONCE: usize = 32;

impl LocalSteps {
    /// For each of `objects`: what was stored, or none when it has to go by itself.
    pub(super) async fn batch(&self, objects: &[Arc<ObjectSpec>]) -> Result<StepDone, StepError> {
        let mut outcomes = vec![None; objects.len()];
        if !self.shared.batches_work() {
            return Ok(StepDone::Batch(outcomes));
        }
        let bytes: u64 = objects
            .iter()
            .map(|object| object.size_bytes + ENTRY_OVERHEAD)
            .sum();
        let held = self.shared.hold(bytes).await;
        let Some((request, packed, places)) = self.pack(objects, bytes).await else {
            return Ok(StepDone::Batch(outcomes));
        };
        let carrier = request.key.clone();
        let stored = self.store.put_object(&request).await;
        drop((request, held));
        if let Err(error) = stored {
            if error.is_fatal() {
                return Err(error.into());
            }
            self.shared.give_up_batches(&error.to_string());
            return Ok(StepDone::Batch(outcomes));
        }
        let found = match are_stored(self.store.as_ref(), &packed).await {
            Ok(found) => found,
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => {
                self.shared.give_up_batches(&error.to_string());
                return Ok(StepDone::Batch(outcomes));
            }
        };
        if !found.contains(&true) {
            self.shared
                .give_up_batches("an archive was taken, and none of its files is listed");
            // It may have been stored as what it is.
            let _ = self.store.delete_object(&carrier).await;
        }
        for ((packed, (place, identity)), _) in packed
            .into_iter()
            .zip(places)
            .zip(found)
            .filter(|(_, found)| *found)
        {
            outcomes[place] = Some(Done {
                etag: packed.etag(),
                checksum: packed.checksum(),
                size_bytes: packed.size_bytes,
                identity: Some(Box::new(identity)),
            });
        }
        Ok(StepDone::Batch(outcomes))
    }

    /// The archive of those that can be read, where each of them stands in `objects`, and in which state it was read.
    async fn pack(
        &self,
        objects: &[Arc<ObjectSpec>],
        bytes: u64,
    ) -> Option<(PutObject, Vec<Packed>, Vec<(usize, FileIdentity)>)> {
        let directory = directory_of(objects.iter().map(|object| object.key.as_str()));
        let mut archive = Archive::new(directory, bytes);
        let mut places = Vec::with_capacity(objects.len());
        for (place, object) in objects.iter().enumerate() {
            if place % READ_AT_ONCE == READ_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            if let Some(identity) = self.add(&mut archive, object) {
                places.push((place, identity));
            }
        }
        if places.is_empty() {
            return None;
        }
        let (request, packed) = archive.finish(self.shared.settings.checksum).ok()?;
        Some((request, packed, places))
    }

    /// Trouble with a file is not told here: it goes by itself, and has its three tries then.
    fn add(&self, archive: &mut Archive<'_>, object: &ObjectSpec) -> Option<FileIdentity> {
        let Content::Path(path) = &object.content else {
            return None;
        };
        let (file, identity) = self.shared.open(path).ok()?;
        if identity.size_bytes > object.size_bytes {
            // The budget was asked for what was listed.
            return None;
        }
        let content = file::read_whole(&file, &identity).ok()?;
        let properties = self.shared.properties(object, Some(&identity));
        archive.add(&object.key, &content, &properties).ok()?;
        Some(identity)
    }
}
