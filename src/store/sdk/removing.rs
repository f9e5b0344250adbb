//! Many objects removed by one request, and what the server says of each of them.

use std::collections::{HashMap, HashSet};

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::SdkStore;
use crate::store::body::Progress;
use crate::store::{ObjectStore as _, StoreError, StoreErrorKind, StoreResult};

/// XML 1.0 has no way to write these.
fn is_beyond_xml(key: &str) -> bool {
    key.chars().any(|letter| {
        (letter.is_control() && !matches!(letter, '\t' | '\n')) || matches!(letter, '\u{FFFE}' | '\u{FFFF}')
    })
}

impl SdkStore {
    pub(super) async fn delete_all(&self, keys: &[String]) -> StoreResult<Vec<StoreResult<()>>> {
        let together: Vec<&String> = keys.iter().filter(|key| !is_beyond_xml(key)).collect();
        let answers = self.delete_together(&together).await?;
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            outcomes.push(match answers.of(key) {
                Some(answer) => answer,
                None if is_beyond_xml(key) => self.delete_object(key).await,
                None => Err(StoreError::new(
                    StoreErrorKind::NotCredible,
                    "the server did not say what has become of it",
                )),
            });
        }
        Ok(outcomes)
    }

    async fn delete_together(&self, keys: &[&String]) -> StoreResult<Answers> {
        if keys.is_empty() {
            return Ok(Answers::default());
        }
        let identifiers: Result<Vec<ObjectIdentifier>, _> = keys
            .iter()
            .map(|key| ObjectIdentifier::builder().key(key.as_str()).build())
            .collect();
        let delete = identifiers.and_then(|objects| Delete::builder().set_objects(Some(objects)).build());
        let delete = delete.map_err(|error| StoreError::new(StoreErrorKind::Refused, error.to_string()))?;
        let call = self.client.delete_objects().bucket(&self.bucket).delete(delete);
        let output = self
            .send(&Progress::start(true), 0, self.limits.answer_limit, call.send())
            .await?;
        let deleted = output.deleted().iter().filter_map(|deleted| deleted.key());
        let failed = output.errors().iter().filter_map(|error| {
            let says = format!(
                "{}: {}",
                error.code().unwrap_or("no code"),
                error.message().unwrap_or("no reason")
            );
            Some((error.key()?.to_owned(), (error.code().map(str::to_owned), says)))
        });
        Ok(Answers {
            deleted: deleted.map(str::to_owned).collect(),
            failed: failed.collect(),
        })
    }
}

/// What the server said of which key.
#[derive(Default)]
struct Answers {
    deleted: HashSet<String>,
    /// Code and message.
    failed: HashMap<String, (Option<String>, String)>,
}

impl Answers {
    /// None when it said nothing.
    fn of(&self, key: &str) -> Option<StoreResult<()>> {
        if let Some((code, message)) = self.failed.get(key) {
            if code.as_deref() == Some("NoSuchKey") {
                return Some(Ok(()));
            }
            let mut error = StoreError::new(StoreErrorKind::Refused, message.clone());
            error.code.clone_from(code);
            return Some(Err(error));
        }
        self.deleted.contains(key).then_some(Ok(()))
    }
}
