//! Operations that read objects: get and head, with ranges, parts and conditions.
//!
//! Called by: `service.rs`. Must not know: HTTP connections, or how objects are written.

use super::checksum::set_checksum;
use super::records::{Attributes, ObjectRecord, timestamp};
use super::store::{Store, custom, etag, matches};
use super::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::dto::{
    ChecksumType, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range,
    ServerSideEncryption, StorageClass, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Response, S3Result, s3_error};
use std::time::{Duration, UNIX_EPOCH};

/// The type S3 reports for an object stored without one.
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// The conditions a read may carry.
struct ReadCondition {
    matching: Option<ETagCondition>,
    not_matching: Option<ETagCondition>,
    modified_since: Option<Timestamp>,
    unmodified_since: Option<Timestamp>,
}

/// The stretch of an object that is asked for.
struct Extent {
    start: u64,
    end: u64,
    partial: bool,
    parts: Option<i32>,
}

macro_rules! condition {
    ($input:expr) => {
        ReadCondition {
            matching: $input.if_match.clone(),
            not_matching: $input.if_none_match.clone(),
            modified_since: $input.if_modified_since.clone(),
            unmodified_since: $input.if_unmodified_since.clone(),
        }
    };
}

/// Fills the fields that `GetObjectOutput` and `HeadObjectOutput` share.
macro_rules! describe {
    ($output:expr, $record:expr, $extent:expr, $with_checksum:expr) => {{
        let (record, extent): (&ObjectRecord, &Extent) = ($record, $extent);
        $output.accept_ranges = Some("bytes".to_owned());
        $output.content_length = Some(signed(extent.end - extent.start));
        $output.content_range = extent.content_range(record.length);
        $output.e_tag = Some(etag(&record.etag));
        $output.last_modified = Some(timestamp(record.modified));
        $output.parts_count = extent.parts;
        $output.storage_class = shown_storage_class(&record.attributes);
        $output.server_side_encryption = record
            .attributes
            .encryption
            .clone()
            .map(ServerSideEncryption::from);
        if let Some(checksum) = &record.checksum
            && $with_checksum
            && !extent.partial
        {
            set_checksum!($output, checksum.algorithm, checksum.value.clone());
            $output.checksum_type = Some(ChecksumType::from_static(checksum.kind.name()));
        }
    }};
}

impl Store {
    /// Reads an object or a range of it.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `InvalidRange`, `InvalidPartNumber`, or a failed condition.
    pub(super) fn get_object(&self, input: &GetObjectInput) -> S3Result<S3Response<GetObjectOutput>> {
        // Pinned before the lookup, so that the body outlives a delete that comes right after it.
        let pin = self.blobs.pin();
        let view = self.index.view()?;
        let record = view.require_object(&input.bucket, &input.key)?;
        condition!(input).check(&record)?;
        let extent = Extent::of(&record, input.range.as_ref(), input.part_number)?;
        let with_checksum = input
            .checksum_mode
            .as_ref()
            .is_some_and(|mode| mode.as_str() == "ENABLED");
        let mut output = GetObjectOutput::default();
        describe!(output, &record, &extent, with_checksum);
        let tags = record.attributes.tags.len();
        output.tag_count = i32::try_from(tags).ok().filter(|count| *count > 0);
        let headers = replayed(&record.attributes)?;
        output.body = Some(stream::open(view, pin, record.blobs, extent.start..extent.end)?);
        let status = if extent.partial {
            StatusCode::PARTIAL_CONTENT
        } else {
            StatusCode::OK
        };
        let mut response = S3Response::with_headers(output, headers);
        response.status = Some(status);
        Ok(response)
    }

    /// Describes an object.
    ///
    /// # Errors
    /// As [`Self::get_object`].
    pub(super) fn head_object(&self, input: &HeadObjectInput) -> S3Result<S3Response<HeadObjectOutput>> {
        let record = self.index.view()?.require_object(&input.bucket, &input.key)?;
        condition!(input).check(&record)?;
        let extent = Extent::of(&record, input.range.as_ref(), input.part_number)?;
        let with_checksum = input
            .checksum_mode
            .as_ref()
            .is_some_and(|mode| mode.as_str() == "ENABLED");
        let mut output = HeadObjectOutput::default();
        describe!(output, &record, &extent, with_checksum);
        let mut response = S3Response::with_headers(output, replayed(&record.attributes)?);
        if extent.partial {
            response.status = Some(StatusCode::PARTIAL_CONTENT);
        }
        Ok(response)
    }
}

