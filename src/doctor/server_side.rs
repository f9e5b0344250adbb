//! What servers do on their own with what they have: take it apart, copy it, delete it.

use super::basics::random;
use super::place::keys_below;
use super::{Examiner, Found, is_refusal};
use crate::config::TransferSettings;
use crate::store::{GetObject, StoreError, StoreErrorKind, StoreResult};
use crate::transfer::{TransferShared, probe_batches};

impl Examiner<'_> {
    /// Whether small files can go together.
    pub(super) async fn archive(&mut self) -> StoreResult<Found> {
        if !self.can_list {
            return Ok(Found::skipped("what becomes of an archive is found by listing"));
        }
        let settings = TransferSettings {
            checksum: self.algorithm,
            ..self.config.transfer.clone()
        };
        let shared = TransferShared::new(settings, self.connector.clone(), Vec::new());
        let reason = probe_batches(self.store.as_ref(), &shared, self.place.prefix()).await?;
        self.proven.extracts_archives = Some(reason.is_none());
        Ok(match reason {
            None => Found::works("archives are taken apart"),
            Some(reason) => Found::unsupported(reason),
        })
    }

    pub(super) async fn copy(&mut self) -> StoreResult<Found> {
        let content = random(1_000);
        let (from, _) = self.put("copy/from", &content).await?;
        let to = self.place.key("copy/to");
        match self.store.copy_object(&from, &to, content.len() as u64).await {
            Err(error) if is_refusal(&error) => {
                return Ok(Found::unsupported(format!(
                    "{error} ('sync --backup-dir' needs it)"
                )));
            }
            outcome => outcome?,
        }
        if self.brings(&GetObject::whole(&to), &content).await? {
            return Ok(Found::works("within the bucket"));
        }
        Ok(Found::fails("the copy is something else"))
    }

    pub(super) async fn delete(&mut self) -> StoreResult<Found> {
        let (key, _) = self.put("delete/one", &random(10)).await?;
        self.store.delete_object(&key).await?;
        let is_gone = match self.store.head_object(&key).await {
            Err(error) if error.kind == StoreErrorKind::NoSuchKey => true,
            Err(error) if error.kind == StoreErrorKind::AccessDenied => true,
            Err(error) => return Err(error),
            Ok(_) => false,
        };
        let prefix = format!("{}delete/", self.place.prefix());
        let is_unlisted = !self.can_list || keys_below(self.store.as_ref(), &prefix).await?.is_empty();
        Ok(match (is_gone, is_unlisted) {
            (true, true) => Found::works("an object is gone, also from the listing"),
            (true, false) => Found::fails("an object that was deleted is still listed"),
            (false, _) => Found::fails("an object that was deleted is still there"),
        })
    }

    /// As `sync --delete` does it.
    pub(super) async fn delete_many(&mut self) -> StoreResult<Found> {
        let mut keys = Vec::new();
        for name in ["delete/a", "delete/b c+\u{e9}", "delete/c"] {
            keys.push(self.put(name, &random(10)).await?.0);
        }
        let answers = match self.store.delete_objects(&keys).await {
            Err(error) if is_refusal(&error) => {
                return Ok(Found::fails(format!("{error} ('sync --delete' needs it)")));
            }
            outcome => outcome?,
        };
        for answer in answers {
            answer.map_err(|error| match error.code.as_deref() {
                Some("AccessDenied") => StoreError {
                    kind: StoreErrorKind::AccessDenied,
                    ..error
                },
                _ => error,
            })?;
        }
        let prefix = format!("{}delete/", self.place.prefix());
        if !self.can_list || keys_below(self.store.as_ref(), &prefix).await?.is_empty() {
            return Ok(Found::works("by one request"));
        }
        Ok(Found::fails("objects that were deleted are still listed"))
    }
}
