//! Three sorted streams as one: what the source has, what is remembered, and what is stored, key by key. Flat memory.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::iter::Peekable;

use crate::store::ListedObject;

/// Something with a key.
pub(crate) trait Keyed {
    fn key(&self) -> &str;
}

impl Keyed for ListedObject {
    fn key(&self) -> &str {
        &self.key
    }
}

/// All that there is at one key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Joined<L, K> {
    pub(crate) local: Option<L>,
    pub(crate) known: Option<K>,
    pub(crate) stored: Option<ListedObject>,
}

/// Joins streams whose keys rise. What a stream has to say instead of a key is the error of the join, before any other key.
pub(crate) struct Join<A: Iterator, B: Iterator, C: Iterator> {
    local: Peekable<A>,
    known: Peekable<B>,
    stored: Peekable<C>,
}

impl<A, B, C, L, K, E> Join<A, B, C>
where
    A: Iterator<Item = Result<L, E>>,
    B: Iterator<Item = Result<K, E>>,
    C: Iterator<Item = Result<ListedObject, E>>,
    L: Keyed,
    K: Keyed,
{
    pub(crate) fn new(local: A, known: B, stored: C) -> Self {
        Self {
            local: local.peekable(),
            known: known.peekable(),
            stored: stored.peekable(),
        }
    }
}

/// Takes the next of `stream` if its key is `wanted` or it is an error.
fn take<T: Keyed, E>(
    stream: &mut Peekable<impl Iterator<Item = Result<T, E>>>,
    is_wanted: bool,
) -> Result<Option<T>, E> {
    if !is_wanted {
        return Ok(None);
    }
    stream.next().transpose()
}

/// The key that comes next, and whether it is that of each stream. A stream that failed comes first.
fn order<L: Keyed, K: Keyed, E>(
    local: Option<&Result<L, E>>,
    known: Option<&Result<K, E>>,
    stored: Option<&Result<ListedObject, E>>,
) -> Option<[bool; 3]> {
    fn key<T: Keyed, E>(item: Option<&Result<T, E>>) -> Option<&str> {
        // An error has no key: the empty one comes before all others.
        item.map(|item| item.as_ref().map_or("", Keyed::key))
    }
    let keys = [key(local), key(known), key(stored)];
    let least = keys.iter().flatten().min()?;
    Some(keys.map(|key| key.is_some_and(|key| key.cmp(least) == Ordering::Equal)))
}

impl<A, B, C, L, K, E> Iterator for Join<A, B, C>
where
    A: Iterator<Item = Result<L, E>>,
    B: Iterator<Item = Result<K, E>>,
    C: Iterator<Item = Result<ListedObject, E>>,
    L: Keyed,
    K: Keyed,
{
    type Item = Result<Joined<L, K>, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let wanted = order(self.local.peek(), self.known.peek(), self.stored.peek())?;
        let mut all = || {
            Ok(Joined {
                local: take(&mut self.local, wanted[0])?,
                known: take(&mut self.known, wanted[1])?,
                stored: take(&mut self.stored, wanted[2])?,
            })
        };
        Some(all())
    }
}

/// Names of which nobody knows what has become of them: what is stored at them and below them stays.
#[derive(Debug, Default)]
pub(crate) struct Shelters {
    names: BTreeSet<String>,
    /// What keys below them begin with.
    directories: BTreeSet<String>,
}

impl Shelters {
    /// What is stored at `key` stays, and what lies below it, whose keys begin with `prefix`.
    pub(crate) fn add(&mut self, key: String, prefix: String) {
        self.names.insert(key);
        self.directories.insert(prefix);
    }

    /// Forgets those that neither `key` nor any key behind it can be or lie below.
    pub(crate) fn pass(&mut self, key: &str) {
        while self.names.first().is_some_and(|first| first.as_str() < key) {
            self.names.pop_first();
        }
        let is_passed = |first: &String| first.as_str() < key && !key.starts_with(first.as_str());
        while self.directories.first().is_some_and(is_passed) {
            self.directories.pop_first();
        }
    }

