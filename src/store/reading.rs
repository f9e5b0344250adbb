//! Reads what is stored to its end, also where connections break on the way.

use super::{ByteSink, GetObject, ObjectHead, ObjectStore, StoreErrorKind, StoreResult};

/// Times that reading goes on where a connection broke.
const TRIES: u32 = 10;

/// What came.
#[derive(Debug)]
pub struct Through {
    /// How many bytes: another number than was wanted if the object has another length.
    pub bytes: u64,
    /// What came with them; none when they came in pieces.
    pub head: Option<ObjectHead>,
}

/// Hands what `wanted` names, of `length` bytes, on to `sink`: each byte once and in their order. Where a connection breaks
/// on the way, it goes on with what has not come, as long as each try brings something.
///
/// # Errors
/// Those of [`ObjectStore::get_object`]; [`StoreErrorKind::LocalWrite`] when `sink` fails.
pub async fn read_through(
    store: &dyn ObjectStore,
    wanted: &GetObject<'_>,
    length: u64,
    sink: &mut ByteSink<'_>,
) -> StoreResult<Through> {
    let first = wanted.range.map_or(0, |(first, _)| first);
    let (mut bytes, mut tries) = (0, 0);
    loop {
        let before = bytes;
        let request = GetObject {
            range: match before {
                0 => wanted.range,
                came => Some((first + came, length - came)),
            },
            ..*wanted
        };
        let outcome = store
            .get_object(&request, &mut |slice| {
                bytes += slice.len() as u64;
                sink(slice)
            })
            .await;
        tries += 1;
        match outcome {
            Ok(head) => {
                let head = (before == 0).then_some(head);
                return Ok(Through { bytes, head });
            }
            Err(error)
                if error.kind != StoreErrorKind::LocalWrite
                    && !error.is_fatal()
                    && before < bytes
                    && bytes < length
                    && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}
