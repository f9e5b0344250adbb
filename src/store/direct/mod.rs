//! The engine `direct`: PutObject, UploadPart and ListObjectsV2 on our own HTTP/1.1 requests, everything else through the
//! SDK, on the same connections.
//!
//! The SDK spends several times what the network costs on a small request, and half the time of an unchanged mirror on the
//! XML of its listing; three operations make up nearly all of what runs do. What they store and find is the same with both
//! engines: the contract suite runs over both.

mod answer;
mod page;
mod request;
mod trailer;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use bytes::Bytes;
use http::HeaderName;
use http::header::{CONTENT_ENCODING, IF_NONE_MATCH};

use self::request::{Draft, checksum_header};
use self::trailer::UNSIGNED_WITH_TRAILER;
use super::attempt::Attempt;
use super::body::{FrameBody, Progress, SLICE_BYTES};
use super::checksum::payload_hash;
use super::connector::Shared;
use super::http::{Pool, RequestBody};
use super::resolved::Resolved;
use super::sdk::SdkStore;
use super::signer::Signer;
use super::target::Target;
use super::{
    Body, ByteSink, CompleteUpload, CreateUpload, GetObject, ListPage, ListRequest, ObjectHead, ObjectStore,
    OpenUpload, Payload, PutObject, StoreError, StoreErrorKind, StoreResult, Stored, StoredPart, UploadPart,
};
use crate::config::{ChecksumAlgorithm, RetrySettings};
use crate::event::DETAIL;

#[cfg(fuzzing)]
pub(super) use self::page::page_in;
pub(super) use self::trailer::TrailerBody;

const DECODED_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
const TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");

/// One bucket, with the hot operations on requests of our own.
pub(super) struct DirectStore {
    sdk: SdkStore,
    resolved: Arc<Resolved>,
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    limits: RetrySettings,
    target: Target,
    signer: Signer,
    /// The body is part of the signature.
    signs_payload: bool,
}

impl DirectStore {
    /// `None` where the endpoint wants more than plain Signature Version 4: directory buckets, access points
    /// of several regions.
    pub(super) fn new(
        sdk: SdkStore,
        resolved: &Arc<Resolved>,
        shared: &Arc<Shared>,
        limits: RetrySettings,
        bucket: &str,
        (pool, signs_payload): (&Arc<Pool>, bool),
    ) -> Option<Self> {
        let target = Target::of(&resolved.endpoint_of(bucket)?)?;
        Some(Self {
            sdk,
            resolved: resolved.clone(),
            shared: shared.clone(),
            pool: pool.clone(),
            limits,
            signer: Signer::new(&target.region),
            target,
            signs_payload,
        })
    }

    /// The body for the wire and its progress. What fits into one slice goes in one piece with the head.
    async fn wire_body(&self, body: &Body) -> (RequestBody, Arc<Progress>) {
        if let Body::Bytes(bytes) = body
            && bytes.len() <= SLICE_BYTES
        {
            if let Some(gate) = &self.shared.gate {
                gate.pass(bytes.len()).await;
            }
            return (RequestBody::Whole(bytes.clone()), Progress::start(true));
        }
        let progress = Progress::start(false);
        let frames = FrameBody::new(body.clone(), progress.clone(), self.shared.gate.clone());
        (RequestBody::Frames(Box::new(frames)), progress)
    }

    /// Whether a body goes with its checksum behind it: from a file, to a server that is known to look there. What
    /// one that does not would store is not what was meant.
    fn takes_trailer(&self, body: &Body) -> bool {
        let known = self.shared.known().capabilities.reads_trailers;
        matches!(body, Body::File(range) if range.length > 0)
            && known
            && !self.signs_payload
            && self.resolved.credentials.is_some()
            && !self.shared.refuses_trailers.load(Ordering::Relaxed)
    }

