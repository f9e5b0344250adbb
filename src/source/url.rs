//! `s3://bucket/key` as typed, and the rule that makes keys from sources.
//!
//! A trailing `/` on the target means "into". Without it, a single file gets the target itself as its key;
//! directories and several sources go below it as if the `/` stood there, so `prefixfile` never arises.

use std::fmt;
use std::str::FromStr;

use super::key;

/// Where objects go: a bucket and a key or prefix (may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Url {
    /// Bucket name.
    pub bucket: String,
    /// Everything after the bucket's `/`, as typed.
    pub key: String,
}

impl S3Url {
    /// The prefix under which several objects go: empty, or with `/` at its end.
    pub fn prefix(&self) -> String {
        if self.key.is_empty() || self.key.ends_with('/') {
            return self.key.clone();
        }
        format!("{}/", self.key)
    }

    /// The key of a single file named `name`.
    pub fn single_key(&self, name: &str) -> String {
        if self.key.is_empty() || self.key.ends_with('/') {
            return format!("{}{name}", self.key);
        }
        self.key.clone()
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s3://{}/{}", self.bucket, self.key)
    }
}

/// Why a text is not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUrlError {
    /// It does not start with `s3://`.
    #[error("'{0}' is not an S3 address; write it like s3://bucket/prefix/")]
    NotS3(String),
    /// The bucket's name breaks S3's rules.
    #[error("'{name}' is not a bucket name: {rule}")]
    Bucket {
        /// As typed.
        name: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// It holds a control character, which XML answers cannot carry.
    #[error("{0:?} holds a control character")]
    Control(String),
    /// The prefix would give keys that servers mishandle.
    #[error("'{url}' cannot be a target: {reason}")]
    Prefix {
        /// As typed.
        url: String,
        /// What is wrong with it.
        reason: key::KeyRefused,
    },
}

/// Amazon S3 user guide, "General purpose bucket naming rules".
fn broken_bucket_rule(name: &str) -> Option<&'static str> {
    if !(3..=63).contains(&name.len()) {
        return Some("it must have 3 to 63 characters");
    }
    if !name
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
    {
        return Some("only lower-case letters, digits, '-' and '.' are allowed");
    }
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !ends(name.bytes().next()) || !ends(name.bytes().last()) {
        return Some("it must begin and end with a letter or digit");
    }
    if name.contains("..") {
        return Some("two dots may not follow each other");
    }
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Some("it may not look like an IP address");
    }
    None
}

impl FromStr for S3Url {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return Err(ParseUrlError::NotS3(text.to_owned()));
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if let Some(rule) = broken_bucket_rule(bucket) {
            return Err(ParseUrlError::Bucket {
                name: bucket.to_owned(),
                rule,
            });
        }
        if key.chars().any(char::is_control) {
            return Err(ParseUrlError::Control(text.to_owned()));
        }
        let checked = if key.is_empty() { Ok(()) } else { key::check(key) };
        checked.map_err(|reason| ParseUrlError::Prefix {
            url: text.to_owned(),
            reason,
        })?;
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> S3Url {
        text.parse().expect(text)
    }

    #[test]
    fn a_trailing_slash_means_into_and_prefixes_never_fuse_with_names() {
        assert_eq!(url("s3://bucket/p/").single_key("a"), "p/a");
        assert_eq!(url("s3://bucket/p").single_key("a"), "p");
        assert_eq!(url("s3://bucket").single_key("a"), "a");
        assert_eq!(url("s3://bucket/").single_key("a"), "a");
        assert_eq!(url("s3://bucket/p").prefix(), "p/");
        assert_eq!(url("s3://bucket/p/q/").prefix(), "p/q/");
        assert_eq!(url("s3://bucket").prefix(), "");
    }

    #[test]
    fn targets_that_cannot_work_are_refused_with_the_reason() {
        for (text, part) in [
            ("bucket/p", "is not an S3 address"),
            ("s3:/bucket", "is not an S3 address"),
            ("s3://", "3 to 63"),
            ("s3://Bucket/", "lower-case"),
            ("s3://-bucket/", "begin and end"),
            ("s3://a..b/", "two dots"),
            ("s3://192.168.1.1/", "IP address"),
            ("s3://bucket//x", "start with '/'"),
            ("s3://bucket/a//x", "contain '//'"),
            ("s3://bucket/../x", "'.' or '..'"),
            ("s3://bucket/a\nb", "control character"),
        ] {
            let error = text.parse::<S3Url>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
