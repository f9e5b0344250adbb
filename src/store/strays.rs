//! Multipart uploads that the server has begun and whose name never reached us, because the answer was lost on
//! the way. Nobody else would ever abort them, and their parts cost money.

use std::time::Duration;

use super::{ObjectStore, StoreResult};
use crate::event::DETAIL;

/// Between sending a request and the server's noting it down; listings give seconds on some servers.
const SLACK: Duration = Duration::from_secs(2);

/// Aborts the uploads of `key` that began no longer than `since` ago, all but `known`: those are ours. Age is told by the
/// server's own clock; an upload whose age it does not tell stays, because it may be somebody else's.
///
/// # Errors
/// The listing or an abort that failed; what comes after it stays.
pub async fn abort_strays(
    store: &dyn ObjectStore,
    key: &str,
    known: Option<&str>,
    since: Duration,
) -> StoreResult<()> {
    let open = store.list_multipart_uploads(key).await?;
    let youngest = since + SLACK;
    let ours = open.iter().filter(|upload| {
        upload.key == key
            && known != Some(upload.upload_id.as_str())
            && upload.age.is_some_and(|age| age <= youngest)
    });
    for upload in ours {
        tracing::info!(target: DETAIL,
            key,
            upload_id = upload.upload_id,
            "an upload whose name was lost is aborted"
        );
        store.abort_multipart_upload(key, &upload.upload_id).await?;
    }
    Ok(())
}
