//! The seam's operations as SDK calls.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, CompletedMultipartUpload, EncodingType};

use super::SdkStore;
use super::convert::{
    algorithm as sdk_algorithm, checksum_of, checksum_type, listed_name, object_head, sdk_part, stored,
    stream, system_time, unquoted, with_checksum, with_properties,
};
use super::signing::ContentHash;
use crate::store::body::{FrameBody, Progress, SLICE_BYTES};
use crate::store::checksum::payload_hash;
use crate::store::{
    Body, ByteSink, CompleteUpload, CreateUpload, GetObject, ListPage, ListRequest, ListedObject, ObjectHead,
    ObjectStore, OpenUpload, PutObject, StoreError, StoreErrorKind, StoreResult, Stored, StoredPart,
    UploadPart,
};

/// The first question of a run is answered quickly or asked again.
const HEAD_BUCKET_LIMIT: Duration = Duration::from_secs(10);

impl SdkStore {
    /// The body for the SDK and its progress. What fits into one slice goes as bytes.
    async fn sdk_body(&self, body: &Body) -> (ByteStream, std::sync::Arc<Progress>) {
        if let Body::Bytes(bytes) = body
            && bytes.len() <= SLICE_BYTES
        {
            if let Some(gate) = &self.shared.gate {
                gate.pass(bytes.len()).await;
            }
            return (ByteStream::from(bytes.clone()), Progress::start(true));
        }
        let progress = Progress::start(false);
        let frames = FrameBody::new(body.clone(), progress.clone(), self.shared.gate.clone());
        (stream(frames), progress)
    }

    fn content_hash(&self, body: &Body) -> StoreResult<ContentHash> {
        let hash = self.signs_payload.then(|| payload_hash(body)).transpose()?;
        Ok(ContentHash {
            hash,
            is_for_us: self.signs_itself,
        })
    }

    /// HEAD answers have no body, so 404 is all that says what is missing.
    fn missing_bucket(&self, error: StoreError) -> StoreError {
        if error.kind != StoreErrorKind::NoSuchKey {
            return error;
        }
        StoreError {
            kind: StoreErrorKind::NoSuchBucket,
            message: "the bucket does not exist".into(),
            ..error
        }
    }

    pub(super) fn content_length(length: u64) -> i64 {
        i64::try_from(length).expect("S3's limits are far below 2^63")
    }
}

#[async_trait]
impl ObjectStore for SdkStore {
    async fn put_object(&self, request: &PutObject) -> StoreResult<Stored> {
        // Checksums go into a header, so a file range is read twice; the second time from the page cache.
        let payload = &request.payload;
        let sums = payload.sums()?;
        let (body, progress) = self.sdk_body(&payload.body).await;
        let length = payload.body.length();
        let call = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(&request.key)
            .body(body)
            .content_length(Self::content_length(length))
            .set_if_none_match(request.if_none_match.then(|| "*".to_owned()));
        let call = with_properties!(call, &request.properties);
        let call = with_checksum!(call, &sums.checksum).customize();
        let call = call.interceptor(self.content_hash(&payload.body)?);
        let output = self
            .send(&progress, length, self.limits.answer_limit, call.send())
            .await?;
        stored(
            output.e_tag(),
            checksum_of!(output, payload.algorithm),
            output.server_side_encryption(),
        )
    }

    async fn create_multipart_upload(&self, request: &CreateUpload) -> StoreResult<String> {
        let call = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(&request.key)
            .checksum_algorithm(sdk_algorithm(request.algorithm))
            .checksum_type(checksum_type(request.algorithm));
        let call = with_properties!(call, &request.properties);
        let output = self
            .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
            .await?;
        match output.upload_id() {
            Some(id) if !id.is_empty() => Ok(id.to_owned()),
            _ => Err(StoreError::new(
                StoreErrorKind::NotCredible,
                "the server began an upload without naming it",
            )),
        }
    }

    async fn upload_part(&self, request: &UploadPart) -> StoreResult<Stored> {
        let payload = &request.payload;
        let sums = payload.sums()?;
        let (body, progress) = self.sdk_body(&payload.body).await;
        let length = payload.body.length();
        let call = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(&request.key)
            .upload_id(&request.upload_id)
            .part_number(i32::try_from(request.number).expect("part numbers end at 10,000"))
            .body(body)
            .content_length(Self::content_length(length));
        let call = with_checksum!(call, &sums.checksum).customize();
        let call = call.interceptor(self.content_hash(&payload.body)?);
        let output = self
            .send(&progress, length, self.limits.answer_limit, call.send())
            .await?;
        stored(
            output.e_tag(),
            checksum_of!(output, payload.algorithm),
            output.server_side_encryption(),
        )
    }