impl Extent {
    fn of(record: &ObjectRecord, range: Option<&Range>, part: Option<i32>) -> S3Result<Self> {
        let whole = Self {
            start: 0,
            end: record.length,
            partial: false,
            parts: None,
        };
        match (range, part) {
            (Some(_), Some(_)) => Err(s3_error!(
                InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter"
            )),
            (Some(range), None) => {
                let bytes = range
                    .check(record.length)
                    .map_err(|_| invalid_range(record.length))?;
                Ok(Self {
                    start: bytes.start,
                    end: bytes.end,
                    partial: true,
                    parts: None,
                })
            }
            (None, Some(number)) => Self::of_part(record, number),
            (None, None) => Ok(whole),
        }
    }

    fn of_part(record: &ObjectRecord, number: i32) -> S3Result<Self> {
        let missing = || {
            custom(
                "InvalidPartNumber",
                StatusCode::RANGE_NOT_SATISFIABLE,
                "The requested partnumber is not satisfiable",
            )
        };
        let position = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1))
            .ok_or_else(missing)?;
        if record.parts == 0 {
            let whole = Self {
                start: 0,
                end: record.length,
                partial: true,
                parts: None,
            };
            return if position == 0 { Ok(whole) } else { Err(missing()) };
        }
        let length = record.blobs.get(position).ok_or_else(missing)?.length;
        let start = record.blobs[..position].iter().map(|blob| blob.length).sum();
        Ok(Self {
            start,
            end: start + length,
            partial: true,
            parts: i32::try_from(record.parts).ok(),
        })
    }

    fn content_range(&self, total: u64) -> Option<String> {
        (self.partial && self.end > self.start)
            .then(|| format!("bytes {}-{}/{total}", self.start, self.end - 1))
    }
}

impl ReadCondition {
    fn check(&self, record: &ObjectRecord) -> S3Result<()> {
        // HTTP dates have whole seconds, so the fraction must not count.
        let modified = Timestamp::from(UNIX_EPOCH + Duration::from_secs(record.modified / 1000));
        let failed = || {
            s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            )
        };
        match (&self.matching, &self.unmodified_since) {
            (Some(wanted), _) if !matches(wanted, record) => return Err(failed()),
            (None, Some(limit)) if modified > *limit => return Err(failed()),
            _ => {}
        }
        let unchanged = match (&self.not_matching, &self.modified_since) {
            (Some(unwanted), _) => matches(unwanted, record),
            (None, Some(limit)) => modified <= *limit,
            (None, None) => false,
        };
        if unchanged {
            Err(not_modified(record))
        } else {
            Ok(())
        }
    }
}

fn not_modified(record: &ObjectRecord) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    error.set_status_code(StatusCode::NOT_MODIFIED);
    if let Ok(value) = HeaderValue::try_from(format!("\"{}\"", record.etag)) {
        error.set_headers(HeaderMap::from_iter([(http::header::ETAG, value)]));
    }
    error
}

fn invalid_range(length: u64) -> S3Error {
    let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{length}")) {
        error.set_headers(HeaderMap::from_iter([(http::header::CONTENT_RANGE, value)]));
    }
    error
}

/// S3 leaves the header out for the standard class.
fn shown_storage_class(attributes: &Attributes) -> Option<StorageClass> {
    attributes
        .storage_class
        .clone()
        .filter(|class| class != "STANDARD")
        .map(StorageClass::from)
}

/// The headers of the write, word for word.
fn replayed(attributes: &Attributes) -> S3Result<HeaderMap> {
    let unusable = |name: &str| s3_error!(InternalError, "stored header {name} cannot be sent");
    let mut headers = HeaderMap::new();
    let content_type = attributes.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE);
    let value = HeaderValue::from_bytes(content_type.as_bytes()).map_err(|_| unusable("content-type"))?;
    headers.insert(http::header::CONTENT_TYPE, value);
    for (name, value) in &attributes.headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| unusable(name))?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable(name))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn signed(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
