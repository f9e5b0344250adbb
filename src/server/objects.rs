//! Operations that write objects: put, delete, copy, tags.
//!
//! Called by: `service.rs`. Must not know: HTTP connections, or how the index commits.

use super::checksum::{ChecksumKind, hexadecimal, set_checksum};
use super::ingest::{Declaration, StagedBody};
use super::records::{Attributes, BlobReference, ObjectRecord, StoredChecksum, now_milliseconds, timestamp};
use super::store::{Store, WriteCondition, etag};
use super::tables::no_such_key;
use super::tagging;
use s3s::dto::{
    ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeletedObject, Error,
    PutObjectInput, PutObjectOutput, ServerSideEncryption, Tag,
};
use s3s::{S3Request, S3Result, s3_error};

/// Most keys of one `DeleteObjects`.
const DELETE_LIMIT: usize = 1000;

impl Store {
    /// Stores an object.
    ///
    /// # Errors
    /// The S3 errors of a refused write; nothing is stored then.
    pub(super) async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<PutObjectOutput> {
        let length = request.input.content_length;
        let declaration = Declaration::of(&mut request, length)?;
        let attributes = Attributes::from_headers(&request.headers)?;
        let input = request.input;
        refuse_customer_keys(input.sse_customer_algorithm.as_deref())?;
        if input.write_offset_bytes.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "appending to an object is not implemented"
            ));
        }
        self.index.view()?.require_bucket(&input.bucket)?;
        let received = declaration.receive(&self.blobs, input.body).await?;
        let record = ObjectRecord {
            length: received.length,
            etag: hexadecimal(&received.md5),
            modified: now_milliseconds(),
            blobs: received.body.reference().into_iter().collect(),
            attributes,
            checksum: received.checksum.map(|(algorithm, value)| StoredChecksum {
                algorithm,
                value,
                kind: ChecksumKind::FullObject,
            }),
            parts: 0,
        };
        let mut output = PutObjectOutput {
            e_tag: Some(etag(&record.etag)),
            ..PutObjectOutput::default()
        };
        output.server_side_encryption = record
            .attributes
            .encryption
            .clone()
            .map(ServerSideEncryption::from);
        if let Some(checksum) = &record.checksum {
            set_checksum!(output, checksum.algorithm, checksum.value.clone());
            output.checksum_type = Some(ChecksumType::from_static(checksum.kind.name()));
        }
        let condition = WriteCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        self.insert(input.bucket, input.key, record, condition, vec![received.body])
            .await?;
        Ok(output)
    }

    /// Checks the condition and inserts an object with its staged bodies, in one change.
    async fn insert(
        &self,
        bucket: String,
        key: String,
        record: ObjectRecord,
        condition: WriteCondition,
        bodies: Vec<StagedBody>,
    ) -> S3Result<()> {
        self.index
            .write(move |tables| {
                tables.require_bucket(&bucket)?;
                condition.check(tables.object(&bucket, &key)?.as_ref())?;
                tables.insert_object(&bucket, &key, &record)?;
                bodies.into_iter().try_for_each(|body| tables.adopt(body))
            })
            .await
    }

    /// Deletes an object; deleting what is not there succeeds.
    ///
    /// # Errors
    /// `NoSuchBucket`, or the errors of the condition.
    pub(super) async fn delete_object(
        &self,
        bucket: String,
        key: String,
        condition: WriteCondition,
    ) -> S3Result<()> {
        self.index
            .write(move |tables| {
                tables.require_bucket(&bucket)?;
                condition.check(tables.object(&bucket, &key)?.as_ref())?;
                tables.remove_object(&bucket, &key)
            })
            .await
    }

    /// Deletes many objects in one change.
    ///
    /// # Errors
    /// `NoSuchBucket`, or `MalformedXML` over 1000 keys; a refused key is in the second list.
    pub(super) async fn delete_objects(
        &self,
        bucket: String,
        keys: Vec<(String, WriteCondition)>,
    ) -> S3Result<(Vec<DeletedObject>, Vec<Error>)> {
        if keys.is_empty() || keys.len() > DELETE_LIMIT {
            return Err(s3_error!(
                MalformedXML,
                "a request deletes 1 to {DELETE_LIMIT} keys"
            ));
        }
        self.index
            .write(move |tables| {
                tables.require_bucket(&bucket)?;
                let (mut deleted, mut refused) = (Vec::new(), Vec::new());
                for (key, condition) in keys {
                    match condition.check(tables.object(&bucket, &key)?.as_ref()) {
                        Ok(()) => {
                            tables.remove_object(&bucket, &key)?;
                            deleted.push(DeletedObject {
                                key: Some(key),
                                ..DeletedObject::default()
                            });
                        }
                        Err(error) => refused.push(Error {
                            key: Some(key),
                            code: Some(error.code().as_str().to_owned()),
                            message: error.message().map(str::to_owned),
                            ..Error::default()
                        }),
                    }
                }
                Ok((deleted, refused))
            })
            .await
    }

    /// Copies an object, sharing body files with the source by hard links.
    ///
    /// # Errors
    /// `NoSuchKey` for the source, `InvalidRequest` for a copy onto itself that changes nothing.
    pub(super) async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<CopyObjectOutput> {
        let given = Attributes::from_headers(&request.headers)?;
        let input = request.input;
        let CopySource::Bucket {
            bucket: source_bucket,
            key: source_key,
            ..
        } = &input.copy_source
        else {
            return Err(s3_error!(
                NotImplemented,
                "only copies from a bucket are implemented"
            ));
        };
        let replace = input
            .metadata_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == "REPLACE");
        if !replace
            && **source_bucket == *input.bucket
            && **source_key == *input.key
            && given.storage_class.is_none()
        {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying \
                to copy an object to itself without changing the object's metadata, storage \
                class, website redirect location or encryption attributes."
            ));
        }
        let _pin = self.blobs.pin();
        let source = self.index.view()?.require_object(source_bucket, source_key)?;
        let condition = WriteCondition {
            if_match: input.copy_source_if_match.clone(),
            if_none_match: input.copy_source_if_none_match.clone(),
        };
        condition.check(Some(&source))?;
        let attributes = copied_attributes(&source.attributes, given, &input, replace);
        let (blobs, bodies) = self.duplicate(&source.blobs)?;
        let record = ObjectRecord {
            modified: now_milliseconds(),
            blobs,
            attributes,
            ..source
        };
        let result = copy_result(&record);
        self.insert(input.bucket, input.key, record, WriteCondition::default(), bodies)
            .await?;
        Ok(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        })
    }

    fn duplicate(&self, blobs: &[BlobReference]) -> S3Result<(Vec<BlobReference>, Vec<StagedBody>)> {
        let view = self.index.view()?;
        let (mut references, mut bodies) = (Vec::with_capacity(blobs.len()), Vec::with_capacity(blobs.len()));
        for blob in blobs {
            let body = if blob.length == 0 {
                StagedBody::Empty
            } else if blob.inline {
                StagedBody::Inline {
                    id: self.blobs.new_identifier(),
                    data: view.inline(&blob.id)?.into(),
                }
            } else {
                let copied = self.blobs.duplicate(&blob.id);
                let (id, staged) =
                    copied.map_err(|error| s3_error!(InternalError, "cannot copy the body: {error}"))?;
                StagedBody::File {
                    id,
                    length: blob.length,
                    staged,
                }
            };
            references.push(body.reference().unwrap_or_else(|| self.blobs.empty_blob()));
            bodies.push(body);
        }
        Ok((references, bodies))
    }

    /// The tags of an object.
    ///
    /// # Errors
    /// `NoSuchBucket` or `NoSuchKey`.
    pub(super) fn tags(&self, bucket: &str, key: &str) -> S3Result<Vec<Tag>> {
        let record = self.index.view()?.require_object(bucket, key)?;
        let tag = |(key, value)| Tag {
            key: Some(key),
            value: Some(value),
        };
        Ok(record.attributes.tags.into_iter().map(tag).collect())
    }

    /// Replaces the tags of an object.
    ///
    /// # Errors
    /// `InvalidTag`, `NoSuchBucket` or `NoSuchKey`.
    pub(super) async fn set_tags(&self, bucket: String, key: String, tags: Vec<Tag>) -> S3Result<()> {
        let tags: Vec<(String, String)> = tags
            .into_iter()
            .map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))
            .collect();
        tagging::check(&tags)?;
        self.index
            .write(move |tables| {
                tables.require_bucket(&bucket)?;
                let mut record = tables.object(&bucket, &key)?.ok_or_else(no_such_key)?;
                record.attributes.tags = tags;
                tables.store_object(&bucket, &key, &record)
            })
            .await
    }
}

