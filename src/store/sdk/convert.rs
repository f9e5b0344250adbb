//! Between our types and the SDK's.

use std::time::SystemTime;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumType, CompletedPart as SdkPart, ServerSideEncryption};

use crate::config::{ChecksumAlgorithm, ObjectAttributes};
use crate::store::{
    Checksum, CompletedPart, ObjectProperties, StoreError, StoreErrorKind, StoreResult, Stored,
};

/// `a=b&c=d`, percent-encoded, as the tagging header wants it.
pub(in crate::store) fn tagging(attributes: &ObjectAttributes) -> Option<String> {
    let encode = |text: &str| -> String {
        let mut encoded = String::new();
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    encoded.push(char::from(byte))
                }
                _ => encoded.push_str(&format!("%{byte:02X}")),
            }
        }
        encoded
    };
    let pairs: Vec<String> = attributes
        .tags
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

pub(super) fn all_metadata(properties: &ObjectProperties) -> std::collections::HashMap<String, String> {
    properties
        .all_metadata()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub(super) fn algorithm(algorithm: ChecksumAlgorithm) -> aws_sdk_s3::types::ChecksumAlgorithm {
    use aws_sdk_s3::types::ChecksumAlgorithm as Sdk;
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme => Sdk::Crc64Nvme,
        ChecksumAlgorithm::Crc32C => Sdk::Crc32C,
        ChecksumAlgorithm::Crc32 => Sdk::Crc32,
        ChecksumAlgorithm::Sha256 => Sdk::Sha256,
    }
}

/// CRCs of parts combine into one of the whole object; hashes do not.
pub(super) fn checksum_type(algorithm: ChecksumAlgorithm) -> ChecksumType {
    if algorithm == ChecksumAlgorithm::Sha256 {
        ChecksumType::Composite
    } else {
        ChecksumType::FullObject
    }
}

/// The value for the one SDK field that belongs to `wanted`.
pub(super) fn value_if(checksum: &Checksum, wanted: ChecksumAlgorithm) -> Option<String> {
    (checksum.algorithm == wanted).then(|| checksum.value.clone())
}

/// Sets the checksum on any SDK builder that has the four setters.
macro_rules! with_checksum {
    ($builder:expr, $checksum:expr) => {{
        use crate::config::ChecksumAlgorithm as Algorithm;
        $builder
            .set_checksum_crc64_nvme(crate::store::sdk::convert::value_if(
                $checksum,
                Algorithm::Crc64Nvme,
            ))
            .set_checksum_crc32_c(crate::store::sdk::convert::value_if($checksum, Algorithm::Crc32C))
            .set_checksum_crc32(crate::store::sdk::convert::value_if($checksum, Algorithm::Crc32))
            .set_checksum_sha256(crate::store::sdk::convert::value_if($checksum, Algorithm::Sha256))
    }};
}
pub(super) use with_checksum;

/// Sets what is stored beside the bytes on any SDK builder that begins an object.
macro_rules! with_properties {
    ($builder:expr, $properties:expr) => {{
        let properties: &crate::store::ObjectProperties = $properties;
        let attributes = &properties.attributes;
        let storage_class = attributes.storage_class.as_deref();
        let encryption = attributes.server_side_encryption.as_deref();
        $builder
            .content_type(properties.content_type.as_ref())
            .set_metadata(Some(crate::store::sdk::convert::all_metadata(properties)))
            .set_tagging(crate::store::sdk::convert::tagging(attributes))
            .set_storage_class(storage_class.map(aws_sdk_s3::types::StorageClass::from))
            .set_server_side_encryption(encryption.map(aws_sdk_s3::types::ServerSideEncryption::from))
    }};
}
pub(super) use with_properties;

/// Reads the checksum of `$algorithm` from any SDK output that has the four getters.
macro_rules! checksum_of {
    ($output:expr, $algorithm:expr) => {{
        use crate::config::ChecksumAlgorithm as Algorithm;
        let value = match $algorithm {
            Algorithm::Crc64Nvme => $output.checksum_crc64_nvme(),
            Algorithm::Crc32C => $output.checksum_crc32_c(),
            Algorithm::Crc32 => $output.checksum_crc32(),
            Algorithm::Sha256 => $output.checksum_sha256(),
        };
        value.map(|value| crate::store::Checksum {
            algorithm: $algorithm,
            value: value.to_owned(),
        })
    }};
}
pub(super) use checksum_of;

