//! Multipart uploads: create, parts, complete, abort.
//!
//! Called by: `service.rs`. Must not know: HTTP connections, or how the index commits.
//! Completing moves no bytes: the object becomes the list of the parts' blobs.

use super::assembly::{Completion, assemble};
use super::checksum::{Algorithm, ChecksumKind, hexadecimal, set_checksum};
use super::ingest::Declaration;
use super::objects::refuse_customer_keys;
use super::records::{Attributes, PartRecord, UploadRecord, now_milliseconds};
use super::store::{Store, WriteCondition, etag};
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ServerSideEncryption, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Request, S3Result, s3_error};

/// Highest part number.
const LAST_PART: u32 = 10_000;

impl Store {
    /// Starts an upload.
    ///
    /// # Errors
    /// `NoSuchBucket`, or `InvalidRequest` for a checksum type the algorithm does not have.
    pub(super) async fn create_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<CreateMultipartUploadOutput> {
        let attributes = Attributes::from_headers(&request.headers)?;
        let input = request.input;
        refuse_customer_keys(input.sse_customer_algorithm.as_deref())?;
        let algorithm = input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str);
        let checksum = chosen_checksum(algorithm, input.checksum_type.as_ref().map(ChecksumType::as_str))?;
        let id = self.blobs.new_identifier();
        let record = UploadRecord {
            initiated: now_milliseconds(),
            attributes,
            checksum,
        };
        let output = CreateMultipartUploadOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            upload_id: Some(id.clone()),
            checksum_algorithm: checksum
                .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: checksum.map(|(_, kind)| ChecksumType::from_static(kind.name())),
            server_side_encryption: record
                .attributes
                .encryption
                .clone()
                .map(ServerSideEncryption::from),
            ..CreateMultipartUploadOutput::default()
        };
        self.index
            .write(move |tables| {
                tables.require_bucket(&input.bucket)?;
                tables.insert_upload(&input.bucket, &input.key, &id, &record)
            })
            .await?;
        Ok(output)
    }

    /// Stores a part; one of the same number is replaced.
    ///
    /// # Errors
    /// `NoSuchUpload`, `InvalidArgument` for the number, `InvalidRequest` when the checksum is not
    /// of the upload's algorithm, `BadDigest`; nothing is stored then.
    pub(super) async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<UploadPartOutput> {
        let length = request.input.content_length;
        let declaration = Declaration::of(&mut request, length)?;
        let input = request.input;
        let number = u32::try_from(input.part_number)
            .ok()
            .filter(|number| (1..=LAST_PART).contains(number));
        let number = number.ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and {LAST_PART}, inclusive"
            )
        })?;
        let upload = self
            .index
            .view()?
            .upload(&input.bucket, &input.key, &input.upload_id)?;
        if let Some((algorithm, _)) = upload.checksum
            && declaration.algorithm() != Some(algorithm)
        {
            let actual = declaration
                .algorithm()
                .map_or("null", Algorithm::name)
                .to_lowercase();
            let expected = algorithm.name().to_lowercase();
            return Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum \
                    Type: {actual}"
            ));
        }
        let received = declaration.receive(&self.blobs, input.body).await?;
        let record = PartRecord {
            blob: received
                .body
                .reference()
                .unwrap_or_else(|| self.blobs.empty_blob()),
            etag: hexadecimal(&received.md5),
            modified: now_milliseconds(),
            checksum: received.checksum,
        };
        let mut output = UploadPartOutput {
            e_tag: Some(etag(&record.etag)),
            ..UploadPartOutput::default()
        };
        output.server_side_encryption = upload.attributes.encryption.map(ServerSideEncryption::from);
        if let Some((algorithm, value)) = &record.checksum {
            set_checksum!(output, *algorithm, value.clone());
        }
        self.index
            .write(move |tables| {
                // Asked again: the upload may have been completed while the body was coming in.
                tables.upload(&input.bucket, &input.key, &input.upload_id)?;
                tables.insert_part(&input.upload_id, number, &record)?;
                tables.adopt(received.body)
            })
            .await?;
        Ok(output)
    }

    /// Makes the object from its parts.
    ///
    /// # Errors
    /// `NoSuchUpload` (also when it was completed before), `InvalidPart`, `InvalidPartOrder`,
    /// `EntityTooSmall`, `BadDigest`, `InvalidRequest`, or those of the condition; the upload stays then.
    pub(super) async fn complete_upload(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<CompleteMultipartUploadOutput> {
        let condition = WriteCondition {
            if_match: input.if_match.clone(),
            if_none_match: input.if_none_match.clone(),
        };
        let completion = Completion::of(&input)?;
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id);
        let record = self
            .index
            .write(move |tables| {
                tables.require_bucket(&bucket)?;
                let upload = tables.upload(&bucket, &key, &id)?;
                let record = assemble(upload, tables.parts(&id)?, &completion)?;
                condition.check(tables.object(&bucket, &key)?.as_ref())?;
                tables.insert_object(&bucket, &key, &record)?;
                tables.remove_upload(&bucket, &key, &id, &record.blobs)?;
                Ok(record)
            })
            .await?;
        let mut output = CompleteMultipartUploadOutput {
            e_tag: Some(etag(&record.etag)),
            location: Some(format!(
                "/{}/{}",
                input.bucket,
                super::listing::percent_encode(&input.key)
            )),
            bucket: Some(input.bucket),
            key: Some(input.key),
            server_side_encryption: record.attributes.encryption.map(ServerSideEncryption::from),
            ..CompleteMultipartUploadOutput::default()
        };
        if let Some(checksum) = record.checksum {
            output.checksum_type = Some(ChecksumType::from_static(checksum.kind.name()));
            set_checksum!(output, checksum.algorithm, checksum.value);
        }
        Ok(output)
    }

    /// Throws an upload and its parts away.
    ///
    /// # Errors
    /// `NoSuchBucket` or `NoSuchUpload`.
    pub(super) async fn abort_upload(&self, bucket: String, key: String, id: String) -> S3Result<()> {
        self.index
            .write(move |tables| {
                tables.require_bucket(&bucket)?;
                tables.upload(&bucket, &key, &id)?;
                tables.remove_upload(&bucket, &key, &id, &[])
            })
            .await
    }
}

fn chosen_checksum(
    algorithm: Option<&str>,
    kind: Option<&str>,
) -> S3Result<Option<(Algorithm, ChecksumKind)>> {
    let Some(name) = algorithm else {
        return match kind {
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header can only be used with the \
                x-amz-checksum-algorithm header."
            )),
            None => Ok(None),
        };
    };
    let algorithm = Algorithm::from_name(name).ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "Checksum algorithm provided is unsupported. Please try again with \
            any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
        )
    })?;
    let kind = match kind {
        None => algorithm.default_kind(),
        Some(name) => ChecksumKind::from_name(name)
            .ok_or_else(|| s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid."))?,
    };
    if !algorithm.allows(kind) {
        let (kind, algorithm) = (kind.name(), algorithm.name().to_lowercase());
        return Err(s3_error!(
            InvalidRequest,
            "The {kind} checksum type cannot be used with the \
            {algorithm} checksum algorithm."
        ));
    }
    Ok(Some((algorithm, kind)))
}
