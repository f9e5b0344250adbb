//! Objects of parts: put together, and given up.

use bytes::Bytes;

use super::basics::random;
use super::{Examiner, Found};
use crate::config::ChecksumAlgorithm;
use crate::store::checksum::of_parts;
use crate::store::{
    CompleteUpload, CompletedPart, CreateUpload, GetObject, ObjectProperties, Payload, StoreError,
    StoreErrorKind, StoreResult, UploadPart,
};

/// The smallest part that S3 takes, unless it is the last.
const PART_BYTES: usize = 5 * 1024 * 1024;

impl Examiner<'_> {
    /// Begins an upload of an object.
    pub(super) async fn begin(
        &mut self,
        name: &str,
        algorithm: ChecksumAlgorithm,
    ) -> StoreResult<(String, String)> {
        let key = self.place.key(name);
        self.place.begins(&key);
        let request = CreateUpload {
            key: key.clone(),
            algorithm,
            properties: ObjectProperties {
                content_type: "application/octet-stream".into(),
                ..ObjectProperties::default()
            },
        };
        let upload_id = self.store.create_multipart_upload(&request).await?;
        self.place.began(&key, &upload_id);
        Ok((key, upload_id))
    }

    /// Gives an upload up.
    pub(super) async fn give_up(&mut self, (key, upload_id): &(String, String)) -> StoreResult<()> {
        self.store.abort_multipart_upload(key, upload_id).await?;
        self.place.ended(key);
        Ok(())
    }

    /// Sends the parts, and returns the request that puts them together.
    pub(super) async fn send_parts(
        &self,
        (key, upload_id): &(String, String),
        parts: &[Bytes],
    ) -> StoreResult<CompleteUpload> {
        let mut completed = Vec::new();
        for (number, content) in (1..).zip(parts) {
            let payload = Payload::new(content.clone().into(), self.algorithm);
            let request = UploadPart {
                key: key.clone(),
                upload_id: upload_id.clone(),
                number,
                payload,
            };
            let stored = self.store.upload_part(&request).await?;
            completed.push(CompletedPart {
                number,
                etag: stored.etag,
                checksum: request.payload.sums()?.checksum.clone(),
            });
        }
        let lengths = parts.iter().map(|part| part.len() as u64);
        let sums: Vec<_> = completed
            .iter()
            .map(|part| &part.checksum)
            .zip(lengths.clone())
            .collect();
        let checksum = of_parts(self.algorithm, &sums).ok_or_else(|| {
            StoreError::new(
                StoreErrorKind::Refused,
                "the checksums of the parts cannot be joined",
            )
        })?;
        Ok(CompleteUpload {
            key: key.clone(),
            upload_id: upload_id.clone(),
            parts: completed,
            checksum,
            size_bytes: lengths.sum(),
            strict_etag: false,
            if_none_match: false,
        })
    }

    /// Two parts, the second of one byte.
    pub(super) async fn parts(&mut self) -> StoreResult<Found> {
        let content = random(PART_BYTES + 1);
        let upload = self.begin("parts", self.algorithm).await?;
        let parts = [content.slice(..PART_BYTES), content.slice(PART_BYTES..)];
        let request = self.send_parts(&upload, &parts).await?;
        let stored = self.store.complete_multipart_upload(&request).await?;
        self.place.ended(&upload.0);
        let composed = request.composed_etag();
        self.proven.composed_etags = !stored.opaque_etag && composed.as_deref() == Some(stored.etag.as_str());
        match self.store.head_object(&request.key).await {
            Err(error) if error.kind == StoreErrorKind::NoSuchKey => {
                return Ok(Found::fails("the object of the parts is not there"));
            }
            Ok(head) if head.size_bytes != request.size_bytes => {
                let (sent, found) = (request.size_bytes, head.size_bytes);
                return Ok(Found::fails(format!("{sent} bytes were sent, {found} are there")));
            }
            _ => {}
        }
        match self.brings(&GetObject::whole(&request.key), &content).await {
            Ok(false) => Ok(Found::fails("the parts are put together to something else")),
            Err(error) if error.kind != StoreErrorKind::AccessDenied => Err(error),
            _ if self.proven.composed_etags => Ok(Found::works("two parts become one object")),
            _ => Ok(Found::works(
                "two parts become one object, whose ETag is the server's own",
            )),
        }
    }

    pub(super) async fn abort(&mut self) -> StoreResult<Found> {
        let upload = self.begin("given-up", self.algorithm).await?;
        self.send_parts(&upload, &[random(100)]).await?;
        let was_listed = self.is_open(&upload).await?;
        self.store.abort_multipart_upload(&upload.0, &upload.1).await?;
        if self.is_open(&upload).await? == Some(true) {
            return Ok(Found::fails("an upload that was aborted is still listed"));
        }
        match self.store.list_parts(&upload.0, &upload.1).await {
            Ok(parts) if !parts.is_empty() => {
                return Ok(Found::fails(
                    "the parts of an upload that was aborted are still there",
                ));
            }
            _ => {}
        }
        self.place.ended(&upload.0);
        Ok(match was_listed {
            Some(true) => Found::works("the parts of an upload that is given up are gone"),
            Some(false) => {
                Found::works("done, but open uploads are not listed: 'cleanup' does not find those of others")
            }
            None => Found::works("done, but open uploads may not be listed: 'cleanup' finds none"),
        })
    }

    /// Whether the server lists this upload; none when it does not want to say.
    async fn is_open(&self, (key, upload_id): &(String, String)) -> StoreResult<Option<bool>> {
        match self.store.list_multipart_uploads(key).await {
            Ok(open) => Ok(Some(open.iter().any(|upload| upload.upload_id == *upload_id))),
            Err(error) if matches!(error.kind, StoreErrorKind::AccessDenied | StoreErrorKind::Refused) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
