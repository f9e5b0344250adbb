//! A page of a listing, from its XML: read once, from the first byte to the last, and nothing is taken for one that is not.

use std::time::SystemTime;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

use crate::store::sdk::listed_name;
use crate::store::{ListPage, ListedObject, StoreError, StoreErrorKind, StoreResult};

/// What is known of the page so far. Names are as they came: what says how they are encoded may come behind them.
#[derive(Default)]
struct Found {
    objects: Vec<ListedObject>,
    prefixes: Vec<String>,
    is_truncated: Option<bool>,
    is_encoded: bool,
    continuation: Option<String>,
}

fn doubtful(what: impl std::fmt::Display) -> StoreError {
    StoreError::new(
        StoreErrorKind::NotCredible,
        format!("the answer is no listing: {what}"),
    )
}

/// The page in `xml`.
pub(in crate::store) fn page_in(xml: &[u8]) -> StoreResult<ListPage> {
    let Found {
        mut objects,
        prefixes,
        is_truncated,
        is_encoded,
        continuation,
    } = read(xml)?;
    let is_truncated = is_truncated.ok_or_else(|| doubtful("it does not say whether it goes on"))?;
    if is_truncated && continuation.is_none() {
        let message = "a listing says it goes on but not where";
        return Err(StoreError::new(StoreErrorKind::NotCredible, message));
    }
    if is_encoded {
        for object in &mut objects {
            object.key = listed_name(true, Some(&object.key));
        }
    }
    Ok(ListPage {
        objects,
        common_prefixes: prefixes
            .iter()
            .map(|prefix| listed_name(is_encoded, Some(prefix)))
            .collect(),
        continuation,
    })
}

/// An element that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Page,
    IsTruncated,
    EncodingType,
    Continuation,
    Object,
    Key,
    ETag,
    Size,
    LastModified,
    Group,
    Prefix,
    Other,
}

impl Element {
    fn of(name: &[u8]) -> Self {
        match name {
            b"ListBucketResult" => Self::Page,
            b"IsTruncated" => Self::IsTruncated,
            b"EncodingType" => Self::EncodingType,
            b"NextContinuationToken" => Self::Continuation,
            b"Contents" => Self::Object,
            b"Key" => Self::Key,
            b"ETag" => Self::ETag,
            b"Size" => Self::Size,
            b"LastModified" => Self::LastModified,
            b"CommonPrefixes" => Self::Group,
            b"Prefix" => Self::Prefix,
            _ => Self::Other,
        }
    }
}

fn read(xml: &[u8]) -> StoreResult<Found> {
    let mut reader = Reader::from_reader(xml);
    let mut found = Found::default();
    let (mut object, mut has_size, mut is_whole) = (nothing(), false, false);
    // Elements that are open; none is deeper than an owner's in an object's.
    let mut open = Vec::with_capacity(4);
    let mut text = String::new();
    loop {
        match reader.read_event().map_err(doubtful)? {
            Event::Start(start) => {
                let element = Element::of(start.local_name().as_ref());
                if open.is_empty() && (element != Element::Page || is_whole) {
                    let name = String::from_utf8_lossy(start.name().into_inner()).into_owned();
                    return Err(doubtful(format_args!("it is a '{name}'")));
                }
                open.push(element);
                text.clear();
            }
            Event::Text(piece) => text.push_str(&piece.decode().map_err(doubtful)?),
            Event::CData(piece) => text.push_str(&piece.decode().map_err(doubtful)?),
            Event::GeneralRef(entity) => text.push_str(&resolved(&entity)?),
            Event::End(_) => {
                match open[..] {
                    [_, Element::Object] => {
                        if object.key.is_empty() || !has_size {
                            return Err(doubtful("an object without a key or a size"));
                        }
                        found.objects.push(std::mem::replace(&mut object, nothing()));
                        has_size = false;
                    }
                    [_, Element::Object, field] => {
                        has_size |= field == Element::Size;
                        note(&mut object, field, &text)?;
                    }
                    [_, Element::Group, Element::Prefix] => found.prefixes.push(text.clone()),
                    [_, Element::IsTruncated] => {
                        let said = text.parse();
                        found.is_truncated =
                            Some(said.map_err(|_| doubtful(format_args!("'{text}' is no yes or no")))?);
                    }
                    [_, Element::EncodingType] => found.is_encoded = text == "url",
                    [_, Element::Continuation] => found.continuation = Some(text.clone()),
                    [_] => is_whole = true,
                    _ => {}
                }
                open.pop();
                text.clear();
            }
            Event::Eof if is_whole => return Ok(found),
            Event::Eof => return Err(doubtful("it breaks off")),
            _ => {}
        }
    }
}

