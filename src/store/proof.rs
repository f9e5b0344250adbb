//! What a success must show before it counts: pure comparisons of what was sent with what the server says.
//!
//! Called by the retry layer for every answer, so that an answer that proves nothing is asked for again.

use md5::{Digest as _, Md5};

use super::{Checksum, CompleteUpload, Payload, StoreError, StoreErrorKind, StoreResult, Stored};

fn doubtful(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::NotCredible, message)
}

fn check_echo(sent: &Checksum, stored: &Stored) -> StoreResult<()> {
    match &stored.checksum {
        // Servers differ in whether they append the part count to a composite checksum.
        Some(echo) if echo.value.split('-').next() != sent.value.split('-').next() => Err(doubtful(format!(
            "the server stored something else: checksum {} was sent, {} came back",
            sent.value, echo.value
        ))),
        _ => Ok(()),
    }
}

fn is_md5(etag: &str) -> bool {
    etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Payload {
    /// The answer to the one who sent it, if it is credible.
    pub(super) fn check(&self, stored: Stored) -> StoreResult<Stored> {
        let sums = self
            .found
            .get()
            .ok_or_else(|| doubtful("the server said yes before it had the whole body".to_owned()))?;
        check_echo(&sums.checksum, &stored)?;
        match &sums.md5 {
            Some(md5) if !stored.opaque_etag && !stored.etag.eq_ignore_ascii_case(md5) => {
                Err(doubtful(format!(
                    "the server stored something else: its ETag is {}, the content's MD5 is {md5}",
                    stored.etag
                )))
            }
            _ => Ok(stored),
        }
    }
}

impl CompleteUpload {
    /// `md5(concat(md5 of each part))-N`, when all parts' ETags are MD5s.
    pub fn composed_etag(&self) -> Option<String> {
        let mut digest = Md5::new();
        for part in &self.parts {
            if !is_md5(&part.etag) {
                return None;
            }
            for pair in part.etag.as_bytes().chunks(2) {
                let hex = std::str::from_utf8(pair).ok()?;
                digest.update([u8::from_str_radix(hex, 16).ok()?]);
            }
        }
        Some(format!("{}-{}", hex(&digest.finalize()), self.parts.len()))
    }

    /// The answer if it is credible.
    pub(super) fn check(&self, stored: Stored) -> StoreResult<Stored> {
        check_echo(&self.checksum, &stored)?;
        // On unknown servers, other shapes of ETag (R2, SeaweedFS) prove nothing either way.
        let same_shape = self.strict_etag
            || stored
                .etag
                .split_once('-')
                .is_some_and(|(digest, _)| is_md5(digest));
        match self.composed_etag() {
            Some(composed)
                if same_shape && !stored.opaque_etag && !stored.etag.eq_ignore_ascii_case(&composed) =>
            {
                Err(doubtful(format!(
                    "the server put something else together: its ETag is {}, the parts give {composed}",
                    stored.etag
                )))
            }
            _ => Ok(stored),
        }
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    String::from_utf8(text).expect("digits are text")
}

/// Appends lower-case hexadecimal digits.
pub(crate) fn push_hex(into: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let start = into.len();
    into.resize(start + 2 * bytes.len(), 0);
    for (pair, byte) in into[start..].chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ChecksumAlgorithm;
    use crate::store::{CompletedPart, Sums};

    fn checksum(value: &str) -> Checksum {
        Checksum {
            algorithm: ChecksumAlgorithm::Crc64Nvme,
            value: value.into(),
        }
    }

    fn stored(etag: &str, echo: Option<&str>) -> Stored {
        Stored {
            etag: etag.into(),
            checksum: echo.map(checksum),
            opaque_etag: false,
        }
    }

    fn credible(md5: Option<&str>, stored: Stored) -> bool {
        let sums = Sums {
            checksum: checksum("AAAA"),
            md5: md5.map(str::to_owned),
        };
        let payload = Payload::new(Vec::new().into(), ChecksumAlgorithm::Crc64Nvme);
        payload.found.set(sums).expect("set once");
        payload.check(stored).is_ok()
    }

    #[test]
    fn a_wrong_etag_or_checksum_is_no_success() {
        assert!(credible(Some("d4"), stored("d4", Some("AAAA"))));
        assert!(credible(Some("d4"), stored("D4", None)));
        assert!(credible(None, stored("whatever", None)));
        assert!(!credible(Some("d4"), stored("ff", Some("AAAA"))));
        assert!(!credible(Some("d4"), stored("d4", Some("BBBB"))));
        let encrypted = Stored {
            opaque_etag: true,
            ..stored("ff", None)
        };
        assert!(credible(Some("d4"), encrypted));
    }

    #[test]
    fn the_etag_of_a_multipart_upload_is_composed_of_its_parts() {
        let part = |number, etag: &str| CompletedPart {
            number,
            etag: etag.into(),
            checksum: checksum("AAAA"),
        };
        let complete = CompleteUpload {
            key: "k".into(),
            upload_id: "u".into(),
            // MD5 of "a" and of "b" (RFC 1321 gives the first).
            parts: vec![
                part(1, "0cc175b9c0f1b6a831c399e269772661"),
                part(2, "92eb5ffee6ae2fec3ad71c777531578f"),
            ],
            checksum: checksum("AAAA"),
            size_bytes: 2,
            strict_etag: false,
            if_none_match: false,
        };
        let composed = complete.composed_etag().expect("both are MD5s");
        assert!(composed.ends_with("-2"), "{composed}");
        assert!(complete.check(stored(&composed, None)).is_ok());
        assert!(
            complete
                .check(stored("00000000000000000000000000000000-2", None))
                .is_err()
        );
        assert!(complete.check(stored("some-opaque-tag", None)).is_ok());
        let strict = CompleteUpload {
            strict_etag: true,
            ..complete
        };
        assert!(strict.check(stored("some-opaque-tag", None)).is_err());
    }
}