fn copy_result(record: &ObjectRecord) -> CopyObjectResult {
    let mut result = CopyObjectResult {
        e_tag: Some(etag(&record.etag)),
        last_modified: Some(timestamp(record.modified)),
        ..CopyObjectResult::default()
    };
    if let Some(checksum) = &record.checksum {
        set_checksum!(result, checksum.algorithm, checksum.value.clone());
        result.checksum_type = Some(ChecksumType::from_static(checksum.kind.name()));
    }
    result
}

fn copied_attributes(
    source: &Attributes,
    given: Attributes,
    input: &CopyObjectInput,
    replace: bool,
) -> Attributes {
    let replace_tags = input
        .tagging_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == "REPLACE");
    let mut attributes = if replace { given.clone() } else { source.clone() };
    attributes.tags = if replace_tags {
        given.tags
    } else {
        source.tags.clone()
    };
    // S3 never copies these two: they come from the request or are the default.
    attributes.storage_class = given.storage_class;
    attributes.encryption = given.encryption;
    attributes
}

/// Customer-provided keys would be ignored silently; better to refuse them.
///
/// # Errors
/// `NotImplemented` when the request names an algorithm.
pub(super) fn refuse_customer_keys(algorithm: Option<&str>) -> S3Result<()> {
    match algorithm {
        Some(_) => Err(s3_error!(
            NotImplemented,
            "encryption with customer keys is not implemented"
        )),
        None => Ok(()),
    }
}
