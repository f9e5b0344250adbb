//! The steps of an upload, done by this process: files are opened, read and hashed here, and the store is called.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::drive::lost;
use super::file::{self, ReadTrouble};
use super::journal::Earlier;
use super::shared::{SENDING_HOLDS_BYTES, TransferShared};
use super::step::{Begun, Done, FatalCause, PartDone, StepDone, StepError};
use super::task::{Content, ObjectSpec};
use super::verify::Expected;
use crate::config::ChecksumAlgorithm;
use crate::event::{DETAIL, Failure, FailureKind};
use crate::identity::FileIdentity;
use crate::store::checksum::of_parts;
use crate::store::{
    Body, CompleteUpload, CompletedPart, CreateUpload, FileRange, ObjectStore, Payload, PutObject,
    SLICE_BYTES, StoreError, StoreErrorKind, Stored, UploadPart,
};

/// Steps through one store.
pub struct LocalSteps {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) shared: Arc<TransferShared>,
}

impl From<ReadTrouble> for StepError {
    fn from(trouble: ReadTrouble) -> Self {
        match trouble {
            ReadTrouble::Changed => Self::Changed,
            ReadTrouble::OwnOutput => Self::OwnOutput,
            ReadTrouble::Failed(failure) => Self::Failed(failure),
        }
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        if error.is_fatal() {
            return Self::Fatal(FatalCause {
                kind: error.kind,
                message: error.to_string(),
            });
        }
        match error.kind {
            StoreErrorKind::LocalChange => Self::Changed,
            StoreErrorKind::LocalWrite => Self::Failed(Failure::new(FailureKind::Unwritable, error.message)),
            StoreErrorKind::LocalRead => Self::Failed(Failure::new(FailureKind::Unreadable, error.message)),
            _ => Self::Failed(Failure::new(FailureKind::Upload, error.to_string())),
        }
    }
}

impl LocalSteps {
    /// Steps that call `store`.
    pub fn new(store: Arc<dyn ObjectStore>, shared: Arc<TransferShared>) -> Self {
        Self { store, shared }
    }

    pub(super) async fn put(&self, object: &ObjectSpec, at_once: bool) -> Result<StepDone, StepError> {
        let (body, identity, _held) = self.whole_body(object, at_once).await?;
        self.work_on(&body)?;
        let capabilities = self.shared.connector.capabilities();
        // What is sent only as what it was read as is proven by a checksum that was known before, and is named by its
        // SHA-256: MD5 would be a fifth of all the work.
        let is_proven = object.expected().is_some() && capabilities.verifies_checksums;
        let request = PutObject {
            key: object.key.clone(),
            payload: Payload::new(body, self.shared.settings.checksum)
                .with_md5(capabilities.md5_etags && !is_proven)
                .only(object.expected().cloned()),
            properties: self.shared.properties(object, identity.as_ref()),
            if_none_match: self.shared.settings.if_none_match,
        };
        if !capabilities.honours_conditions {
            self.refuse_existing(&object.key).await?;
        }
        let expected = || {
            Ok(Expected {
                key: &object.key,
                size_bytes: request.payload.body.length(),
                checksum: &request.payload.sums()?.checksum,
                part_lengths: &[],
            })
        };
        let stored = match self.store.put_object(&request).await {
            Ok(stored) => stored,
            Err(error) => self.settle_precondition(error, expected).await?,
        };
        self.done(stored, &expected()?, identity).await
    }

    /// Hashes `body` as often as a benchmark wants it, and forgets what came out.
    fn work_on(&self, body: &Body) -> Result<(), StepError> {
        for _ in 0..self.shared.settings.extra_rounds {
            Payload::new(body.clone(), ChecksumAlgorithm::Sha256).sums()?;
        }
        Ok(())
    }

    /// Content that goes by one PUT, with its share of the budget: what is small in memory, what is not in slices,
    /// unless it is to be read at once.
    async fn whole_body(
        &self,
        object: &ObjectSpec,
        at_once: bool,
    ) -> Result<(Body, Option<FileIdentity>, Option<OwnedSemaphorePermit>), StepError> {
        let path = match &object.content {
            Content::Held(body) => return Ok((body.clone(), None, None)),
            Content::Stored(_) => return Err(lost("an object to send that is stored")),
            Content::Path(path) => path,
        };
        let limit = self.shared.settings.multipart_threshold.bytes();
        if let Some((content, identity)) = object.kept().filter(|(_, identity)| identity.size_bytes <= limit)
        {
            let held = self.shared.hold(identity.size_bytes).await;
            return Ok((Body::Bytes(content), Some(identity), Some(held)));
        }
        let (file, identity) = self.shared.open(path)?;
        object.expect(&identity)?;
        let size_bytes = identity.size_bytes;
        if size_bytes > limit {
            return Err(StepError::TooLarge { size_bytes });
        }
        if at_once || size_bytes <= SLICE_BYTES as u64 {
            let held = self.shared.hold(size_bytes).await;
            let body = Body::Bytes(file::read_whole(&file, &identity)?);
            return Ok((body, Some(identity), Some(held)));
        }
        let held = self.shared.hold(SENDING_HOLDS_BYTES).await;
        let range = FileRange {
            file,
            offset: 0,
            length: size_bytes,
            identity: Some(identity),
        };
        Ok((range.into(), Some(identity), Some(held)))
    }

