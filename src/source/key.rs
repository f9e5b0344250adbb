//! File names to object keys and back, without loss.
//!
//! A name that is clean UTF-8 is its own key. Bytes that are not UTF-8, control characters (C0 and DEL, which
//! XML answers cannot carry) and U+FFFE / U+FFFF become `%XX` with upper-case digits. To keep the mapping
//! reversible, a `%` that already looks like such an escape becomes `%25`; any other `%`, as in `100%` or
//! `a%2Fb`, stays. A name of nothing but white space, which SDKs take for no key at all, begins with `%20`. Pure functions; nothing here knows where a key is used.

use std::ffi::OsString;
use std::fmt;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Longest key S3 takes, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1_024;

/// A key and whether it differs from the name's own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedName {
    /// The key, or a piece of one.
    pub text: String,
    /// True when at least one byte was escaped.
    pub encoded: bool,
}

/// True for the escapes that [`encode`] can produce: a control byte, `%25`, DEL, or a byte above 0x7F.
fn is_our_escape(high: u8, low: u8) -> bool {
    let is_digit = |digit: u8| digit.is_ascii_digit() || (b'A'..=b'F').contains(&digit);
    if !is_digit(high) || !is_digit(low) {
        return false;
    }
    matches!(high, b'0' | b'1' | b'8' | b'9' | b'A'..=b'F')
        || (high, low) == (b'2', b'5')
        || (high, low) == (b'7', b'F')
}

/// What follows the escape of the first space in the key of a name of nothing but white space; none for other
/// keys.
fn rest_of_blank(key: &str) -> Option<&str> {
    key.strip_prefix("%20").filter(|rest| rest.trim().is_empty())
}

fn escape(bytes: &[u8], into: &mut String) {
    for byte in bytes {
        write!(into, "%{byte:02X}").expect("writing to a String cannot fail");
    }
}

/// True when a path that is not of white space alone is the key of itself, byte for byte.
pub(super) fn is_its_own_key(name: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'%';
    name.iter().all(is_plain) || !encode(name).encoded
}

/// Turns a path relative to its source (separated by `/`) into a key. Total and reversible: see [`decode`].
pub fn encode(name: &[u8]) -> EncodedName {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'%';
    if let Ok(text) = std::str::from_utf8(name)
        && !name.is_empty()
        && name.iter().all(is_plain)
    {
        // Nearly all names, in a fraction of the time.
        return EncodedName {
            text: text.to_owned(),
            encoded: false,
        };
    }
    let mut text = String::with_capacity(name.len());
    let mut encoded = false;
    let mut consumed = 0;
    for chunk in name.utf8_chunks() {
        for (position, character) in chunk.valid().char_indices() {
            let at = consumed + position;
            let looks_escaped = character == '%'
                && matches!(name.get(at + 1..at + 3), Some(&[high, low]) if is_our_escape(high, low));
            if looks_escaped || character.is_ascii_control() || matches!(character, '\u{FFFE}' | '\u{FFFF}') {
                escape(character.encode_utf8(&mut [0; 4]).as_bytes(), &mut text);
                encoded = true;
            } else {
                text.push(character);
            }
        }
        consumed += chunk.valid().len() + chunk.invalid().len();
        if !chunk.invalid().is_empty() {
            escape(chunk.invalid(), &mut text);
            encoded = true;
        }
    }
    if let Some(rest) = rest_of_blank(&text) {
        let text = format!("%2520{rest}");
        return EncodedName { text, encoded: true };
    }
    if let Some(first) = text.chars().next().filter(|_| text.trim().is_empty()) {
        let rest = text.split_off(first.len_utf8());
        let mut start = String::new();
        escape(text.as_bytes(), &mut start);
        return EncodedName {
            text: start + &rest,
            encoded: true,
        };
    }
    EncodedName { text, encoded }
}

/// The name that [`encode`] made `key` from.
pub fn decode(key: &str) -> Vec<u8> {
    if let Some(rest) = rest_of_blank(key) {
        return [b" ", rest.as_bytes()].concat();
    }
    let bytes = key.as_bytes();
    let mut name = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while position < bytes.len() {
        if bytes[position] == b'%'
            && let Some(&[high, low]) = bytes.get(position + 1..position + 3)
            && is_our_escape(high, low)
        {
            name.push(hex_value(high) << 4 | hex_value(low));
            position += 3;
        } else {
            name.push(bytes[position]);
            position += 1;
        }
    }
    name
}

