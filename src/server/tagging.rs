//! Object tags: the `x-amz-tagging` header and the limits S3 sets.
//!
//! Called by: `records.rs`, `objects.rs`. Must not know: the index or HTTP beyond one header value.

use s3s::{S3Result, s3_error};

/// Most tags an object may have.
const MOST_TAGS: usize = 10;
/// Longest tag key, in characters.
const LONGEST_KEY: usize = 128;
/// Longest tag value, in characters.
const LONGEST_VALUE: usize = 256;

/// Parses `a=1&b=2` with percent-encoding and `+` for a space.
///
/// # Errors
/// `InvalidArgument` for malformed encoding, else those of [`check`].
pub(super) fn parse_header(text: &str) -> S3Result<Vec<(String, String)>> {
    let mut tags = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = decode(key).zip(decode(value));
        tags.push(decoded.ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
            parameters without tag name duplicates."
            )
        })?);
    }
    check(&tags)?;
    Ok(tags)
}

/// Checks number, lengths and uniqueness of tags.
///
/// # Errors
/// `BadRequest` over 10 tags, `InvalidTag` for a bad length or a repeated key.
pub(super) fn check(tags: &[(String, String)]) -> S3Result<()> {
    if tags.len() > MOST_TAGS {
        return Err(s3_error!(
            InvalidTag,
            "Object tags cannot be greater than {MOST_TAGS}"
        ));
    }
    for (position, (key, value)) in tags.iter().enumerate() {
        let length = key.chars().count();
        if length == 0 || length > LONGEST_KEY || value.chars().count() > LONGEST_VALUE {
            return Err(s3_error!(
                InvalidTag,
                "The TagKey or TagValue you have provided is invalid"
            ));
        }
        if tags[..position].iter().any(|(earlier, _)| earlier == key) {
            return Err(s3_error!(
                InvalidTag,
                "Cannot provide multiple Tags with the same key"
            ));
        }
    }
    Ok(())
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = tail
                    .get(..2)
                    .and_then(|digits| std::str::from_utf8(digits).ok())?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &tail[2..];
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}