pub(super) fn sdk_part(part: &CompletedPart) -> SdkPart {
    let number = i32::try_from(part.number).expect("part numbers end at 10,000");
    with_checksum!(
        SdkPart::builder()
            .part_number(number)
            .e_tag(format!("\"{}\"", part.etag)),
        &part.checksum
    )
    .build()
}

/// A success must at least name what it stored.
pub(super) fn stored(
    etag: Option<&str>,
    checksum: Option<Checksum>,
    encryption: Option<&ServerSideEncryption>,
) -> StoreResult<Stored> {
    check_stored(etag, checksum, encryption.map(ServerSideEncryption::as_str))
}

/// The same with the server's own words.
pub(in crate::store) fn check_stored(
    etag: Option<&str>,
    checksum: Option<Checksum>,
    encryption: Option<&str>,
) -> StoreResult<Stored> {
    let etag = unquoted(etag);
    if etag.is_empty() {
        return Err(StoreError::new(
            StoreErrorKind::NotCredible,
            "the server said yes without an ETag, so nothing proves that it stored anything",
        ));
    }
    Ok(Stored {
        etag,
        checksum,
        opaque_etag: encryption.is_some_and(|encryption| encryption != "AES256"),
    })
}

pub(in crate::store) fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

pub(super) fn stream(
    body: impl http_body::Body<Data = bytes::Bytes, Error = std::io::Error> + Send + Sync + 'static,
) -> ByteStream {
    ByteStream::new(SdkBody::from_body_1_x(body))
}

pub(super) fn system_time(time: Option<&aws_sdk_s3::primitives::DateTime>) -> Option<SystemTime> {
    time.and_then(|time| SystemTime::try_from(*time).ok())
}

/// What HEAD or GET says of an object, from any SDK output that has the getters.
macro_rules! object_head {
    ($output:expr) => {{
        use crate::store::sdk::convert::{checksum_of, system_time, unquoted};
        let checksums = [
            checksum_of!($output, crate::config::ChecksumAlgorithm::Crc64Nvme),
            checksum_of!($output, Algorithm::Crc32C),
            checksum_of!($output, Algorithm::Crc32),
            checksum_of!($output, Algorithm::Sha256),
        ];
        crate::store::ObjectHead {
            size_bytes: $output
                .content_length()
                .and_then(|length| u64::try_from(length).ok())
                .unwrap_or(0),
            etag: unquoted($output.e_tag()),
            opaque_etag: $output
                .server_side_encryption()
                .is_some_and(|encryption| encryption.as_str() != "AES256"),
            checksums: checksums.into_iter().flatten().collect(),
            last_modified: system_time($output.last_modified()),
            metadata: $output
                .metadata()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }};
}
pub(super) use object_head;

/// A name in a listing.
pub(in crate::store) fn listed_name(is_encoded: bool, key: Option<&str>) -> String {
    let key = key.unwrap_or_default();
    if is_encoded { decoded(key) } else { key.to_owned() }
}

/// Listings are asked for in URL encoding, because XML cannot carry every key.
fn decoded(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        };
        if first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high << 4 | low);
            rest = after;
            continue;
        }
        // S3 writes a space as `+` here; a real plus arrives as `%2B`.
        bytes.push(if first == b'+' { b' ' } else { first });
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_keys_are_decoded() {
        for (listed, key) in [
            ("a+b", "a b"),
            ("a%2Bb", "a+b"),
            ("%E6%97%A5", "日"),
            ("100%25", "100%"),
            ("a%", "a%"),
            ("%01", "\u{1}"),
        ] {
            assert_eq!(decoded(listed), key);
        }
    }

    #[test]
    fn tags_are_encoded() {
        let attributes = ObjectAttributes {
            tags: [
                ("a b".to_owned(), "c&d".to_owned()),
                ("x".to_owned(), "ü".to_owned()),
            ]
            .into(),
            ..ObjectAttributes::default()
        };
        assert_eq!(tagging(&attributes).as_deref(), Some("a%20b=c%26d&x=%C3%BC"));
    }
}
