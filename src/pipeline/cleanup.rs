//! Multipart uploads that nobody will end: found, and aborted.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::{Effect, find_server, look_at_bucket, open_store};
use crate::config::{BucketPolicy, Config};
use crate::error::Result;
use crate::source::S3Url;
use crate::store::{ObjectStore, OpenUpload, StoreResult, explain};

/// Aborts that are in flight at a time.
const IN_FLIGHT: usize = 16;

/// What became of an upload.
#[derive(Clone, Debug, PartialEq)]
pub enum Cleaned {
    /// It is aborted.
    Aborted,
    /// It would be.
    Planned,
    /// It stays: it is younger than that, or the server does not say how old it is.
    TooYoung,
    /// It could not be aborted, and why.
    Failed(String),
}

/// Looks at every open upload of keys that begin with the key of `target`, and aborts those that are at least `older_than`
/// old by the server's clock. Tells `told` of each of them, in the order of the keys.
///
/// # Errors
/// The server cannot be asked, or the bucket does not exist.
pub fn cleanup(
    config: &Config,
    target: &S3Url,
    older_than: Duration,
    effect: Effect,
    mut told: impl FnMut(&OpenUpload, Cleaned),
) -> Result<()> {
    let connector = find_server(config, &CancellationToken::new())?;
    let retry = config.transfer.retry;
    let bucket = (target.bucket.as_str(), BucketPolicy::MustExist);
    look_at_bucket(&connector, retry, bucket, &CancellationToken::new())?;
    let (host, store) = open_store(&connector, retry, (&target.bucket, IN_FLIGHT))?;
    let explained = |error| explain(&error, &target.bucket, &connector);
    let uploads = host
        .runtime
        .block_on(all_uploads(store.as_ref(), &target.key))
        .map_err(explained)?;
    let is_old = |upload: &OpenUpload| match upload.age {
        Some(age) => age >= older_than,
        None => older_than.is_zero(),
    };
    let outcomes = stream::iter(uploads).map(|upload| async {
        let cleaned = match effect {
            _ if !is_old(&upload) => Cleaned::TooYoung,
            Effect::Plan => Cleaned::Planned,
            Effect::Apply => match store.abort_multipart_upload(&upload.key, &upload.upload_id).await {
                Ok(()) => Cleaned::Aborted,
                Err(error) => Cleaned::Failed(error.to_string()),
            },
        };
        (upload, cleaned)
    });
    let mut outcomes = outcomes.buffered(IN_FLIGHT);
    host.runtime.block_on(async {
        while let Some((upload, cleaned)) = outcomes.next().await {
            told(&upload, cleaned);
        }
    });
    Ok(())
}

/// All open uploads of keys that begin with `prefix`. MinIO finds them by whole keys or without a prefix only.
async fn all_uploads(store: &dyn ObjectStore, prefix: &str) -> StoreResult<Vec<OpenUpload>> {
    let mut uploads = store.list_multipart_uploads(prefix).await?;
    if !prefix.is_empty() {
        let mut known: BTreeSet<String> = uploads.iter().map(|upload| upload.upload_id.clone()).collect();
        let all = store.list_multipart_uploads("").await?;
        let of_prefix = all.into_iter().filter(|upload| upload.key.starts_with(prefix));
        uploads.extend(of_prefix.filter(|upload| known.insert(upload.upload_id.clone())));
    }
    uploads.sort_by(|a, b| a.key.cmp(&b.key).then(b.age.cmp(&a.age)));
    Ok(uploads)
}