    async fn complete_multipart_upload(&self, request: &CompleteUpload) -> StoreResult<Stored> {
        let parts = request.parts.iter().map(sdk_part).collect();
        let algorithm = request.checksum.algorithm;
        let call = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&request.key)
            .upload_id(&request.upload_id)
            .checksum_type(checksum_type(algorithm))
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_mpu_object_size(
                self.resolved
                    .is_aws
                    .then(|| Self::content_length(request.size_bytes)),
            )
            .set_if_none_match(request.if_none_match.then(|| "*".to_owned()));
        let call = with_checksum!(call, &request.checksum);
        let output = self
            .send(&Progress::start(true), 0, self.limits.complete_limit, call.send())
            .await?;
        stored(
            output.e_tag(),
            checksum_of!(output, algorithm),
            output.server_side_encryption(),
        )
    }

    async fn abort_multipart_upload(&self, key: &str, upload_id: &str) -> StoreResult<()> {
        let call = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload_id);
        match self
            .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.kind == StoreErrorKind::NoSuchUpload => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn head_object(&self, key: &str) -> StoreResult<ObjectHead> {
        let call = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled);
        let output = self
            .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
            .await?;
        Ok(object_head!(output))
    }

    async fn get_object(&self, request: &GetObject<'_>, sink: &mut ByteSink<'_>) -> StoreResult<ObjectHead> {
        self.read(request, sink).await
    }

    async fn copy_object(&self, from: &str, to: &str, size_bytes: u64) -> StoreResult<()> {
        self.copy(from, to, size_bytes).await
    }

    async fn list_objects(&self, request: &ListRequest<'_>) -> StoreResult<ListPage> {
        let call = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(request.prefix)
            .encoding_type(EncodingType::Url)
            .set_delimiter((!request.recursive).then(|| "/".to_owned()))
            .set_start_after(request.start_after.map(str::to_owned))
            .set_continuation_token(request.continuation.map(str::to_owned))
            .set_max_keys(request.max_keys.map(i32::from));
        let output = self
            .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
            .await?;
        let is_encoded = output.encoding_type() == Some(&EncodingType::Url);
        let objects = output.contents().iter().map(|object| ListedObject {
            key: listed_name(is_encoded, object.key()),
            size_bytes: object
                .size()
                .and_then(|size| u64::try_from(size).ok())
                .unwrap_or(0),
            last_modified: system_time(object.last_modified()),
            etag: unquoted(object.e_tag()),
        });
        let continuation = output.next_continuation_token().map(str::to_owned);
        if output.is_truncated() == Some(true) && continuation.is_none() {
            return Err(StoreError::new(
                StoreErrorKind::NotCredible,
                "a listing says it goes on but not where",
            ));
        }
        Ok(ListPage {
            objects: objects.collect(),
            common_prefixes: output
                .common_prefixes()
                .iter()
                .map(|prefix| listed_name(is_encoded, prefix.prefix()))
                .collect(),
            continuation,
        })
    }

    async fn delete_object(&self, key: &str) -> StoreResult<()> {
        let call = self.client.delete_object().bucket(&self.bucket).key(key);
        self.send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
            .await?;
        Ok(())
    }

    async fn delete_objects(&self, keys: &[String]) -> StoreResult<Vec<StoreResult<()>>> {
        self.delete_all(keys).await
    }

    async fn list_multipart_uploads(&self, prefix: &str) -> StoreResult<Vec<OpenUpload>> {
        self.open_uploads(prefix).await
    }

    async fn list_parts(&self, key: &str, upload_id: &str) -> StoreResult<Vec<StoredPart>> {
        self.parts_of(key, upload_id).await
    }

    async fn head_bucket(&self) -> StoreResult<()> {
        let call = self.client.head_bucket().bucket(&self.bucket);
        let answer = self
            .send(
                &Progress::start(true),
                0,
                self.limits.answer_limit.min(HEAD_BUCKET_LIMIT),
                call.send(),
            )
            .await;
        answer.map(|_| ()).map_err(|error| self.missing_bucket(error))
    }

    async fn create_bucket(&self) -> StoreResult<()> {
        use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
        let region = self.resolved.region();
        // us-east-1 is the one region that may not be named.
        let location = (region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region))
                .build()
        });
        let call = self
            .client
            .create_bucket()
            .bucket(&self.bucket)
            .set_create_bucket_configuration(location);
        match self
            .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.code.as_deref() == Some("BucketAlreadyOwnedByYou") => Ok(()),
            Err(error) => Err(error),
        }
    }
}