    /// Whether `key` is one of them or lies below one. Keys are asked for in rising order.
    pub(crate) fn cover(&mut self, key: &str) -> bool {
        self.pass(key);
        let is_below = |first: &String| key.starts_with(first.as_str());
        self.names.first().is_some_and(|first| first == key) || self.directories.first().is_some_and(is_below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Key(&'static str);

    impl Keyed for Key {
        fn key(&self) -> &str {
            self.0
        }
    }

    fn stored(key: &str) -> ListedObject {
        ListedObject {
            key: key.to_owned(),
            size_bytes: 0,
            last_modified: None,
            etag: String::new(),
        }
    }

    type Shown = (Option<&'static str>, Option<&'static str>, Option<String>);

    fn join(
        local: &[&'static str],
        known: &[&'static str],
        listing: Vec<Result<&str, String>>,
    ) -> Vec<Result<Shown, String>> {
        Join::new(
            local.iter().map(|key| Ok(Key(key))),
            known.iter().map(|key| Ok(Key(key))),
            listing.into_iter().map(|key| key.map(stored)),
        )
        .map(|joined| {
            let Joined { local, known, stored } = joined?;
            Ok((
                local.map(|key| key.0),
                known.map(|key| key.0),
                stored.map(|object| object.key),
            ))
        })
        .collect()
    }

    #[test]
    fn what_has_one_key_comes_together() {
        let joined = join(&["a", "b", "d"], &["b", "c"], vec![Ok("a"), Ok("c"), Ok("e")]);
        let owned = |key: &str| Some(key.to_owned());
        assert_eq!(
            joined,
            [
                Ok((Some("a"), None, owned("a"))),
                Ok((Some("b"), Some("b"), None)),
                Ok((None, Some("c"), owned("c"))),
                Ok((Some("d"), None, None)),
                Ok((None, None, owned("e"))),
            ]
        );
    }

    #[test]
    fn a_listing_that_breaks_off_is_said_before_anything_else_follows_from_it() {
        let joined = join(&["a", "b"], &[], vec![Ok("a"), Err("lost".to_owned())]);
        assert_eq!(joined.len(), 3);
        assert_eq!(joined[1], Err("lost".to_owned()));
    }

    #[test]
    fn what_lies_below_a_shelter_is_covered_and_nothing_else_is() {
        let mut shelters = Shelters::default();
        assert!(!shelters.cover("a"));
        // A link called `b` is met before the keys that lie between it and what is below it.
        shelters.add("b".to_owned(), "b/".to_owned());
        for (key, covered) in [
            ("b", true),
            ("b!", false),
            ("b.txt", false),
            ("b/", true),
            ("b/x/y", true),
            ("b0", false),
            ("c", false),
        ] {
            assert_eq!(shelters.cover(key), covered, "{key}");
        }
        assert!(
            shelters.names.is_empty() && shelters.directories.is_empty(),
            "what is behind is forgotten"
        );
        shelters.add("d".to_owned(), "d/".to_owned());
        shelters.add("d!".to_owned(), "d!/".to_owned());
        assert!(shelters.cover("d!/x") && shelters.cover("d/x"));
    }

    proptest::proptest! {
        #[test]
        fn every_key_of_every_stream_comes_once(
            sets in proptest::collection::vec(proptest::collection::btree_set("[ab/!]{1,3}", 0..8), 3)
        ) {
            let leaked = |set: &BTreeSet<String>| -> Vec<&'static str> {
                set.iter().map(|key| &*Box::leak(key.clone().into_boxed_str())).collect()
            };
            let (local, known, listing) = (leaked(&sets[0]), leaked(&sets[1]), leaked(&sets[2]));
            let joined = join(&local, &known, listing.iter().map(|key| Ok(*key)).collect());
            let rows: Vec<Shown> = joined.into_iter().map(|row| row.expect("no errors")).collect();
            proptest::prop_assert_eq!(rows.iter().filter_map(|row| row.0).collect::<Vec<_>>(), local);
            proptest::prop_assert_eq!(rows.iter().filter_map(|row| row.1).collect::<Vec<_>>(), known);
            let found: Vec<&str> = rows.iter().filter_map(|row| row.2.as_deref()).collect();
            proptest::prop_assert_eq!(found, listing);
            let union: BTreeSet<&String> = sets.iter().flatten().collect();
            proptest::prop_assert_eq!(rows.len(), union.len());
        }
    }
}
