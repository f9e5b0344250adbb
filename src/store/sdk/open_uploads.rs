//! Multipart uploads that are neither complete nor aborted, and what they have.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::types::EncodingType;

use super::SdkStore;
use super::convert::{listed_name, system_time, unquoted};
use super::server_date::ServerDate;
use crate::store::body::Progress;
use crate::store::{OpenUpload, StoreError, StoreErrorKind, StoreResult, StoredPart};

/// How old something is by the server's clock. A moment that lies ahead has just been.
fn age(now: Option<SystemTime>, then: Option<SystemTime>) -> Option<Duration> {
    Some(now?.duration_since(then?).unwrap_or_default())
}

fn leads_nowhere() -> StoreError {
    StoreError::new(
        StoreErrorKind::NotCredible,
        "a listing of uploads says it goes on but not where",
    )
}

impl SdkStore {
    pub(super) async fn open_uploads(&self, prefix: &str) -> StoreResult<Vec<OpenUpload>> {
        let mut uploads = Vec::new();
        let (mut key_marker, mut id_marker) = (None::<String>, None::<String>);
        loop {
            let date = ServerDate::default();
            let call = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_key_marker(key_marker.clone())
                .set_upload_id_marker(id_marker.clone())
                .encoding_type(EncodingType::Url)
                .customize()
                .interceptor(date.clone());
            let output = self
                .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
                .await?;
            let is_encoded = output.encoding_type() == Some(&EncodingType::Url);
            uploads.extend(output.uploads().iter().map(|upload| OpenUpload {
                key: listed_name(is_encoded, upload.key()),
                upload_id: upload.upload_id().unwrap_or_default().to_owned(),
                age: age(date.get(), system_time(upload.initiated())),
            }));
            if output.is_truncated() != Some(true) {
                return Ok(uploads);
            }
            let next = (
                output
                    .next_key_marker()
                    .map(|key| listed_name(is_encoded, Some(key))),
                output.next_upload_id_marker().map(str::to_owned),
            );
            if next.0.is_none() || next == (key_marker, id_marker) {
                return Err(leads_nowhere());
            }
            (key_marker, id_marker) = next;
        }
    }

    pub(super) async fn parts_of(&self, key: &str, upload_id: &str) -> StoreResult<Vec<StoredPart>> {
        let mut parts: Vec<StoredPart> = Vec::new();
        let mut marker = None::<String>;
        loop {
            let call = self
                .client
                .list_parts()
                .bucket(&self.bucket)
                .key(key)
                .upload_id(upload_id)
                .set_part_number_marker(marker.clone());
            let output = self
                .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
                .await?;
            parts.extend(output.parts().iter().filter_map(|part| {
                Some(StoredPart {
                    number: u32::try_from(part.part_number()?).ok()?,
                    etag: unquoted(part.e_tag()),
                    size_bytes: u64::try_from(part.size()?).ok()?,
                })
            }));
            if output.is_truncated() != Some(true) {
                return Ok(parts);
            }
            let next = output.next_part_number_marker().map(str::to_owned);
            if next.is_none() || next == marker {
                return Err(leads_nowhere());
            }
            marker = next;
        }
    }
}
