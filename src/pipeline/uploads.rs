//! The multipart uploads of a run: written down when they begin, and ended when nobody else has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{join_all, join3};
use sha2::{Digest as _, Sha256};

use super::{Resume, UploadRequest};
use crate::event::DETAIL;
use crate::store::{ObjectStore, StoreErrorKind, StoreResult, abort_strays, hex};
use crate::strategy::StrategyContext;
use crate::transfer::{Earlier, OpenUploads, TimeLimit, remove_temporary};

/// Time that aborting what is left over may take.
const SWEEP_LIMIT: Duration = Duration::from_secs(2);

/// The books of multipart uploads, written down if that is wanted and can be.
pub(super) fn open_uploads(request: &UploadRequest) -> OpenUploads {
    let Some(Resume { journal: path, stays }) = &request.resume else {
        return OpenUploads::default();
    };
    let transfer = &request.config.transfer;
    // What an object is made with when it begins; parts of another kind do not go together.
    let settings = serde_json::to_vec(&(&transfer.attributes, transfer.checksum)).unwrap_or_default();
    let settings = hex(&Sha256::digest(settings)[..8]);
    OpenUploads::with_journal(path, settings, *stays).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error,
            "what is begun cannot be written down; should this run be killed, the next one does not continue it");
        OpenUploads::default()
    })
}

/// Removes what an earlier run brought of an object that is not there any more. Of one that is, it may count for the next
/// run: this one did not come to it.
async fn give_up(earlier: &Earlier, uploads: &OpenUploads, store: &dyn ObjectStore) {
    let Earlier { upload_id, key, .. } = earlier;
    let is_gone = match store.head_object(key).await {
        Ok(head) => !earlier.is_of(&head.etag, head.size_bytes),
        Err(error) => error.kind == StoreErrorKind::NoSuchKey,
    };
    if !is_gone {
        return;
    }
    match remove_temporary(upload_id) {
        Ok(()) => uploads.remove(upload_id),
        Err(error) => tracing::warn!(%key, %error, "a temporary file of an earlier run stays"),
    }
}

/// Aborts uploads that no worker could end: its process was killed, its thread panicked, an earlier run began them for a
/// file that is another one now. Removes what earlier runs brought of objects that are gone. What is open of a run that is
/// stopped stays if it is to be left to the next one.
pub(super) fn sweep(context: &StrategyContext) {
    let uploads = &context.run.open_uploads;
    let is_out_of_time = context.run.time_limit.as_ref().is_some_and(TimeLimit::has_cut);
    let is_stopped = context.run.cancel.is_cancelled() || is_out_of_time;
    // What is left to the next run, also the search for what has no name, which would find what stays.
    let (mut begun, mut unanswered) = if context.run.leaves_uploads() {
        (Vec::new(), Vec::new())
    } else {
        (uploads.take(), uploads.take_unanswered())
    };
    let mut fetches = Vec::new();
    // A run that is stopped may not have come to their files.
    if !is_stopped {
        for earlier in uploads.take_all_earlier() {
            match earlier.identity {
                Some(_) => begun.push((earlier.upload_id, earlier.key)),
                None => fetches.push(earlier),
            }
        }
        unanswered.extend(uploads.take_all_earlier_unanswered());
    }
    let left = begun.len() + unanswered.len();
    if left == 0 && fetches.is_empty() {
        return;
    }
    let store = context.clients.shared().as_ref();
    let aborted = AtomicUsize::new(0);
    let count = |outcome: StoreResult<()>| match outcome {
        Ok(()) => {
            aborted.fetch_add(1, Ordering::Relaxed);
            true
        }
        Err(error) => {
            tracing::info!(target: DETAIL, %error, "an upload stays open");
            false
        }
    };
    context.clients.host().runtime.block_on(async {
        let aborts = begun.iter().map(|(upload_id, key)| async {
            if count(store.abort_multipart_upload(key, upload_id).await) {
                uploads.remove(upload_id);
            }
        });
        let searches = unanswered.iter().map(|(key, at, since)| async {
            if count(abort_strays(store, key, None, *since).await) {
                uploads.ended_without(key, *at);
            }
        });
        let ends = fetches.iter().map(|earlier| give_up(earlier, uploads, store));
        let all = join3(join_all(aborts), join_all(searches), join_all(ends));
        let _ = tokio::time::timeout(SWEEP_LIMIT, all).await;
    });
    let open = left - aborted.into_inner();
    if open > 0 {
        tracing::warn!(
            open,
            "multipart uploads stay open on the server because it cannot be asked to abort them"
        );
    }
}
