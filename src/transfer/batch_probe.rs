//! Whether this server takes archives apart, tried out before anything depends on it.
//!
//! Called by the pipeline, once a run, when batches are wanted.

use super::archive::{Archive, are_stored};
use super::shared::TransferShared;
use crate::store::{ListRequest, ObjectProperties, ObjectStore, ServerKind, StoreResult};

const MTIME: &str = "1700000000.123456789";

/// Stores an archive of two objects under a name of its own below `directory`, looks for them, and removes what it
/// made. None when the server took the archive apart and kept what the objects carry; else the reason why not.
///
/// # Errors
/// When the server cannot be asked.
pub async fn probe_batches(
    store: &dyn ObjectStore,
    shared: &TransferShared,
    directory: &str,
) -> StoreResult<Option<String>> {
    if shared.connector.server() == ServerKind::Aws {
        return Ok(Some("Amazon S3 keeps archives as they are".to_owned()));
    }
    let place = format!("{directory}.s3haul-probe-{:016x}/", fastrand::u64(..));
    let verdict = try_out(store, shared, &place).await;
    if let Err(error) = clean_up(store, &place).await {
        tracing::warn!(%error, "the objects below '{place}', which tried out batches, cannot be removed");
    }
    verdict
}

async fn try_out(
    store: &dyn ObjectStore,
    shared: &TransferShared,
    place: &str,
) -> StoreResult<Option<String>> {
    let no = |reason: &str| Ok(Some(reason.to_owned()));
    let algorithm = shared.settings.checksum;
    let properties = ObjectProperties {
        content_type: "text/plain".into(),
        metadata: vec![("mtime", MTIME.to_owned())],
        ..ObjectProperties::default()
    };
    let mut archive = Archive::new(place, 0);
    let names = [format!("{place}one"), format!("{place}two")];
    for name in &names {
        if archive.add(name, name.as_bytes(), &properties).is_err() {
            return no("the target's name does not fit into an archive");
        }
    }
    let Ok((request, packed)) = archive.finish(algorithm) else {
        return no("the target's name does not fit into an archive");
    };
    if let Err(error) = store.put_object(&request).await {
        return if error.is_fatal() {
            Err(error)
        } else {
            Ok(Some(error.to_string()))
        };
    }
    if are_stored(store, &packed).await? != [true, true] {
        return no("the server keeps archives as they are");
    }
    let head = store.head_object(&names[0]).await?;
    if head.metadata.get("mtime").map(String::as_str) != Some(MTIME) {
        return no("the server takes archives apart, but loses the files' modification times");
    }
    Ok(None)
}

async fn clean_up(store: &dyn ObjectStore, place: &str) -> StoreResult<()> {
    let page = store
        .list_objects(&ListRequest {
            prefix: place,
            recursive: true,
            ..ListRequest::default()
        })
        .await?;
    for object in page.objects {
        store.delete_object(&object.key).await?;
    }
    Ok(())
}
