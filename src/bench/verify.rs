//! What is in the bucket after an arm, asked of the server itself: keys, sizes, contents. And removing it again.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};
use md5::{Digest as _, Md5};
use tokio_util::sync::CancellationToken;

use super::files::Entry;
use super::report::{Finding, Severity};
use crate::config::Config;
use crate::error::Result;
use crate::pipeline::{find_server, open_store};
use crate::store::{GetObject, ListedObject, Listing, ObjectStore, StoreResult, explain};

/// Objects that are read back where ETags say nothing.
const SAMPLED: usize = 3;
/// Requests in flight while objects are removed.
const REMOVING: usize = 16;

/// A bucket to look into, not through the relay.
pub(super) struct Bucket {
    config: Config,
    name: String,
}

/// What an arm left in the bucket is not what it should be.
fn wrong(reason: String) -> Finding {
    Finding {
        severity: Severity::Invalid,
        code: "not-verified".to_owned(),
        reason,
        fix: "look at the server: it said yes to objects that it does not have as they were sent".to_owned(),
    }
}

impl Bucket {
    pub(super) fn new(config: Config, name: &str) -> Self {
        Self {
            config,
            name: name.to_owned(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Does something with the bucket, on an event loop of its own.
    fn with<T>(&self, act: impl AsyncFnOnce(&dyn ObjectStore) -> StoreResult<T>) -> Result<T> {
        let connector = find_server(&self.config, &CancellationToken::new())?;
        let retry = self.config.transfer.retry;
        let (host, store) = open_store(&connector, retry, (&self.name, REMOVING))?;
        host.runtime
            .block_on(act(store.as_ref()))
            .map_err(|error| explain(&error, &self.name, &connector))
    }

    /// Compares what is below `prefix` with `expected`, which are the entries of each of `jobs`. The content of single
    /// PUTs is compared by ETag, which is their MD5 on most servers; where it is not, and of what went in parts, a sample is
    /// read back.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub(super) fn verify(
        &self,
        prefix: &str,
        jobs: impl Iterator<Item = String>,
        expected: &[Entry],
        multipart_threshold: u64,
    ) -> Result<Vec<Finding>> {
        let listed = self.with(async |store| list(store, prefix).await)?;
        let mut look = Look::at(listed, jobs, expected, multipart_threshold);
        if self.has_wrong_content(&look.in_parts, 1)? {
            look.different.extend(look.in_parts.drain(..).map(|(key, _)| key));
        }
        // An ETag that looks like an MD5 and is none is that of a server that encrypts, unless the content is wrong, too.
        if self.has_wrong_content(&look.doubtful, SAMPLED)? {
            look.different.extend(look.doubtful.drain(..).map(|(key, _)| key));
        }
        Ok(look.findings())
    }

    /// Whether one of `sample` of these objects, read back, is not what was sent.
    fn has_wrong_content(&self, objects: &[(String, &Entry)], sample: usize) -> Result<bool> {
        let step = (objects.len() / sample).max(1);
        for (key, entry) in objects.iter().step_by(step).take(sample) {
            let mut md5 = Md5::new();
            let mut sink = |bytes: &[u8]| {
                md5.update(bytes);
                Ok(())
            };
            let request = GetObject::whole(key);
            self.with(async |store| store.get_object(&request, &mut sink).await)?;
            if crate::store::hex(&md5.finalize()) != entry.md5 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes everything below `prefix`, which is ours.
    ///
    /// # Errors
    /// The server cannot be asked, or does not let us.
    pub(super) fn remove(&self, prefix: &str) -> Result<()> {
        assert!(!prefix.is_empty(), "a prefix of our own");
        self.with(async |store| {
            for upload in store.list_multipart_uploads(prefix).await? {
                store
                    .abort_multipart_upload(&upload.key, &upload.upload_id)
                    .await?;
            }
            let objects = list(store, prefix).await?;
            let removals = objects.iter().map(|object| store.delete_object(&object.key));
            let outcomes: Vec<_> = stream::iter(removals).buffer_unordered(REMOVING).collect().await;
            outcomes.into_iter().collect()
        })
    }
}

/// What a listing shows, beside what was sent.
struct Look<'e> {
    missing: Vec<String>,
    different: Vec<String>,
    /// Whose ETag is not their MD5.
    doubtful: Vec<(String, &'e Entry)>,
    /// Whose ETag cannot be their MD5.
    in_parts: Vec<(String, &'e Entry)>,
    unknown: Vec<String>,
}

impl<'e> Look<'e> {
    fn at(
        listed: Vec<ListedObject>,
        jobs: impl Iterator<Item = String>,
        expected: &'e [Entry],
        multipart_threshold: u64,
    ) -> Self {
        let mut look = Self {
            missing: Vec::new(),
            different: Vec::new(),
            doubtful: Vec::new(),
            in_parts: Vec::new(),
            unknown: Vec::new(),
        };
        let mut listed: BTreeMap<String, ListedObject> = listed
            .into_iter()
            .map(|object| (object.key.clone(), object))
            .collect();
        for job in jobs {
            for entry in expected {
                let key = format!("{job}{}", entry.key);
                match listed.remove(&key) {
                    None => look.missing.push(key),
                    Some(object) if object.size_bytes != entry.size => look.different.push(key),
                    Some(_) if entry.size > multipart_threshold => look.in_parts.push((key, entry)),
                    Some(object) if !is_md5(&object.etag) => look.doubtful.push((key, entry)),
                    Some(object) if object.etag.eq_ignore_ascii_case(&entry.md5) => {}
                    Some(_) => look.doubtful.push((key, entry)),
                }
            }
        }
        look.unknown = listed.into_keys().collect();
        look
    }

    fn findings(&self) -> Vec<Finding> {
        let kinds = [
            ("missing from the listing", &self.missing),
            ("not what was sent", &self.different),
            ("in the listing and never sent", &self.unknown),
        ];
        let finding = |(what, keys): (&str, &Vec<String>)| {
            let first = keys.first()?;
            Some(wrong(format!(
                "{} objects are {what}, the first is '{first}'",
                keys.len()
            )))
        };
        kinds.into_iter().filter_map(finding).collect()
    }
}

fn is_md5(etag: &str) -> bool {
    etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn list(store: &dyn ObjectStore, prefix: &str) -> StoreResult<Vec<ListedObject>> {
    let mut listing = Listing::new(prefix);
    let mut objects = Vec::new();
    while let Some(page) = listing.next_page(store).await? {
        objects.extend(page);
    }
    Ok(objects)
}
