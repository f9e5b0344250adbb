//! Which small files go together in one request, where the server takes archives apart: pure decisions.
//!
//! The figures are those that MinIO's own batch replication and reference measurements use: 100 to 500 objects and
//! a few MiB an archive; more gains nothing, since the server spends its time per object.

/// Most objects of a batch.
pub const MAX_BATCH_OBJECTS: usize = 500;
/// Most bytes of content of a batch.
pub const MAX_BATCH_BYTES: u64 = 4 * 1024 * 1024;

/// True when an archive can carry `key` and the server will use it as it is. Servers clean paths: `a//b` and
/// `a/../b` would become other keys, and a name that ends in a slash a directory.
pub fn can_be_in_a_batch(key: &str) -> bool {
    !key.bytes().any(|byte| byte.is_ascii_control())
        && key.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// The longest prefix that ends in a slash and that all of `keys` share; empty when there is none.
pub fn common_directory<'a>(mut keys: impl Iterator<Item = &'a str>) -> &'a str {
    let Some(first) = keys.next() else { return "" };
    let mut length = first.rfind('/').map_or(0, |slash| slash + 1);
    for key in keys {
        while !key.starts_with(&first[..length]) {
            length = first[..length - 1].rfind('/').map_or(0, |slash| slash + 1);
        }
    }
    &first[..length]
}

/// Cuts things of these sizes, in their order, into runs that make a batch each.
pub fn cut<T>(items: Vec<T>, size_bytes: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        let size = size_bytes(&item);
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_BATCH_OBJECTS && bytes + size <= MAX_BATCH_BYTES => {
                bytes += size;
                batch.push(item);
            }
            _ => {
                bytes = size;
                batches.push(vec![item]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_survive_cleaning_are_taken() {
        for good in ["a", "a/b c", "\u{e9}/\u{1F680}", "...", ".hidden/x"] {
            assert!(can_be_in_a_batch(good), "{good}");
        }
        for bad in ["", "/a", "a//b", "a/", "./a", "a/../b", "..", "a\nb"] {
            assert!(!can_be_in_a_batch(bad), "{bad}");
        }
    }

    #[test]
    fn the_common_directory_ends_in_a_slash() {
        for (keys, directory) in [
            (&["x/y/a", "x/y/b"][..], "x/y/"),
            (&["x/yb/a", "x/ya/b"], "x/"),
            (&["x/a", "y/a"], ""),
            (&["a"], ""),
            (&["x/a/b", "x/a"], "x/"),
            (&[], ""),
        ] {
            assert_eq!(common_directory(keys.iter().copied()), directory, "{keys:?}");
        }
    }

    #[test]
    fn batches_are_bounded_by_objects_and_by_bytes_and_lose_nothing() {
        for size in [0_u64, 4_096, 65_536, MAX_BATCH_BYTES] {
            let batches = cut((0..1_234).collect(), |_| size);
            assert_eq!(
                batches.iter().flatten().copied().collect::<Vec<i32>>(),
                (0..1_234).collect::<Vec<_>>()
            );
            for batch in &batches {
                assert!(!batch.is_empty() && batch.len() <= MAX_BATCH_OBJECTS);
                assert!(batch.len() as u64 * size <= MAX_BATCH_BYTES);
            }
        }
    }
}