/// The path that `key` has below the directory of `prefix`: what an upload of that path would name so. None of a key that
/// is not below the prefix. Keys are hostile input: the path may be absolute, or lead out.
pub(crate) fn path_of(key: &str, prefix: &str) -> Option<PathBuf> {
    let relative = key.strip_prefix(prefix)?;
    let name = decode(relative);
    // What somebody else has named, and no upload of ours would, is its own name.
    let is_ours = encode(&name).text == relative;
    let name = if is_ours {
        name
    } else {
        relative.as_bytes().to_vec()
    };
    Some(PathBuf::from(OsString::from_vec(name)))
}

fn hex_value(digit: u8) -> u8 {
    if digit.is_ascii_digit() {
        digit - b'0'
    } else {
        digit - b'A' + 10
    }
}

/// Why a key is not sent: servers would mangle or refuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRefused {
    /// No bytes at all.
    Empty,
    /// Nothing but white space, which the SDK takes for no key at all.
    Blank,
    /// More than 1,024 bytes.
    TooLong(usize),
    /// It starts with `/`, which some servers strip.
    LeadingSlash,
    /// It has `//`, which some servers collapse.
    DoubleSlash,
    /// It has a segment `.` or `..`, which servers refuse or resolve.
    DotSegment,
}

impl fmt::Display for KeyRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("the key would be empty"),
            Self::Blank => formatter.write_str("the key would be nothing but white space"),
            Self::TooLong(bytes) => {
                write!(
                    formatter,
                    "the key would have {bytes} bytes; S3 takes at most {MAX_KEY_BYTES}"
                )
            }
            Self::LeadingSlash => {
                formatter.write_str("the key would start with '/', which servers treat differently")
            }
            Self::DoubleSlash => {
                formatter.write_str("the key would contain '//', which servers treat differently")
            }
            Self::DotSegment => formatter
                .write_str("the key would contain a segment '.' or '..', which servers refuse or resolve"),
        }
    }
}

