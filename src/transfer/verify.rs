//! After the server said yes: is the object there, and is it ours? By HEAD, or by reading it back.

use super::step::StepError;
use crate::config::VerifyMode;
use crate::event::{Failure, FailureKind};
use crate::store::checksum::{Hasher, of_parts};
use crate::store::{Checksum, GetObject, ObjectStore, StoreError, StoreErrorKind, Stored, read_through};

/// What should be stored.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) key: &'a str,
    pub(super) size_bytes: u64,
    /// Of the whole object, composite where the algorithm is.
    pub(super) checksum: &'a Checksum,
    /// Lengths of the parts; empty for a single PUT.
    pub(super) part_lengths: &'a [u64],
}

fn differs(what: String) -> StepError {
    StepError::Restart(Failure::new(FailureKind::Verification, what))
}

fn without_count(checksum: &Checksum) -> &str {
    checksum.value.split('-').next().unwrap_or_default()
}

impl Expected<'_> {
    /// Whether HEAD finds exactly this object. `None`: it proves nothing, for the server keeps no checksum.
    pub(super) async fn is_stored(
        &self,
        store: &dyn ObjectStore,
        etag: Option<&str>,
    ) -> Result<Option<bool>, StoreError> {
        let head = match store.head_object(self.key).await {
            Ok(head) => head,
            Err(error) if error.kind == StoreErrorKind::NoSuchKey => return Ok(Some(false)),
            Err(error) => return Err(error),
        };
        if head.size_bytes != self.size_bytes {
            return Ok(Some(false));
        }
        if let Some(kept) = head.checksum(self.checksum.algorithm) {
            return Ok(Some(without_count(kept) == without_count(self.checksum)));
        }
        Ok(etag.map(|etag| head.etag.eq_ignore_ascii_case(etag)))
    }

    /// Checks the object as `mode` asks.
    pub(super) async fn verify(
        &self,
        store: &dyn ObjectStore,
        stored: &Stored,
        mode: VerifyMode,
    ) -> Result<(), StepError> {
        match mode {
            VerifyMode::Auto | VerifyMode::None => Ok(()),
            VerifyMode::Head => self.verify_by_head(store, stored).await,
            VerifyMode::Read => self.verify_by_reading(store).await,
        }
    }

    async fn verify_by_head(&self, store: &dyn ObjectStore, stored: &Stored) -> Result<(), StepError> {
        let head = store.head_object(self.key).await.map_err(|error| {
            differs(format!(
                "the server said yes, but HEAD does not find the object: {error}"
            ))
        })?;
        if head.size_bytes != self.size_bytes {
            return Err(differs(format!(
                "{} bytes were sent, the server has {}",
                self.size_bytes, head.size_bytes
            )));
        }
        if !head.etag.eq_ignore_ascii_case(&stored.etag) {
            return Err(differs(format!(
                "the ETag was {} and is now {}",
                stored.etag, head.etag
            )));
        }
        match head.checksum(self.checksum.algorithm) {
            Some(kept) if without_count(kept) != without_count(self.checksum) => Err(differs(format!(
                "checksum {} was sent, the server has {}",
                self.checksum.value, kept.value
            ))),
            _ => Ok(()),
        }
    }

    async fn verify_by_reading(&self, store: &dyn ObjectStore) -> Result<(), StepError> {
        let mut reader = PieceHasher::new(self);
        let request = GetObject::whole(self.key);
        let mut sink = |bytes: &[u8]| {
            reader.update(bytes);
            Ok(())
        };
        let read = read_through(store, &request, self.size_bytes, &mut sink).await;
        let read = read.map_err(|error| differs(format!("the object cannot be read back: {error}")))?;
        let came = read.bytes;
        if came != self.size_bytes {
            return Err(differs(format!(
                "{} bytes were sent, {came} came back",
                self.size_bytes
            )));
        }
        let found = reader.finish();
        if found.as_ref().map(without_count) != Some(without_count(self.checksum)) {
            return Err(differs(
                "the bytes that came back are not the bytes that were sent".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Hashes a stream the way the upload was hashed: whole, or part by part.
struct PieceHasher<'a> {
    expected: &'a Expected<'a>,
    current: Hasher,
    left: u64,
    parts: Vec<(Checksum, u64)>,
}

impl<'a> PieceHasher<'a> {
    fn new(expected: &'a Expected<'a>) -> Self {
        let left = expected.part_lengths.first().copied().unwrap_or(u64::MAX);
        Self {
            expected,
            current: Hasher::new(expected.checksum.algorithm),
            left,
            parts: Vec::new(),
        }
    }

    fn close_part(&mut self) {
        let algorithm = self.expected.checksum.algorithm;
        let done = std::mem::replace(&mut self.current, Hasher::new(algorithm)).finish();
        let length = self
            .expected
            .part_lengths
            .get(self.parts.len())
            .copied()
            .unwrap_or(0);
        self.parts.push((done, length));
        self.left = self
            .expected
            .part_lengths
            .get(self.parts.len())
            .copied()
            .unwrap_or(u64::MAX);
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let take = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.current.update(&bytes[..take]);
            self.left -= take as u64;
            bytes = &bytes[take..];
            if self.left == 0 {
                self.close_part();
            }
        }
    }

    fn finish(self) -> Option<Checksum> {
        if self.expected.part_lengths.is_empty() {
            return Some(self.current.finish());
        }
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|(checksum, length)| (checksum, *length))
            .collect();
        of_parts(self.expected.checksum.algorithm, &parts)
    }
}
