//! Objects read and copied: what leaves the server, or does not have to.

use std::pin::pin;

use aws_sdk_s3::types::{ChecksumMode, CompletedMultipartUpload, CompletedPart as SdkPart};

use super::SdkStore;
use super::convert::object_head;
use crate::store::body::Progress;
use crate::store::{
    ByteSink, GetObject, MAX_COPIED, ObjectHead, ObjectStore as _, StoreError, StoreErrorKind, StoreResult,
};

/// Part of a copy, in bytes: few of them, for nothing goes over the network.
const COPIED_PART: u64 = 1024 * 1024 * 1024;

/// `bytes=first-last`, both included.
fn byte_range(first: u64, length: u64) -> String {
    format!("bytes={first}-{}", first + length - 1)
}

impl SdkStore {
    pub(super) async fn read(
        &self,
        request: &GetObject<'_>,
        sink: &mut ByteSink<'_>,
    ) -> StoreResult<ObjectHead> {
        let call = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(request.key)
            // A checksum of the whole says nothing of a range.
            .set_checksum_mode(request.range.is_none().then_some(ChecksumMode::Enabled))
            .set_range(request.range.map(|(first, length)| byte_range(first, length)))
            .set_if_match(request.if_match.map(|etag| format!("\"{etag}\"")));
        let mut output = self
            .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
            .await?;
        let promised = output.content_length();
        let mut head = object_head!(output);
        let mut came = 0;
        loop {
            let piece = tokio::time::timeout(self.limits.stall_limit, pin!(output.body.try_next())).await;
            match piece {
                Ok(Ok(Some(piece))) => {
                    sink(&piece).map_err(|error| StoreError::local_write(&error))?;
                    came += piece.len() as u64;
                }
                Ok(Ok(None)) => break,
                Ok(Err(error)) => {
                    let message = crate::error::chain(&error);
                    return Err(StoreError::new(StoreErrorKind::Connection, message));
                }
                Err(_) => {
                    let message = "the server sent no byte for too long";
                    return Err(StoreError::new(StoreErrorKind::Stalled, message));
                }
            }
        }
        let wanted = request.range.map(|(_, length)| length);
        if promised.is_some_and(|promised| u64::try_from(promised) != Ok(came))
            || wanted.is_some_and(|wanted| wanted != came)
        {
            let message = format!("the server sent {came} bytes, and not as many as it should have");
            return Err(StoreError::new(StoreErrorKind::Connection, message));
        }
        head.size_bytes = came;
        Ok(head)
    }

    fn copy_source(&self, key: &str) -> String {
        let mut source = String::with_capacity(self.bucket.len() + key.len() + 2);
        source.push_str(&self.bucket);
        source.push('/');
        for byte in key.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    source.push(char::from(byte));
                }
                _ => source.push_str(&format!("%{byte:02X}")),
            }
        }
        source
    }

    pub(super) async fn copy(&self, from: &str, to: &str, size_bytes: u64) -> StoreResult<()> {
        if size_bytes > MAX_COPIED {
            return self.copy_by_parts(from, to, size_bytes).await;
        }
        let call = self
            .client
            .copy_object()
            .bucket(&self.bucket)
            .key(to)
            .copy_source(self.copy_source(from));
        let output = self
            .send(&Progress::start(true), 0, self.limits.complete_limit, call.send())
            .await?;
        match output.copy_object_result().and_then(|copied| copied.e_tag()) {
            Some(_) => Ok(()),
            None => Err(StoreError::new(
                StoreErrorKind::NotCredible,
                "the server said that it copied an object, and does not name the copy",
            )),
        }
    }

    async fn copy_by_parts(&self, from: &str, to: &str, size_bytes: u64) -> StoreResult<()> {
        let call = self.client.head_object().bucket(&self.bucket).key(from);
        let head = self
            .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
            .await?;
        let call = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(to)
            .set_content_type(head.content_type().map(str::to_owned))
            .set_metadata(head.metadata().cloned())
            .set_storage_class(head.storage_class().cloned());
        let begun = self
            .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
            .await?;
        let upload_id = begun.upload_id().unwrap_or_default();
        let copied = self
            .copy_parts((from, to), (upload_id, head.e_tag()), size_bytes)
            .await;
        if copied.is_err() {
            self.abort_multipart_upload(to, upload_id).await?;
        }
        copied
    }

    async fn copy_parts(
        &self,
        (from, to): (&str, &str),
        (upload_id, etag): (&str, Option<&str>),
        size_bytes: u64,
    ) -> StoreResult<()> {
        let mut parts = Vec::new();
        let mut first = 0;
        for number in 1.. {
            let length = COPIED_PART.min(size_bytes - first);
            let call = self
                .client
                .upload_part_copy()
                .bucket(&self.bucket)
                .key(to)
                .upload_id(upload_id)
                .part_number(number)
                .copy_source(self.copy_source(from))
                .copy_source_range(byte_range(first, length))
                .set_copy_source_if_match(etag.map(str::to_owned));
            let output = self
                .send(&Progress::start(true), 0, self.limits.complete_limit, call.send())
                .await?;
            let etag = output.copy_part_result().and_then(|copied| copied.e_tag());
            parts.push(
                SdkPart::builder()
                    .part_number(number)
                    .set_e_tag(etag.map(str::to_owned))
                    .build(),
            );
            first += length;
            if first == size_bytes {
                break;
            }
        }
        let call = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(to)
            .upload_id(upload_id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        self.send(&Progress::start(true), 0, self.limits.complete_limit, call.send())
            .await?;
        Ok(())
    }
}
