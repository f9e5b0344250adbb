//! The rules of completing a multipart upload: which parts, in which order, with which checksums.
//!
//! Called by: `multipart.rs`, inside the change that completes the upload.
//! Must not know: the index, files or HTTP; it turns records into a record.

use super::checksum::{self, Algorithm, ChecksumKind, given_checksums, hexadecimal};
use super::records::{ObjectRecord, PartRecord, StoredChecksum, UploadRecord, now_milliseconds};
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::CompleteMultipartUploadInput;
use s3s::{S3Error, S3Result, s3_error};

/// Smallest part that is not the last, in bytes.
const SMALLEST_PART: u64 = 5 << 20;

/// What the client says the object consists of.
pub(super) struct Completion {
    parts: Vec<NamedPart>,
    checksum: Option<(Algorithm, String)>,
    kind: Option<ChecksumKind>,
    length: Option<u64>,
}

struct NamedPart {
    number: u32,
    etag: String,
    checksums: Vec<(Algorithm, String)>,
}

impl Completion {
    /// Reads the list from the request.
    ///
    /// # Errors
    /// `MalformedXML` without parts or fields, `InvalidPartOrder` when numbers do not ascend.
    pub(super) fn of(input: &CompleteMultipartUploadInput) -> S3Result<Self> {
        let malformed = || {
            s3_error!(
                MalformedXML,
                "The XML you provided was not well-formed or did not validate against our published \
            schema"
            )
        };
        let named = input
            .multipart_upload
            .as_ref()
            .and_then(|upload| upload.parts.as_ref())
            .ok_or_else(malformed)?;
        let mut parts: Vec<NamedPart> = Vec::with_capacity(named.len());
        for part in named {
            let number = part
                .part_number
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(malformed)?;
            let etag = part.e_tag.as_ref().ok_or_else(malformed)?.value().to_owned();
            if parts.last().is_some_and(|before| before.number >= number) {
                return Err(s3_error!(
                    InvalidPartOrder,
                    "The list of parts was not in ascending order. Parts must be ordered by part \
                    number."
                ));
            }
            parts.push(NamedPart {
                number,
                etag,
                checksums: given_checksums!(part).collect(),
            });
        }
        if parts.is_empty() {
            return Err(malformed());
        }
        let kind = match &input.checksum_type {
            None => None,
            Some(kind) => Some(ChecksumKind::from_name(kind.as_str()).ok_or_else(|| {
                s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid.")
            })?),
        };
        let checksum = given_checksums!(input).next();
        let length = input.mpu_object_size.and_then(|size| u64::try_from(size).ok());
        Ok(Self {
            parts,
            checksum,
            kind,
            length,
        })
    }
}

/// Makes the object record from the upload and the parts that were stored.
///
/// # Errors
/// `InvalidPart`, `EntityTooSmall`, `BadDigest` or `InvalidRequest`.
pub(super) fn assemble(
    upload: UploadRecord,
    stored: Vec<(u32, PartRecord)>,
    completion: &Completion,
) -> S3Result<ObjectRecord> {
    let parts = chosen_parts(stored, &completion.parts)?;
    let last = parts.len() - 1;
    if parts[..last].iter().any(|part| part.blob.length < SMALLEST_PART) {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size"
        ));
    }
    let length = parts.iter().map(|part| part.blob.length).sum();
    if completion.length.is_some_and(|declared| declared != length) {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not \
            match what was computed."
        ));
    }
    let checksum = object_checksum(&upload, &parts, completion)?;
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    Ok(ObjectRecord {
        length,
        etag: format!("{}-{count}", hexadecimal(&digest_of_digests(&parts)?)),
        modified: now_milliseconds(),
        blobs: parts.into_iter().map(|part| part.blob).collect(),
        attributes: upload.attributes,
        checksum,
        parts: count,
    })
}