    /// Looks for an existing object first: on servers that may ignore `If-None-Match`, and before a multipart
    /// upload, which would meet it only after the last byte.
    async fn refuse_existing(&self, key: &str) -> Result<(), StepError> {
        if !self.shared.settings.if_none_match {
            return Ok(());
        }
        match self.store.head_object(key).await {
            Ok(_) => Err(StepError::Exists),
            Err(error) if error.kind == StoreErrorKind::NoSuchKey => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A precondition that failed on a later try may have met our own first try, whose answer was lost. Only then is
    /// asked what is `expected`: a file may have to be read for that.
    async fn settle_precondition<'a>(
        &self,
        error: StoreError,
        expected: impl FnOnce() -> Result<Expected<'a>, StepError>,
    ) -> Result<Stored, StepError> {
        if error.kind != StoreErrorKind::PreconditionFailed {
            return Err(error.into());
        }
        if error.tries > 1 {
            let expected = expected()?;
            if expected.is_stored(self.store.as_ref(), None).await? == Some(true) {
                return self.stored_by_head(&expected).await;
            }
        }
        Err(StepError::Exists)
    }

    async fn stored_by_head(&self, expected: &Expected<'_>) -> Result<Stored, StepError> {
        let head = self.store.head_object(expected.key).await?;
        Ok(Stored {
            checksum: head.checksum(expected.checksum.algorithm).cloned(),
            etag: head.etag,
            opaque_etag: true,
        })
    }

    async fn done(
        &self,
        stored: Stored,
        expected: &Expected<'_>,
        identity: Option<FileIdentity>,
    ) -> Result<StepDone, StepError> {
        expected
            .verify(
                self.store.as_ref(),
                &stored,
                self.shared.verify_mode(!expected.part_lengths.is_empty()),
            )
            .await?;
        Ok(StepDone::Stored(Done {
            etag: stored.etag,
            checksum: expected.checksum.text(),
            size_bytes: expected.size_bytes,
            identity: identity
                .filter(|_| self.shared.settings.keeps_identities)
                .map(Box::new),
        }))
    }

    pub(super) async fn begin(
        &self,
        object: &ObjectSpec,
        earlier: Option<Box<Earlier>>,
    ) -> Result<StepDone, StepError> {
        let identity = match &object.content {
            Content::Path(path) => Some(self.shared.open(path)?.1),
            Content::Held(_) | Content::Stored(_) => None,
        };
        identity.iter().try_for_each(|identity| object.expect(identity))?;
        let earlier = earlier.filter(|earlier| identity == earlier.identity);
        if let Some(earlier) = earlier {
            let sent = self.parts_of(&object.key, &earlier).await?;
            if !sent.is_empty() {
                let upload_id = earlier.upload_id;
                let begun = Arc::new(Begun { upload_id, identity });
                return Ok(StepDone::Resumed(begun, sent));
            }
        }
        self.refuse_existing(&object.key).await?;
        let request = CreateUpload {
            key: object.key.clone(),
            algorithm: self.shared.settings.checksum,
            properties: self.shared.properties(object, identity.as_ref()),
        };
        let upload_id = self.store.create_multipart_upload(&request).await?;
        Ok(StepDone::Begun(Arc::new(Begun { upload_id, identity })))
    }

    /// The parts of an earlier upload that the server still has as it confirmed them.
    async fn parts_of(&self, key: &str, earlier: &Earlier) -> Result<Vec<PartDone>, StepError> {
        let stored = match self.store.list_parts(key, &earlier.upload_id).await {
            Ok(stored) => stored,
            Err(error) if error.kind == StoreErrorKind::NoSuchUpload => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let is_there = |part: &&PartDone| {
            stored.iter().any(|stored| {
                stored.number == part.part.number
                    && stored.size_bytes == part.length
                    && stored.etag.eq_ignore_ascii_case(&part.part.etag)
            })
        };
        Ok(earlier.parts.iter().filter(is_there).cloned().collect())
    }

    pub(super) async fn part(
        &self,
        object: &ObjectSpec,
        begun: &Begun,
        number: u32,
        (offset, length): (u64, u64),
        sent: Option<Box<PartDone>>,
    ) -> Result<StepDone, StepError> {
        let (body, _held) = match &object.content {
            Content::Held(body) => (body.clone(), None),
            Content::Stored(_) => return Err(lost("an object to send that is stored")),
            Content::Path(path) => {
                let held = self.shared.hold(length.min(SENDING_HOLDS_BYTES)).await;
                let (file, identity) = self.shared.open(path)?;
                if begun.identity != Some(identity) {
                    return Err(StepError::Changed);
                }
                let range = FileRange {
                    file,
                    offset,
                    length,
                    identity: Some(identity),
                };
                (range.into(), Some(held))
            }
        };
        self.work_on(&body)?;
        let request = UploadPart {
            key: object.key.clone(),
            upload_id: begun.upload_id.clone(),
            number,
            // The ETags of all parts are compared when the object is put together.
            payload: Payload::new(body, self.shared.settings.checksum),
        };
        if let Some(sent) = sent
            && request.payload.sums()?.checksum == sent.part.checksum
        {
            return Ok(StepDone::Part(*sent));
        }
        let stored = self.store.upload_part(&request).await.map_err(lost_upload)?;
        let part = CompletedPart {
            number,
            etag: stored.etag,
            checksum: request.payload.sums()?.checksum.clone(),
        };
        Ok(StepDone::Part(PartDone { part, length }))
    }

    pub(super) async fn finish(
        &self,
        object: &ObjectSpec,
        begun: &Begun,
        parts: Vec<PartDone>,
    ) -> Result<StepDone, StepError> {
        if let Content::Path(path) = &object.content
            && begun.identity != Some(self.shared.open(path)?.1)
        {
            return Err(StepError::Changed);
        }
        let lengths: Vec<u64> = parts.iter().map(|done| done.length).collect();
        let sums: Vec<_> = parts
            .iter()
            .map(|done| (&done.part.checksum, done.length))
            .collect();
        let checksum = of_parts(self.shared.settings.checksum, &sums).ok_or_else(|| {
            StepError::Failed(Failure::new(
                FailureKind::WorkerLost,
                "a worker gave a checksum that is none",
            ))
        })?;
        if object.expected().is_some_and(|expected| *expected != checksum) {
            return Err(StepError::Changed);
        }
        let size_bytes = lengths.iter().sum();
        let request = CompleteUpload {
            key: object.key.clone(),
            upload_id: begun.upload_id.clone(),
            parts: parts.into_iter().map(|done| done.part).collect(),
            checksum: checksum.clone(),
            size_bytes,
            strict_etag: self.shared.connector.capabilities().composed_etags,
            if_none_match: self.shared.settings.if_none_match,
        };
        let expected = Expected {
            key: &object.key,
            size_bytes,
            checksum: &checksum,
            part_lengths: &lengths,
        };
        let stored = match self.store.complete_multipart_upload(&request).await {
            Ok(stored) => stored,
            Err(error) if error.is_ambiguous() => self.prove_complete(error, &request, &expected).await?,
            Err(error) if error.kind == StoreErrorKind::InvalidPart => return Err(lost_upload(error)),
            Err(error) => self.settle_precondition(error, || Ok(expected)).await?,
        };
        self.done(stored, &expected, begun.identity).await
    }

    /// Complete may have worked although its answer was lost, garbled or contradicted by a replay.
    async fn prove_complete(
        &self,
        error: StoreError,
        request: &CompleteUpload,
        expected: &Expected<'_>,
    ) -> Result<Stored, StepError> {
        // An object of the same content may be there from an earlier run; what tells is that our upload is gone.
        let open = self.store.list_multipart_uploads(&request.key).await?;
        if open.iter().any(|upload| upload.upload_id == request.upload_id) {
            return Err(lost_upload(error));
        }
        let composed = request.composed_etag();
        if expected
            .is_stored(self.store.as_ref(), composed.as_deref())
            .await?
            == Some(true)
        {
            tracing::info!(target: DETAIL, key = expected.key, %error, "complete seemed to fail, but the object is there");
            return self.stored_by_head(expected).await;
        }
        Err(lost_upload(error))
    }
}

/// An upload that somebody else aborted, or whose parts are not what the server said, starts over; anything
/// else is what it is.
fn lost_upload(error: StoreError) -> StepError {
    if matches!(
        error.kind,
        StoreErrorKind::NoSuchUpload | StoreErrorKind::InvalidPart
    ) {
        return StepError::Restart(Failure::new(FailureKind::Upload, error.to_string()));
    }
    error.into()
}