fn nothing() -> ListedObject {
    ListedObject {
        key: String::new(),
        size_bytes: 0,
        last_modified: None,
        etag: String::new(),
    }
}

/// Notes what `field` says of an object.
fn note(object: &mut ListedObject, field: Element, text: &str) -> StoreResult<()> {
    match field {
        Element::Key => text.clone_into(&mut object.key),
        Element::ETag => text.trim_matches('"').clone_into(&mut object.etag),
        Element::Size => {
            object.size_bytes = text
                .parse()
                .map_err(|_| doubtful(format_args!("'{text}' is no size")))?;
        }
        Element::LastModified => {
            let time = text.parse::<jiff::Timestamp>().ok();
            object.last_modified = time.map(SystemTime::from);
        }
        _ => {}
    }
    Ok(())
}

/// What stands for `&...;`.
fn resolved(entity: &BytesRef<'_>) -> StoreResult<String> {
    if let Some(letter) = entity.resolve_char_ref().map_err(doubtful)? {
        return Ok(letter.to_string());
    }
    let name = entity.decode().map_err(doubtful)?;
    let known = resolve_predefined_entity(&name);
    known
        .map(str::to_owned)
        .ok_or_else(|| doubtful(format_args!("'&{name};' stands for nothing")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>a</Prefix>\n\
        <IsTruncated>true</IsTruncated><NextContinuationToken>x&amp;y==</NextContinuationToken>\
        <Contents><Key>a%2Fb+c&#x41;</Key><LastModified>2026-11-22T06:02:00.500Z</LastModified>\
        <ETag>&quot;abc&#34;</ETag><Size>12</Size><Owner><ID>1</ID><Key>no</Key></Owner>\
        <StorageClass>STANDARD</StorageClass></Contents>\
        <Contents><Key><![CDATA[a<]]></Key><ETag>\"d-2\"</ETag><Size>0</Size></Contents>\
        <CommonPrefixes><Prefix>a%20/</Prefix></CommonPrefixes>\
        <EncodingType>url</EncodingType></ListBucketResult>";

    #[test]
    fn everything_that_a_page_says_is_found() {
        let page = page_in(PAGE.as_bytes()).expect("a page");
        let [first, second] = &page.objects[..] else {
            panic!("{page:?}")
        };
        assert_eq!((first.key.as_str(), first.size_bytes), ("a/b cA", 12));
        assert_eq!(first.etag, "abc");
        let time = first
            .last_modified
            .expect("a time")
            .duration_since(SystemTime::UNIX_EPOCH);
        assert_eq!(time.expect("after 1970").as_millis(), 1_795_327_320_500);
        assert_eq!((second.key.as_str(), second.etag.as_str()), ("a<", "d-2"));
        assert_eq!(page.common_prefixes, ["a /"]);
        assert_eq!(page.continuation.as_deref(), Some("x&y=="));
    }

    #[test]
    fn what_is_not_a_whole_page_is_none() {
        for end in (0..PAGE.len()).filter(|end| PAGE.is_char_boundary(*end)) {
            assert!(page_in(&PAGE.as_bytes()[..end]).is_err(), "cut at {end}");
        }
        for other in [
            "",
            "OK",
            "<html><body>hello</body></html>",
            "<ListBucketResult/>",
            "<Error><Code>SlowDown</Code></Error>",
            "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            "<ListBucketResult><Contents><Size>many</Size></Contents></ListBucketResult>",
            "<ListBucketResult><Contents><Key>&nothing;</Key></Contents></ListBucketResult>",
            "<ListBucketResult><Contents></ListBucketResult></Contents>",
            "<ListBucketResult></ListBucketResult>",
            "<ListBucketResult><IsTruncated> TRUE</IsTruncated></ListBucketResult>",
            "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>",
            "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Size>1</Size></Contents></ListBucketResult>",
            "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult><html></html>",
        ] {
            let error = page_in(other.as_bytes()).expect_err(other);
            assert_eq!(error.kind, StoreErrorKind::NotCredible, "{other}");
        }
        let empty = page_in(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
        assert!(empty.expect("a page").objects.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_a_page_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = page_in(&bytes);
            let _ = page_in(&[b"<ListBucketResult>", &bytes[..], b"</ListBucketResult>"].concat());
        }
    }
}
