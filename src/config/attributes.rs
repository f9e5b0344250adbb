//! What can be stored with an object: checked here, because servers refuse the rest late, object by object, or
//! store something else.
//!
//! Called by `validate`. Pure. Flags are named as the command line has them, like in all of `config`.

use super::ObjectAttributes;
use crate::error::{Error, ErrorKind, Result};

/// Metadata that s3haul writes itself: the file's modification time, which later runs compare with.
const OWN_METADATA: &str = "mtime";
/// S3's limits on tags; lengths are in characters.
const MAX_TAGS: usize = 10;
const MAX_TAG_NAME: usize = 128;
const MAX_TAG_VALUE: usize = 256;
/// What S3 knows as `x-amz-server-side-encryption`. SSE-C has headers and keys of its own.
const ENCRYPTIONS: [&str; 3] = ["AES256", "aws:kms", "aws:kms:dsse"];

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

impl ObjectAttributes {
    /// Checks what would not survive the way to the server, or what it would refuse for every object.
    pub(super) fn validate(&self) -> Result<()> {
        for (flag, value) in [
            ("--content-type", &self.content_type),
            ("--storage-class", &self.storage_class),
        ] {
            if let Some(value) = value {
                check_header_value(flag, value)?;
            }
        }
        for (name, value) in &self.metadata {
            check_metadata_name(name)?;
            check_header_value(&format!("--metadata {name}"), value)?;
        }
        self.check_tags()?;
        match &self.server_side_encryption {
            Some(algorithm) if !ENCRYPTIONS.contains(&algorithm.as_str()) => Err(usage(format!(
                "'--sse {}' is no server-side encryption that S3 knows",
                algorithm.escape_debug()
            ))
            .with_hint(format!("it is one of {}", ENCRYPTIONS.join(", ")))),
            _ => Ok(()),
        }
    }

    fn check_tags(&self) -> Result<()> {
        if self.tags.len() > MAX_TAGS {
            return Err(usage(format!(
                "{} tags are given; an object takes at most {MAX_TAGS}",
                self.tags.len()
            ))
            .with_hint("leave some '--tags' out; '--metadata' has room for more"));
        }
        for (name, value) in &self.tags {
            let (name_length, value_length) = (name.chars().count(), value.chars().count());
            let name = name.escape_debug();
            if name_length == 0 {
                return Err(
                    usage("'--tags' has a tag without a name".to_owned()).with_hint("write it as NAME=VALUE")
                );
            }
            if name_length > MAX_TAG_NAME {
                return Err(
                    usage(format!("'--tags {name}' has a name of {name_length} characters")).with_hint(
                        format!("S3 takes names of tags of at most {MAX_TAG_NAME} characters"),
                    ),
                );
            }
            if value_length > MAX_TAG_VALUE {
                return Err(usage(format!(
                    "'--tags {name}' has a value of {value_length} characters"
                ))
                .with_hint(format!(
                    "S3 takes values of tags of at most {MAX_TAG_VALUE} characters"
                )));
            }
        }
        Ok(())
    }
}

/// The name becomes the end of a header's name, so it is a token of RFC 9110, section 5.6.2.
fn check_metadata_name(name: &str) -> Result<()> {
    if name.eq_ignore_ascii_case(OWN_METADATA) {
        return Err(usage(format!(
            "'--metadata {name}' cannot be set: s3haul stores the modification time of each file there"
        ))
        .with_hint("take another name"));
    }
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(usage(format!(
            "'--metadata {}' is not a name that a header can have",
            name.escape_debug()
        ))
        .with_hint("use letters, digits, '-', '_' and '.'"));
    }
    Ok(())
}

/// Anything else than visible ASCII and spaces is refused or changed on the way, which also breaks the signature.
fn check_header_value(flag: &str, value: &str) -> Result<()> {
    let Some(bad) = value.chars().find(|c| !matches!(c, ' '..='~')) else {
        return Ok(());
    };
    let error = usage(format!(
        "the value of '{flag}' holds {bad:?}, but a header carries only printable ASCII"
    ));
    if bad.is_ascii() {
        return Err(error.with_hint("take out line breaks, tabs and control characters"));
    }
    let encoded: String = bad
        .encode_utf8(&mut [0; 4])
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    Err(error.with_hint(format!("percent-encode it: {bad} is {encoded}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn with_metadata(name: &str, value: &str) -> ObjectAttributes {
        ObjectAttributes {
            metadata: pairs(&[(name, value)]),
            ..ObjectAttributes::default()
        }
    }

    fn with_tag(name: &str, value: &str) -> ObjectAttributes {
        ObjectAttributes {
            tags: pairs(&[(name, value)]),
            ..ObjectAttributes::default()
        }
    }

    fn refusal(attributes: &ObjectAttributes) -> Error {
        let error = attributes.validate().expect_err("must be refused");
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.hint().is_some(), "{error}");
        error
    }

    #[test]
    fn what_s3_takes_is_taken() {
        for attributes in [
            with_metadata("X-Owner_1.a", "~ any thing!"),
            with_metadata("mtimes", ""),
            with_tag(&"\u{fc}".repeat(128), &"\u{fc}".repeat(256)),
            with_tag("empty", ""),
        ] {
            attributes.validate().expect("is taken");
        }
        for algorithm in ENCRYPTIONS {
            let attributes = ObjectAttributes {
                server_side_encryption: Some(algorithm.to_owned()),
                content_type: Some("text/plain; charset=\"utf-8\"".to_owned()),
                storage_class: Some("STANDARD_IA".to_owned()),
                ..ObjectAttributes::default()
            };
            attributes.validate().expect("is taken");
        }
    }

    #[test]
    fn metadata_that_a_header_cannot_carry_is_refused_with_the_reason() {
        for (name, value, says) in [
            ("mtime", "1", "stores the modification time"),
            ("MTime", "1", "stores the modification time"),
            ("", "1", "not a name"),
            ("a b", "1", "not a name"),
            ("a:b", "1", "not a name"),
            ("\u{fc}", "1", "not a name"),
            ("a\n", "1", "'--metadata a\\n' is not a name"),
            ("a", "1\r\nx: y", "holds '\\r'"),
            ("a", "\u{7f}", "printable ASCII"),
            ("a", "\t", "printable ASCII"),
        ] {
            let error = refusal(&with_metadata(name, value));
            assert!(error.to_string().contains(says), "{name:?}={value:?}: {error}");
        }
        let error = refusal(&with_metadata("a", "gr\u{fc}n"));
        assert_eq!(error.hint(), Some("percent-encode it: \u{fc} is %C3%BC"));
    }

    #[test]
    fn tags_beyond_the_limits_of_s3_are_refused() {
        for (attributes, says) in [
            (with_tag("", "value"), "without a name"),
            (with_tag(&"n".repeat(129), ""), "a name of 129"),
            (with_tag("n", &"v".repeat(257)), "a value of 257"),
        ] {
            assert!(refusal(&attributes).to_string().contains(says), "{says}");
        }
        let names: Vec<String> = (0..11).map(|number| number.to_string()).collect();
        let attributes = ObjectAttributes {
            tags: names.into_iter().map(|name| (name, String::new())).collect(),
            ..ObjectAttributes::default()
        };
        assert!(refusal(&attributes).to_string().contains("11 tags"));
    }
}
