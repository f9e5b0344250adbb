//! Checksums and ETags: what is sent wrong on purpose must be refused.

use std::io::Write as _;

use super::basics::random;
use super::{Examiner, Found, is_refusal};
use crate::config::ChecksumAlgorithm;
use crate::store::{
    Body, Capabilities, FileRange, GetObject, Payload, PutObject, StoreError, StoreErrorKind, StoreResult,
    UploadPart,
};

/// Larger than what is sent in one piece with its head.
const TRAILED_BYTES: usize = 300_000;
/// Bytes of what is stored to see whether its checksum is compared.
const SUMMED_BYTES: usize = 1_000;

/// `body` with the checksum of other bytes.
fn falsified(body: Body, algorithm: ChecksumAlgorithm) -> StoreResult<Payload> {
    let other = Payload::new(random(SUMMED_BYTES).into(), algorithm);
    Ok(Payload::new(body, algorithm).claiming(other.sums()?.clone()))
}

/// Whether the server has refused what it should not take; an error when that is not what it said.
fn refused<T>(outcome: StoreResult<T>) -> StoreResult<bool> {
    match outcome {
        Ok(_) => Ok(false),
        Err(error) if is_refusal(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

impl Examiner<'_> {
    /// Is it taken, is it compared (with objects and with parts), and does it come back?
    pub(super) async fn checksum(&mut self, algorithm: ChecksumAlgorithm) -> StoreResult<Found> {
        let name = algorithm.name();
        let content = random(SUMMED_BYTES);
        let mut request = self.object(&format!("checksum/{name}"), &content);
        request.payload = Payload::new(content.clone().into(), algorithm);
        if let Err(error) = self.store.put_object(&request).await {
            return if is_refusal(&error) {
                Ok(self.refused_algorithm(algorithm, &error))
            } else {
                Err(error)
            };
        }
        let comes_back = match self.store.head_object(&request.key).await {
            Ok(head) => head
                .checksum(algorithm)
                .map(|found| request.payload.sums().map(|sums| sums.checksum == *found))
                .transpose()?,
            Err(error) if error.kind == StoreErrorKind::AccessDenied => None,
            Err(error) => return Err(error),
        };
        if comes_back == Some(false) {
            return Ok(Found::fails("another checksum comes back than was sent"));
        }
        let wrong = PutObject {
            key: self.place.key(&format!("checksum/{name}-wrong")),
            payload: falsified(content.into(), algorithm)?,
            ..request
        };
        if !refused(self.blunt.put_object(&wrong).await)? {
            return Ok(Found::unsupported(
                "what does not match it is stored all the same",
            ));
        }
        if self.size_of(&wrong.key).await?.is_some() {
            return Ok(Found::fails(
                "what does not match it is refused, and stored all the same",
            ));
        }
        if !self.refuses_wrong_part(algorithm).await? {
            return Ok(Found::unsupported(
                "parts that do not match it are taken all the same",
            ));
        }
        self.proven.verified_checksums.push(algorithm);
        Ok(Found::works(match comes_back {
            Some(_) => "compared with objects and parts, and kept",
            None => "compared with objects and parts, but not kept",
        }))
    }

    fn refused_algorithm(&self, algorithm: ChecksumAlgorithm, error: &StoreError) -> Found {
        let why = format!("refused: {error}");
        if algorithm == self.config.transfer.checksum {
            let other = self.algorithm.name();
            return Found::fails(why).with_hint(format!("use --checksum-algorithm {other}"));
        }
        Found::unsupported(why)
    }

    async fn refuses_wrong_part(&mut self, algorithm: ChecksumAlgorithm) -> StoreResult<bool> {
        let name = format!("checksum/{}-part", algorithm.name());
        let upload = self.begin(&name, algorithm).await?;
        let request = UploadPart {
            key: upload.0.clone(),
            upload_id: upload.1.clone(),
            number: 1,
            payload: falsified(random(SUMMED_BYTES).into(), algorithm)?,
        };
        let outcome = refused(self.blunt.upload_part(&request).await);
        self.give_up(&upload).await?;
        outcome
    }

    /// A checksum that comes behind its body: large files are then read once and not twice.
    pub(super) async fn trailer(&mut self) -> StoreResult<Found> {
        if !self.connector.can_send_trailers() {
            return Ok(Found::skipped("not used with these settings"));
        }
        let expecting = self.connector.expecting(Capabilities {
            reads_trailers: true,
            ..Capabilities::default()
        });
        let store = expecting.open(self.bucket, super::CONNECTIONS);
        let content = random(TRAILED_BYTES);
        let body = in_a_file(&content)?;
        let mut request = self.object("trailer/right", &content);
        request.payload = Payload::new(body.clone(), self.algorithm);
        store.put_object(&request).await?;
        if expecting.was_refused_trailers() {
            return Ok(Found::unsupported("refused"));
        }
        if !self.brings(&GetObject::whole(&request.key), &content).await? {
            return Ok(Found::unsupported(
                "it is stored as a part of the content; s3haul sends it before the body",
            ));
        }
        let wrong = PutObject {
            key: self.place.key("trailer/wrong"),
            payload: falsified(body, self.algorithm)?,
            ..request
        };
        if !refused(store.put_object(&wrong).await)? {
            return Ok(Found::unsupported(
                "what does not match it is stored all the same",
            ));
        }
        self.proven.reads_trailers = true;
        Ok(Found::works("compared"))
    }

    pub(super) async fn etag(&mut self) -> StoreResult<Found> {
        let content = random(SUMMED_BYTES);
        let (key, stored) = self.put("etag", &content).await?;
        if stored.opaque_etag {
            return Ok(Found::unsupported(
                "the server encrypts, so ETags say nothing of the content",
            ));
        }
        let payload = Payload::new(content.into(), self.algorithm).with_md5(true);
        let md5 = payload.sums()?.md5.clone().unwrap_or_default();
        let is_md5 = |etag: &str| etag.eq_ignore_ascii_case(&md5);
        if !is_md5(&stored.etag) {
            return Ok(Found::unsupported("it is not the MD5 of the content"));
        }
        match self.store.head_object(&key).await {
            Ok(head) if !is_md5(&head.etag) => {
                return Ok(Found::unsupported("HEAD tells another one than PUT did"));
            }
            Err(error) if error.kind != StoreErrorKind::AccessDenied => return Err(error),
            _ => {}
        }
        self.proven.md5_etags = true;
        Ok(Found::works("the MD5 of what one PUT has stored"))
    }
}

/// `content` as it is read from a disk.
fn in_a_file(content: &[u8]) -> StoreResult<Body> {
    let file = tempfile::tempfile().and_then(|mut file| file.write_all(content).map(|()| file));
    let range = FileRange {
        file: file.map_err(|error| StoreError::local(&error))?,
        offset: 0,
        length: content.len() as u64,
        identity: None,
    };
    Ok(range.into())
}