/// The stored parts the client names, after comparing entity tags and checksums.
fn chosen_parts(stored: Vec<(u32, PartRecord)>, named: &[NamedPart]) -> S3Result<Vec<PartRecord>> {
    let mut stored = stored.into_iter().peekable();
    let mut chosen = Vec::with_capacity(named.len());
    for name in named {
        // Both lists ascend, so one pass is enough.
        while stored.next_if(|(number, _)| *number < name.number).is_some() {}
        let (_, part) = stored
            .next_if(|(number, _)| *number == name.number)
            .ok_or_else(invalid_part)?;
        let same_checksums = name
            .checksums
            .iter()
            .all(|(algorithm, value)| match &part.checksum {
                Some((own, computed)) => own != algorithm || computed == value,
                None => true,
            });
        if part.etag != name.etag || !same_checksums {
            return Err(invalid_part());
        }
        chosen.push(part);
    }
    Ok(chosen)
}

fn object_checksum(
    upload: &UploadRecord,
    parts: &[PartRecord],
    completion: &Completion,
) -> S3Result<Option<StoredChecksum>> {
    let Some((algorithm, kind)) = upload.checksum else {
        return undeclared_checksum(parts, completion);
    };
    if completion.kind.is_some_and(|given| given != kind) {
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created using the {} checksum mode. The \
            complete request must use the same checksum mode.",
            kind.name()
        ));
    }
    let values = || {
        parts
            .iter()
            .filter_map(|part| part.checksum.as_ref())
            .map(|(_, value)| value.as_str())
    };
    if let Some(position) = completion.parts.iter().position(|part| part.checksums.is_empty())
        && kind == ChecksumKind::Composite
    {
        let number = completion.parts[position].number;
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created using a {} checksum. The complete request must include the \
                checksum for each part. It was missing for part {number} in the request.",
            algorithm.name().to_lowercase()
        ));
    }
    let computed = match kind {
        ChecksumKind::Composite => checksum::composite(algorithm, values()),
        ChecksumKind::FullObject => full_checksum(algorithm, parts),
    };
    let value =
        computed.ok_or_else(|| s3_error!(InvalidRequest, "a part has no {} checksum", algorithm.name()))?;
    if let Some((given_algorithm, given)) = &completion.checksum {
        // A composite may be given with or without the number of parts.
        let matches =
            *given == value || (kind == ChecksumKind::Composite && value.split('-').next() == Some(given));
        if *given_algorithm != algorithm || !matches {
            return Err(bad_digest(*given_algorithm));
        }
    }
    Ok(Some(StoredChecksum {
        algorithm,
        value,
        kind,
    }))
}

/// An upload created without an algorithm: a full-object value given at the end is still compared.
fn undeclared_checksum(parts: &[PartRecord], completion: &Completion) -> S3Result<Option<StoredChecksum>> {
    let Some((algorithm, given)) = &completion.checksum else {
        return Ok(None);
    };
    let value = full_checksum(*algorithm, parts).ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "The upload was created without a checksum algorithm, so a {} \
            checksum cannot be verified",
            algorithm.name()
        )
    })?;
    if value != *given {
        return Err(bad_digest(*algorithm));
    }
    Ok(Some(StoredChecksum {
        algorithm: *algorithm,
        value,
        kind: ChecksumKind::FullObject,
    }))
}

fn full_checksum(algorithm: Algorithm, parts: &[PartRecord]) -> Option<String> {
    if parts
        .iter()
        .any(|part| part.checksum.as_ref().is_none_or(|(own, _)| *own != algorithm))
    {
        return None;
    }
    let values = parts
        .iter()
        .filter_map(|part| Some((part.checksum.as_ref()?.1.as_str(), part.blob.length)));
    checksum::combine(algorithm, values)
}

fn digest_of_digests(parts: &[PartRecord]) -> S3Result<[u8; 16]> {
    let mut hasher = Md5::new();
    for part in parts {
        let digest = (0..16)
            .map(|position| {
                part.etag
                    .get(position * 2..position * 2 + 2)
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            })
            .collect::<Option<Vec<u8>>>()
            .ok_or_else(|| s3_error!(InternalError, "a stored part has a malformed entity tag"))?;
        hasher.update(&digest);
    }
    Ok(hasher.finalize())
}

fn invalid_part() -> S3Error {
    s3_error!(
        InvalidPart,
        "One or more of the specified parts could not be found. The part may not \
        have been uploaded, or the specified entity tag may not match the part's entity tag."
    )
}

fn bad_digest(algorithm: Algorithm) -> S3Error {
    s3_error!(
        BadDigest,
        "The {} you specified did not match the calculated checksum.",
        algorithm.name().to_lowercase()
    )
}
