//! What is in the bucket after an arm, asked of the server itself: keys, sizes, contents. And removing it again.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};

use super::files::Entry;
use super::report::{Finding, Severity};
use crate::config::Config;
use crate::error::Result;
use crate::pipeline::connect_with;
use crate::store::{ListRequest, ListedObject, ObjectStore, StoreResult, explain};

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
        let (host, connector, store) = connect_with(&self.config, &self.name, REMOVING)?;
        host.runtime
            .block_on(act(store.as_ref()))
            .map_err(|error| explain(&error, &self.name, &connector))
    }

    /// Compares what is below `prefix` with `expected`, which are the entries of each of `jobs`. The content of single
    /// PUTs is compared by ETag, which is their MD5 unless the server encrypts.
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
        let mut listed: BTreeMap<String, ListedObject> = self
            .with(async |store| list(store, prefix).await)?
            .into_iter()
            .map(|object| (object.key.clone(), object))
            .collect();
        let (mut missing, mut different) = (Vec::new(), Vec::new());
        for job in jobs {
            for entry in expected {
                let key = format!("{job}{}", entry.key);
                let by_content = entry.size <= multipart_threshold;
                match listed.remove(&key) {
                    None => missing.push(key),
                    Some(object) if object.size_bytes != entry.size => different.push(key),
                    Some(object)
                        if by_content
                            && is_md5(&object.etag)
                            && !object.etag.eq_ignore_ascii_case(&entry.md5) =>
                    {
                        different.push(key);
                    }
                    Some(_) => {}
                }
            }
        }
        let mut findings = Vec::new();
        for (what, keys) in [
            ("missing from the listing", missing),
            ("not what was sent", different),
            ("in the listing and never sent", listed.into_keys().collect()),
        ] {
            if let Some(first) = keys.first() {
                findings.push(wrong(format!(
                    "{} objects are {what}, the first is '{first}'",
                    keys.len()
                )));
            }
        }
        Ok(findings)
    }

    /// Removes everything below `prefix`, which is ours.
    ///
    /// # Errors
    /// The server cannot be asked, or does not let us.
    pub(super) fn remove(&self, prefix: &str) -> Result<()> {
        assert!(!prefix.is_empty(), "a prefix of our own");
        self.with(async |store| {
            let objects = list(store, prefix).await?;
            let removals = objects.iter().map(|object| store.delete_object(&object.key));
            let outcomes: Vec<_> = stream::iter(removals).buffer_unordered(REMOVING).collect().await;
            outcomes.into_iter().collect()
        })
    }
}

fn is_md5(etag: &str) -> bool {
    etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn list(store: &dyn ObjectStore, prefix: &str) -> StoreResult<Vec<ListedObject>> {
    let mut objects = Vec::new();
    let mut continuation = None;
    loop {
        let request = ListRequest {
            prefix,
            recursive: true,
            continuation: continuation.as_deref(),
            ..ListRequest::default()
        };
        let page = store.list_objects(&request).await?;
        objects.extend(page.objects);
        continuation = page.continuation;
        if continuation.is_none() {
            return Ok(objects);
        }
    }
}