    /// Signs and sends `draft` with `payload` and its checksum, and reads the answer: what a PUT is answered with on
    /// success.
    async fn put(&self, mut draft: Draft, payload: &Payload) -> StoreResult<Stored> {
        let mut against_trailers = false;
        if self.takes_trailer(&payload.body) {
            // Boxed: small objects, which are many, do not carry its size with them.
            match Box::pin(self.with_trailer(draft.clone(), payload)).await {
                Err(error) if is_against_trailers(&error) => {
                    tracing::info!(target: DETAIL, %error, "refused with the checksum behind the body, now before it");
                    against_trailers = true;
                }
                outcome => return outcome,
            }
        }
        // That of a file is read for it first.
        draft.checksum(&payload.sums()?.checksum)?;
        let body = &payload.body;
        let payload_hash = self.signs_payload.then(|| payload_hash(body)).transpose()?;
        let wire = self.wire_body(body).await;
        let outcome = self
            .exchange(draft, wire, body.length(), payload_hash, payload.algorithm)
            .await;
        if against_trailers && outcome.is_ok() {
            self.shared.refuses_trailers.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// The checksum goes behind the body, in one pass over the file.
    async fn with_trailer(&self, mut draft: Draft, payload: &Payload) -> StoreResult<Stored> {
        let length = payload.body.length();
        draft.header(CONTENT_ENCODING, "aws-chunked")?;
        draft.header(DECODED_LENGTH, &length.to_string())?;
        draft.header(TRAILER, checksum_header(payload.algorithm).as_str())?;
        let progress = Progress::start(false);
        let content = FrameBody::new(payload.body.clone(), progress.clone(), self.shared.gate.clone());
        let body = TrailerBody::new(content, payload);
        let wire = (RequestBody::Trailer(Box::new(body)), progress);
        let hash = Some(UNSIGNED_WITH_TRAILER.to_owned());
        self.exchange(draft, wire, length, hash, payload.algorithm).await
    }

    /// Who asks; nobody where requests are not signed.
    async fn identity(&self) -> StoreResult<Option<Arc<Credentials>>> {
        match &self.resolved.credentials {
            Some(credentials) => credentials
                .get()
                .await
                .map(Some)
                .map_err(|error| no_credentials(&error)),
            None => Ok(None),
        }
    }

    /// Asks for a page of a listing.
    async fn page(&self, draft: Draft) -> StoreResult<ListPage> {
        let identity = self.identity().await?;
        let progress = Progress::start(true);
        let attempt = Attempt {
            progress: &progress,
            body_bytes: 0,
            answer_limit: self.limits.answer_limit,
            limits: &self.limits,
        };
        let asking = pin!(async {
            let signing = identity.as_ref().map(|identity| (&self.signer, &**identity));
            let hash = payload_hash(&Body::Bytes(Bytes::new()))?;
            let nothing = RequestBody::Whole(Bytes::new());
            let request = draft.finish(nothing, Some(hash), signing, self.resolved.now())?;
            let response = self.pool.send(&self.target.address, request).await?;
            answer::page(response).await
        });
        attempt.run(&self.resolved, asking).await
    }

    async fn exchange(
        &self,
        draft: Draft,
        (wire_body, progress): (RequestBody, Arc<Progress>),
        body_bytes: u64,
        payload_hash: Option<String>,
        algorithm: ChecksumAlgorithm,
    ) -> StoreResult<Stored> {
        let identity = self.identity().await?;
        let attempt = Attempt {
            progress: &progress,
            body_bytes,
            answer_limit: self.limits.answer_limit,
            limits: &self.limits,
        };
        let exchange = pin!(async {
            let now = self.resolved.now();
            let signing = identity.as_ref().map(|identity| (&self.signer, &**identity));
            let request = draft.finish(wire_body, payload_hash, signing, now)?;
            let response = self.pool.send(&self.target.address, request).await?;
            answer::stored(response, algorithm).await
        });
        attempt.run(&self.resolved, exchange).await
    }
}

fn no_credentials(error: &aws_credential_types::provider::error::CredentialsError) -> StoreError {
    StoreError::new(
        StoreErrorKind::NoCredentials,
        format!("no credentials: {}", crate::error::chain(error)),
    )
}

/// It may be the trailer that the server does not know. MinIO before May 2023 takes the word that announces it for the
/// hash of the body.
fn is_against_trailers(error: &StoreError) -> bool {
    error.kind == StoreErrorKind::Refused || error.code.as_deref() == Some("XAmzContentSHA256Mismatch")
}

/// The server sends us elsewhere: the SDK knows the ways of redirects.
fn is_redirect<T>(outcome: &StoreResult<T>) -> bool {
    matches!(outcome, Err(error) if error.status.is_some_and(|status| (300..400).contains(&status)))
}

#[async_trait]
impl ObjectStore for DirectStore {
    async fn put_object(&self, request: &PutObject) -> StoreResult<Stored> {
        let mut draft = Draft::new(&self.target, &request.key);
        draft.properties(&request.properties)?;
        if request.if_none_match {
            draft.header(IF_NONE_MATCH, "*")?;
        }
        let outcome = self.put(draft, &request.payload).await;
        if is_redirect(&outcome) {
            return self.sdk.put_object(request).await;
        }
        outcome
    }

    async fn upload_part(&self, request: &UploadPart) -> StoreResult<Stored> {
        let mut draft = Draft::new(&self.target, &request.key);
        draft.part(request.number, &request.upload_id);
        let outcome = self.put(draft, &request.payload).await;
        if is_redirect(&outcome) {
            return self.sdk.upload_part(request).await;
        }
        outcome
    }

    async fn create_multipart_upload(&self, request: &CreateUpload) -> StoreResult<String> {
        self.sdk.create_multipart_upload(request).await
    }

    async fn complete_multipart_upload(&self, request: &CompleteUpload) -> StoreResult<Stored> {
        self.sdk.complete_multipart_upload(request).await
    }

    async fn abort_multipart_upload(&self, key: &str, upload_id: &str) -> StoreResult<()> {
        self.sdk.abort_multipart_upload(key, upload_id).await
    }

    async fn head_object(&self, key: &str) -> StoreResult<ObjectHead> {
        self.sdk.head_object(key).await
    }

    async fn get_object(&self, request: &GetObject<'_>, sink: &mut ByteSink<'_>) -> StoreResult<ObjectHead> {
        self.sdk.get_object(request, sink).await
    }

    async fn copy_object(&self, from: &str, to: &str, size_bytes: u64) -> StoreResult<()> {
        self.sdk.copy_object(from, to, size_bytes).await
    }

    async fn list_objects(&self, request: &ListRequest<'_>) -> StoreResult<ListPage> {
        let outcome = self.page(Draft::listing(&self.target, request)).await;
        if is_redirect(&outcome) {
            return self.sdk.list_objects(request).await;
        }
        outcome
    }

    async fn delete_object(&self, key: &str) -> StoreResult<()> {
        self.sdk.delete_object(key).await
    }

    async fn delete_objects(&self, keys: &[String]) -> StoreResult<Vec<StoreResult<()>>> {
        self.sdk.delete_objects(keys).await
    }

    async fn list_multipart_uploads(&self, prefix: &str) -> StoreResult<Vec<OpenUpload>> {
        self.sdk.list_multipart_uploads(prefix).await
    }

    async fn list_parts(&self, key: &str, upload_id: &str) -> StoreResult<Vec<StoredPart>> {
        self.sdk.list_parts(key, upload_id).await
    }

    async fn head_bucket(&self) -> StoreResult<()> {
        self.sdk.head_bucket().await
    }

    async fn create_bucket(&self) -> StoreResult<()> {
        self.sdk.create_bucket().await
    }
}
