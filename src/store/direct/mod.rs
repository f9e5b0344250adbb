//! The engine `direct`: PutObject and UploadPart on our own HTTP/1.1 requests, everything else through the SDK,
//! on the same connections.
//!
//! The SDK spends several times what the network costs on a small request; two operations make up nearly all
//! requests of a run. What they store, and the headers they store it with, is the same with both engines: the
//! contract suite runs over both.

mod answer;
mod request;
mod signer;

use std::sync::Arc;

use async_trait::async_trait;

use self::request::{Draft, Target};
use self::signer::Signer;
use super::attempt::Attempt;
use super::body::{FrameBody, Progress, SLICE_BYTES};
use super::connector::Shared;
use super::http::{Pool, RequestBody};
use super::resolved::Resolved;
use super::sdk::SdkStore;
use super::{
    Body, ByteSink, CompleteUpload, CreateUpload, ListPage, ObjectHead, ObjectStore, OpenUpload, PutObject,
    StoreError, StoreResult, Stored, UploadPart,
};
use crate::config::{ChecksumAlgorithm, RetrySettings};

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

    /// Signs and sends `draft` with `body`, and reads the answer: what a PUT is answered with on success.
    async fn put(&self, draft: Draft<'_>, body: &Body, algorithm: ChecksumAlgorithm) -> StoreResult<Stored> {
        let payload_hash = if self.signs_payload {
            Some(request::payload_hash(body)?)
        } else {
            None
        };
        let identity = match &self.resolved.credentials {
            Some(credentials) => Some(credentials.get().await.map_err(|error| no_credentials(&error))?),
            None => None,
        };
        let (wire_body, progress) = self.wire_body(body).await;
        let attempt = Attempt {
            progress: &progress,
            body_bytes: body.length(),
            answer_limit: self.limits.answer_limit,
            limits: &self.limits,
        };
        let exchange = async {
            let now = self.resolved.now();
            let signing = identity.as_ref().map(|identity| (&self.signer, identity));
            let request = draft.finish(&self.target, wire_body, payload_hash, signing, now)?;
            let response = self.pool.send(&self.target.address, request).await?;
            answer::stored(response, algorithm).await
        };
        attempt.run(&self.resolved, exchange).await
    }
}

fn no_credentials(error: &aws_credential_types::provider::error::CredentialsError) -> StoreError {
    StoreError::new(
        super::StoreErrorKind::NoCredentials,
        format!("no credentials: {}", crate::error::chain(error)),
    )
}

/// The server sends us elsewhere: the SDK knows the ways of redirects.
fn is_redirect(outcome: &StoreResult<Stored>) -> bool {
    matches!(outcome, Err(error) if error.status.is_some_and(|status| (300..400).contains(&status)))
}

#[async_trait]
impl ObjectStore for DirectStore {
    async fn put_object(&self, request: &PutObject) -> StoreResult<Stored> {
        let mut draft = Draft::new(&self.target, &request.key, &request.checksum);
        draft.properties(&request.properties);
        if request.if_none_match {
            draft.header("if-none-match", "*");
        }
        let outcome = self.put(draft, &request.body, request.checksum.algorithm).await;
        if is_redirect(&outcome) {
            return self.sdk.put_object(request).await;
        }
        outcome
    }

    async fn upload_part(&self, request: &UploadPart) -> StoreResult<Stored> {
        let mut draft = Draft::new(&self.target, &request.key, &request.checksum);
        draft.part(request.number, &request.upload_id);
        let outcome = self.put(draft, &request.body, request.checksum.algorithm).await;
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

    async fn head_object(&self, key: &str, algorithm: ChecksumAlgorithm) -> StoreResult<ObjectHead> {
        self.sdk.head_object(key, algorithm).await
    }

    async fn read_object(&self, key: &str, sink: &mut ByteSink<'_>) -> StoreResult<u64> {
        self.sdk.read_object(key, sink).await
    }

    async fn list_objects(
        &self,
        prefix: &str,
        recursive: bool,
        continuation: Option<&str>,
    ) -> StoreResult<ListPage> {
        self.sdk.list_objects(prefix, recursive, continuation).await
    }

    async fn list_multipart_uploads(&self, prefix: &str) -> StoreResult<Vec<OpenUpload>> {
        self.sdk.list_multipart_uploads(prefix).await
    }

    async fn head_bucket(&self) -> StoreResult<()> {
        self.sdk.head_bucket().await
    }

    async fn create_bucket(&self) -> StoreResult<()> {
        self.sdk.create_bucket().await
    }
}
