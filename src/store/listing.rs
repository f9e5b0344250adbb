//! A whole listing, page by page, and only if it is one: what follows from a key that is not listed must not follow from
//! a server's mistake.

use super::{ListPage, ListRequest, ListedObject, ObjectStore, StoreError, StoreErrorKind, StoreResult};

/// Pages without an entry that may follow one another: servers stop at what was deleted, too.
const MOST_EMPTY_PAGES: u32 = 1_000;

/// All objects below a prefix, in the order of their keys.
#[derive(Debug)]
pub struct Listing {
    prefix: String,
    /// None before the first page.
    last_key: Option<String>,
    next: Next,
    empty_pages: u32,
}

#[derive(Debug)]
enum Next {
    First,
    At(String),
    End,
}

fn doubtful(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::NotCredible, message)
}

impl Listing {
    /// Everything whose key begins with `prefix`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            last_key: None,
            next: Next::First,
            empty_pages: 0,
        }
    }

    /// The next objects; none at the end of the listing, and only there.
    ///
    /// # Errors
    /// What the server answers, and [`StoreErrorKind::NotCredible`] where pages do not make a listing: keys that are not
    /// in order or outside of the prefix, pages that lead nowhere or in a circle.
    pub async fn next_page(&mut self, store: &dyn ObjectStore) -> StoreResult<Option<Vec<ListedObject>>> {
        loop {
            let continuation = match &self.next {
                Next::First => None,
                Next::At(place) => Some(place.as_str()),
                Next::End => return Ok(None),
            };
            let request = ListRequest {
                prefix: &self.prefix,
                recursive: true,
                continuation,
                ..ListRequest::default()
            };
            let page = store.list_objects(&request).await?;
            let objects = self.take(page)?;
            if !objects.is_empty() {
                return Ok(Some(objects));
            }
        }
    }

    /// The objects of `page`, if it is the next one.
    fn take(&mut self, page: ListPage) -> StoreResult<Vec<ListedObject>> {
        for object in &page.objects {
            if !object.key.starts_with(&self.prefix) {
                let (key, prefix) = (&object.key, &self.prefix);
                return Err(doubtful(format!("the listing of '{prefix}' names '{key}'")));
            }
            if let Some(last) = self.last_key.as_ref().filter(|last| **last >= object.key) {
                let key = &object.key;
                return Err(doubtful(format!("the listing names '{key}' behind '{last}'")));
            }
            self.last_key = Some(object.key.clone());
        }
        self.empty_pages = if page.objects.is_empty() {
            self.empty_pages + 1
        } else {
            0
        };
        self.next = match (page.continuation, &self.next) {
            (None, _) => Next::End,
            (Some(place), Next::At(before)) if place == *before => {
                return Err(doubtful("the listing leads back to where it was".to_owned()));
            }
            (Some(_), _) if self.empty_pages > MOST_EMPTY_PAGES => {
                return Err(doubtful("the listing does not end".to_owned()));
            }
            (Some(place), _) => Next::At(place),
        };
        Ok(page.objects)
    }
}

/// Reads `bytes` as a page, and lines of them as keys, as servers write them, with empty lines as ends of pages.
#[cfg(fuzzing)]
pub(crate) fn fuzz_listing(bytes: &[u8]) {
    let _ = super::direct::page_in(bytes);
    let text = String::from_utf8_lossy(bytes);
    let mut listing = Listing::new("p/");
    let mut last = String::new();
    for (number, page) in text.split("\n\n").enumerate() {
        let object = |line: &str| ListedObject {
            key: super::sdk::listed_name(true, Some(line)),
            size_bytes: 0,
            last_modified: None,
            etag: String::new(),
        };
        let page = ListPage {
            objects: page.lines().map(object).collect(),
            common_prefixes: Vec::new(),
            continuation: Some(number.to_string()),
        };
        let Ok(objects) = listing.take(page) else { return };
        for object in objects {
            assert!(object.key.starts_with("p/") && object.key > last);
            last = object.key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str], continuation: Option<&str>) -> ListPage {
        let object = |key: &&str| ListedObject {
            key: (*key).to_owned(),
            size_bytes: 0,
            last_modified: None,
            etag: String::new(),
        };
        ListPage {
            objects: keys.iter().map(object).collect(),
            common_prefixes: Vec::new(),
            continuation: continuation.map(str::to_owned),
        }
    }

    /// How many of these pages are taken before one is refused, and why it is.
    fn taken(pages: Vec<ListPage>) -> (usize, String) {
        let mut listing = Listing::new("p/");
        for (number, page) in pages.into_iter().enumerate() {
            if let Err(error) = listing.take(page) {
                assert_eq!(error.kind, StoreErrorKind::NotCredible);
                return (number, error.message);
            }
        }
        (usize::MAX, String::new())
    }

    #[test]
    fn pages_that_follow_each_other_are_taken() {
        let pages = vec![
            page(&["p/", "p/a"], Some("1")),
            page(&[], Some("2")),
            page(&["p/a!", "p/a/b"], None),
        ];
        assert_eq!(taken(pages).0, usize::MAX);
    }

    #[test]
    fn pages_that_do_not_are_refused() {
        for (second, says) in [
            (page(&["p/a"], None), "names 'p/a' behind 'p/b'"),
            (page(&["p/b"], None), "names 'p/b' behind 'p/b'"),
            (page(&["p/d", "p/c"], None), "names 'p/c' behind 'p/d'"),
            (page(&["q"], None), "names 'q'"),
            (page(&["p/c"], Some("1")), "leads back"),
        ] {
            let (number, message) = taken(vec![page(&["p/a", "p/b"], Some("1")), second]);
            assert_eq!(number, 1);
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_listing_that_goes_on_for_ever_without_an_entry_is_refused() {
        let pages = (0..2_000)
            .map(|number| page(&[], Some(&number.to_string())))
            .collect();
        assert_eq!(taken(pages).0, MOST_EMPTY_PAGES as usize);
    }
}
