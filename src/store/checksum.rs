//! Checksums of pieces and of wholes.
//!
//! CRCs of parts combine into the CRC of the object without reading it again; SHA-256 does not, so its
//! multipart form is the hash of the parts' hashes (Amazon S3 user guide, "Checking object integrity").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::{Body, Checksum, StoreError, StoreResult, Sums, hex};
use crate::config::ChecksumAlgorithm;

fn crc(algorithm: ChecksumAlgorithm) -> Option<(CrcAlgorithm, usize)> {
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme => Some((CrcAlgorithm::Crc64Nvme, 8)),
        ChecksumAlgorithm::Crc32C => Some((CrcAlgorithm::Crc32Iscsi, 4)),
        ChecksumAlgorithm::Crc32 => Some((CrcAlgorithm::Crc32IsoHdlc, 4)),
        ChecksumAlgorithm::Sha256 => None,
    }
}

enum State {
    Crc(Box<crc_fast::Digest>),
    Sha256(Sha256),
}

/// A checksum in the making.
pub(crate) struct Hasher {
    algorithm: ChecksumAlgorithm,
    state: State,
}

impl Hasher {
    pub(crate) fn new(algorithm: ChecksumAlgorithm) -> Self {
        let state = match crc(algorithm) {
            Some((crc, _)) => State::Crc(Box::new(crc_fast::Digest::new(crc))),
            None => State::Sha256(Sha256::new()),
        };
        Self { algorithm, state }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Checksum {
        match self.state {
            State::Crc(digest) => of_crc(self.algorithm, digest.finalize()),
            State::Sha256(digest) => Checksum {
                algorithm: self.algorithm,
                value: BASE64.encode(digest.finalize()),
            },
        }
    }
}

/// A CRC as a checksum of `algorithm`, in as many bytes as that has.
fn of_crc(algorithm: ChecksumAlgorithm, value: u64) -> Checksum {
    let width = crc(algorithm).map_or(8, |(_, width)| width);
    Checksum {
        algorithm,
        value: BASE64.encode(&value.to_be_bytes()[8 - width..]),
    }
}

/// What is found of bytes that pass by.
pub(super) struct Summing {
    hasher: Hasher,
    md5: Option<Md5>,
}

impl Summing {
    pub(super) fn new(algorithm: ChecksumAlgorithm, with_md5: bool) -> Self {
        Self {
            hasher: Hasher::new(algorithm),
            md5: with_md5.then(Md5::new),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    pub(super) fn finish(self) -> Sums {
        Sums {
            checksum: self.hasher.finish(),
            md5: self.md5.map(|md5| hex(&md5.finalize())),
        }
    }
}

/// Checksum and, where it is wanted, MD5 of all of `body`; a file range is read for it.
///
/// # Errors
/// Those of [`Payload::sums`](super::Payload::sums).
pub(super) fn of_body(algorithm: ChecksumAlgorithm, with_md5: bool, body: &Body) -> StoreResult<Sums> {
    if let (Some((crc, _)), Body::Bytes(bytes)) = (crc(algorithm), body) {
        return Ok(Sums {
            checksum: of_crc(algorithm, crc_fast::checksum(crc, bytes)),
            md5: with_md5.then(|| hex(&Md5::digest(bytes))),
        });
    }
    let mut summing = Summing::new(algorithm, with_md5);
    read_all(body, |slice| summing.update(slice))?;
    Ok(summing.finish())
}

/// SHA-256 of all of `body` in hex, as signatures have it; a file range is read for it.
///
/// # Errors
/// As [`of_body`].
pub(super) fn payload_hash(body: &Body) -> StoreResult<String> {
    let mut digest = Sha256::new();
    read_all(body, |slice| digest.update(slice))?;
    Ok(hex(&digest.finalize()))
}

/// Shows `take` all of `body`, slice by slice.
fn read_all(body: &Body, mut take: impl FnMut(&[u8])) -> StoreResult<()> {
    let range = match body {
        Body::Bytes(bytes) => {
            take(bytes);
            return Ok(());
        }
        Body::File(range) => range,
    };
    let (mut position, mut slice) = (0, Vec::new());
    while position < range.length {
        range
            .read_slice(position, &mut slice)
            .map_err(|error| StoreError::local(&error))?;
        take(&slice);
        position += slice.len() as u64;
    }
    Ok(())
}

/// Characters of a checksum in base64.
pub(super) fn encoded_length(algorithm: ChecksumAlgorithm) -> usize {
    let bytes = crc(algorithm).map_or(32, |(_, width)| width);
    bytes.div_ceil(3) * 4
}

/// The checksum of the object that parts with these checksums and lengths make, in order: of all bytes for
/// CRCs, composite with `-N` for SHA-256. `None` when a checksum is not valid base64 of the right length.
pub(crate) fn of_parts(algorithm: ChecksumAlgorithm, parts: &[(&Checksum, u64)]) -> Option<Checksum> {
    let decoded = |checksum: &Checksum| BASE64.decode(&checksum.value).ok();
    let Some((crc, width)) = crc(algorithm) else {
        let mut digest = Sha256::new();
        for (checksum, _) in parts {
            digest.update(decoded(checksum)?);
        }
        let value = format!("{}-{}", BASE64.encode(digest.finalize()), parts.len());
        return Some(Checksum { algorithm, value });
    };
    let mut whole: Option<u64> = None;
    for (checksum, length) in parts {
        let bytes = decoded(checksum).filter(|bytes| bytes.len() == width)?;
        let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        whole = Some(match whole {
            None => value,
            Some(whole) => crc_fast::checksum_combine(crc, whole, value, *length),
        });
    }
    Some(of_crc(algorithm, whole?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChecksumAlgorithm::{Crc32, Crc32C, Crc64Nvme, Sha256 as Sha};

    fn of_bytes(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Checksum {
        let body = bytes.to_vec().into();
        of_body(algorithm, false, &body).expect("in memory").checksum
    }

    /// Check values of "123456789" from the CRC RevEng catalogue; SHA-256 of it computed with sha256sum.
    #[test]
    fn known_answers() {
        for (algorithm, value) in [
            (Crc32, "y/Q5Jg=="),
            (Crc32C, "4waSgw=="),
            (Crc64Nvme, "rosUhgp5mIg="),
            (Sha, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ] {
            assert_eq!(of_bytes(algorithm, b"123456789").value, value, "{algorithm:?}");
        }
    }

    #[test]
    fn checksums_of_parts_combine_into_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..100_000u32).map(|number| (number * 7 % 251) as u8).collect();
        for algorithm in [Crc32, Crc32C, Crc64Nvme] {
            let parts: Vec<_> = bytes
                .chunks(30_000)
                .map(|part| (of_bytes(algorithm, part), part.len() as u64))
                .collect();
            let parts: Vec<_> = parts
                .iter()
                .map(|(checksum, length)| (checksum, *length))
                .collect();
            assert_eq!(
                of_parts(algorithm, &parts),
                Some(of_bytes(algorithm, &bytes)),
                "{algorithm:?}"
            );
        }
    }

    #[test]
    fn sha256_of_parts_is_composite() {
        let parts = [of_bytes(Sha, b"a"), of_bytes(Sha, b"b")];
        let whole = of_parts(Sha, &[(&parts[0], 1), (&parts[1], 1)]).expect("valid parts");
        assert!(whole.value.ends_with("-2"), "{}", whole.value);
    }
}