/// Whether `key` is one that every S3 server stores as it is.
///
/// # Errors
/// [`KeyRefused`] says why not; such a key is never sent.
pub fn check(key: &str) -> Result<(), KeyRefused> {
    if key.is_empty() {
        return Err(KeyRefused::Empty);
    }
    if key.chars().all(char::is_whitespace) {
        return Err(KeyRefused::Blank);
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(KeyRefused::TooLong(key.len()));
    }
    // In one pass over the bytes: this is asked of every file.
    let without_last_slash = key.strip_suffix('/').unwrap_or(key).as_bytes();
    let segments = without_last_slash.split(|byte| *byte == b'/');
    for (position, segment) in segments.enumerate() {
        match (position, segment) {
            (_, b"." | b"..") => return Err(KeyRefused::DotSegment),
            (0, b"") => return Err(KeyRefused::LeadingSlash),
            (_, b"") => return Err(KeyRefused::DoubleSlash),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &[u8]) -> String {
        encode(name).text
    }

    #[test]
    fn ordinary_names_are_their_own_keys() {
        for name in [
            "a b.txt",
            "100%",
            "a%2Fb",
            "50%20off",
            "ü/日本.txt",
            "..x",
            " a",
            "a/ ",
            "%20a",
            "a\\b",
            "+?#'\"",
            "%zz",
            "% 25",
        ] {
            assert_eq!(
                encode(name.as_bytes()),
                EncodedName {
                    text: name.into(),
                    encoded: false
                }
            );
        }
    }

    #[test]
    fn what_cannot_travel_is_escaped_and_said_so() {
        for (name, expected) in [
            (&b"gr\xFC\xDF"[..], "gr%FC%DF"),
            (b"a\nb", "a%0Ab"),
            (b"\x01", "%01"),
            (b"\x7F", "%7F"),
            (b"%FF", "%25FF"),
            (b"%25", "%2525"),
            (b"%\xFF", "%%FF"),
            ("\u{FFFE}".as_bytes(), "%EF%BF%BE"),
            (b" ", "%20"),
            (b"   ", "%20  "),
            (b"%20", "%2520"),
            (b"%20 ", "%2520 "),
            ("\u{2003} ".as_bytes(), "%E2%80%83 "),
        ] {
            let name = encode(name);
            assert_eq!((name.text.as_str(), name.encoded), (expected, true));
        }
    }

    #[test]
    fn names_that_differ_only_in_what_is_escaped_get_different_keys() {
        assert_ne!(key(b"%FF"), key(b"\xFF"));
        assert_ne!(key(b"%0A"), key(b"\n"));
        assert_ne!(key(b"%2500"), key(b"%00"));
    }

    #[test]
    fn keys_that_servers_mishandle_are_refused() {
        for (key, refused) in [
            ("", KeyRefused::Empty),
            ("  ", KeyRefused::Blank),
            ("/a", KeyRefused::LeadingSlash),
            ("/", KeyRefused::LeadingSlash),
            ("a//b", KeyRefused::DoubleSlash),
            ("a//", KeyRefused::DoubleSlash),
            ("a/../b", KeyRefused::DotSegment),
            ("./a", KeyRefused::DotSegment),
            ("..", KeyRefused::DotSegment),
            ("a/./", KeyRefused::DotSegment),
        ] {
            assert_eq!(check(key), Err(refused), "{key}");
        }
        assert_eq!(check(&"x".repeat(1_024)), Ok(()));
        assert_eq!(check(&"x".repeat(1_025)), Err(KeyRefused::TooLong(1_025)));
        for key in ["..x/.hidden/...", "a/", " a/b "] {
            assert_eq!(check(key), Ok(()), "{key}");
        }
    }

    fn name(key: &str) -> Vec<u8> {
        let path = path_of(key, "p/").expect("below it");
        path.into_os_string().into_vec()
    }

    #[test]
    fn names_that_were_encoded_come_back_and_others_stay_as_they_are() {
        for (key, expected) in [
            ("p/a/b", &b"a/b"[..]),
            ("p/gr%FC%DF", b"gr\xFC\xDF"),
            ("p/100%25C3", b"100%C3"),
            ("p/a%2Fb", b"a%2Fb"),
            ("p/%C3%A9", b"%C3%A9"),
            ("p/line%0Abreak", b"line\nbreak"),
            ("p/..%2F..%2Fetc", b"..%2F..%2Fetc"),
        ] {
            assert_eq!(name(key), expected, "{key}");
        }
        assert_eq!(path_of("q/a", "p/"), None);
    }

    proptest::proptest! {
        #[test]
        fn every_name_comes_back_byte_for_byte(name in proptest::collection::vec(1u8..=255, 0..64)) {
            proptest::prop_assert_eq!(decode(&key(&name)), name);
        }

        #[test]
        fn names_made_of_percents_and_digits_come_back_too(
            name in proptest::collection::vec(proptest::sample::select(b"% 025F7A\xFF\n/".to_vec()), 0..24)
        ) {
            proptest::prop_assert_eq!(decode(&key(&name)), name);
        }

        #[test]
        fn different_names_never_share_a_key(
            one in proptest::collection::vec(proptest::sample::select(b"%205F\xFF\x01 ".to_vec()), 0..6),
            two in proptest::collection::vec(proptest::sample::select(b"%205F\xFF\x01 ".to_vec()), 0..6)
        ) {
            proptest::prop_assert_eq!(key(&one) == key(&two), one == two);
        }

        #[test]
        fn what_is_uploaded_comes_back_under_its_name(bytes in proptest::collection::vec(1_u8.., 1..40)) {
            let key = format!("p/{}", encode(&bytes).text);
            proptest::prop_assert_eq!(name(&key), bytes);
        }

        #[test]
        fn a_name_is_uploaded_under_the_key_that_it_came_from_or_is_that_key(key in "\\PC{1,20}") {
            let name = name(&format!("p/{key}"));
            proptest::prop_assert!(encode(&name).text == key || name == key.as_bytes());
        }
    }
}
