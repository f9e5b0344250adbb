//! What everything else needs: an answer, a clock, objects that are written, read and listed.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::{Examiner, Found, is_refusal};
use crate::config::ChecksumAlgorithm;
use crate::store::{
    GetObject, ListRequest, ObjectProperties, Payload, PutObject, StoreError, StoreErrorKind, StoreResult,
    Stored,
};
use crate::units::spoken;

/// A clock that differs by more is worth a word; servers refuse requests at 15 minutes.
const REMARKABLE_SKEW: Duration = Duration::from_mins(5);
/// The object that most checks look at.
const OBJECT: &str = "object";
const OBJECT_BYTES: usize = 4_000;
/// A time as uploads store it, with a name as restores read it.
const MTIME: (&str, &str) = ("mtime", "1700000000.123456789");

/// Bytes that nobody else has stored.
pub(super) fn random(bytes: usize) -> Bytes {
    let mut content = vec![0; bytes];
    fastrand::fill(&mut content);
    content.into()
}

impl Examiner<'_> {
    /// A request that stores `content` under a name of the examination's own.
    pub(super) fn object(&mut self, name: &str, content: &Bytes) -> PutObject {
        PutObject {
            key: self.place.key(name),
            payload: Payload::new(content.clone().into(), self.algorithm),
            properties: ObjectProperties {
                content_type: "application/octet-stream".into(),
                metadata: vec![(MTIME.0, MTIME.1.to_owned())],
                ..ObjectProperties::default()
            },
            if_none_match: false,
        }
    }

    pub(super) async fn put(&mut self, name: &str, content: &Bytes) -> StoreResult<(String, Stored)> {
        let request = self.object(name, content);
        let stored = self.store.put_object(&request).await?;
        Ok((request.key, stored))
    }

    /// Bytes of an object, as its HEAD says; none where there is no right to ask or no object.
    pub(super) async fn size_of(&self, key: &str) -> StoreResult<Option<u64>> {
        match self.store.head_object(key).await {
            Ok(head) => Ok(Some(head.size_bytes)),
            Err(error)
                if matches!(
                    error.kind,
                    StoreErrorKind::AccessDenied | StoreErrorKind::NoSuchKey
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether `request` brings `expected` and nothing else.
    pub(super) async fn brings(&self, request: &GetObject<'_>, expected: &[u8]) -> StoreResult<bool> {
        let mut left = expected;
        let mut sink = |bytes: &[u8]| {
            left = left
                .strip_prefix(bytes)
                .ok_or_else(|| io::Error::other("other bytes"))?;
            Ok(())
        };
        match self.store.get_object(request, &mut sink).await {
            Ok(_) => Ok(left.is_empty()),
            Err(error) if error.kind == StoreErrorKind::LocalWrite => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The bucket was looked at before the first check.
    pub(super) fn reach(&self) -> Found {
        let region = self.connector.region();
        let server = self.connector.server_name().unwrap_or("a server without a name");
        let address = match self.connector.address_of(self.bucket) {
            Some((url, true)) => format!("path style: {url}"),
            Some((url, false)) => format!("virtual-hosted style: {url}"),
            None => self.connector.endpoint(),
        };
        Found::works(format!("{server}, {address}, signed for region {region}"))
    }

    pub(super) async fn clock(&mut self) -> StoreResult<Found> {
        let key = self.place.key("nothing");
        let before = SystemTime::now();
        // What is not there is answered with an error, and errors carry the server's time.
        let answer = self.blunt.head_object(&key).await;
        let here = before + before.elapsed().unwrap_or_default() / 2;
        let there = match answer {
            Ok(_) => return Ok(Found::fails("an object is found that nobody has stored")),
            Err(error)
                if matches!(
                    error.kind,
                    StoreErrorKind::NoSuchKey | StoreErrorKind::AccessDenied
                ) =>
            {
                error.server_time
            }
            Err(error) => return Err(error),
        };
        let Some(there) = there else {
            return Ok(Found::skipped("the server does not tell its time"));
        };
        self.server_time = Some(there);
        let (apart, way) = match there.duration_since(here) {
            Ok(ahead) => (ahead, "ahead of"),
            Err(behind) => (behind.duration(), "behind"),
        };
        if apart > REMARKABLE_SKEW {
            let why = format!("the server's clock is {} {way} this machine's", spoken(apart));
            return Ok(Found::fails(why).with_hint("set the clocks, for instance with NTP"));
        }
        // The server tells whole seconds.
        if apart < Duration::from_secs(2) {
            return Ok(Found::works("the same time as here"));
        }
        let apart = spoken(apart);
        Ok(Found::works(format!("{apart} {way} this machine's")))
    }

    /// An object and an empty one. The checksum that the server takes is found on the way.
    pub(super) async fn write(&mut self) -> StoreResult<Found> {
        let wanted = self.config.transfer.checksum;
        let others = ChecksumAlgorithm::ALL
            .into_iter()
            .filter(|other| *other != wanted);
        let content = random(OBJECT_BYTES);
        let mut refused: Option<StoreError> = None;
        let mut is_stored = false;
        for algorithm in std::iter::once(wanted).chain(others) {
            self.algorithm = algorithm;
            match self.put(OBJECT, &content).await {
                Ok(_) => {
                    is_stored = true;
                    break;
                }
                Err(error) if is_refusal(&error) => refused = refused.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        if let (Some(error), false) = (&refused, is_stored) {
            return Err(error.clone());
        }
        let (empty, _) = self.put("empty", &Bytes::new()).await?;
        let key = self.place.key(OBJECT);
        for (key, expected) in [(&key, OBJECT_BYTES as u64), (&empty, 0)] {
            match self.store.head_object(key).await {
                Ok(head) if head.size_bytes != expected => {
                    let found = head.size_bytes;
                    return Ok(Found::fails(format!(
                        "{expected} bytes were sent, {found} are there"
                    )));
                }
                Err(error) if error.kind == StoreErrorKind::NoSuchKey => {
                    return Ok(Found::fails("an object that was just stored is not there"));
                }
                Err(error) if error.kind != StoreErrorKind::AccessDenied => return Err(error),
                _ => {}
            }
        }
        Ok(match refused {
            None => Found::works("an object and an empty one"),
            Some(_) => Found::works(format!(
                "an object and an empty one, with {} instead of {}",
                self.algorithm.name(),
                wanted.name()
            )),
        })
    }

    pub(super) async fn metadata(&mut self) -> StoreResult<Found> {
        let key = self.place.key(OBJECT);
        let head = match self.store.head_object(&key).await {
            Err(error) if error.kind == StoreErrorKind::AccessDenied => {
                return Ok(Found::skipped("no right to read"));
            }
            outcome => outcome?,
        };
        if head.metadata.get(MTIME.0).map(String::as_str) == Some(MTIME.1) {
            return Ok(Found::works("the time of modification comes back"));
        }
        Ok(Found::unsupported(
            "metadata is lost, and with it the times of files",
        ))
    }

    pub(super) async fn read(&mut self) -> StoreResult<Found> {
        let content = random(OBJECT_BYTES);
        let (key, _) = self.put("read", &content).await?;
        if !self.brings(&GetObject::whole(&key), &content).await? {
            return Ok(Found::fails("other bytes come back than were stored"));
        }
        let range = GetObject {
            range: Some((1_000, 500)),
            ..GetObject::whole(&key)
        };
        if !self.brings(&range, &content[1_000..1_500]).await? {
            return Ok(Found::fails("other bytes come back than those of the range"));
        }
        Ok(Found::works("the bytes that were stored, whole and by range"))
    }

    /// Sizes, pages, a place to begin at, and one level.
    pub(super) async fn list(&mut self) -> StoreResult<Found> {
        let mut expected = Vec::new();
        for (name, bytes) in [("list/a", 1), ("list/b", 2), ("list/c", 3)] {
            let (key, _) = self.put(name, &random(bytes)).await?;
            expected.push((key, bytes as u64));
        }
        let prefix = format!("{}list/", self.place.prefix());
        let all = ListRequest {
            prefix: &prefix,
            recursive: true,
            ..ListRequest::default()
        };
        if self.listed(&all).await?.0 != expected {
            return Ok(Found::fails("what was just stored is not listed as it is"));
        }
        let first = ListRequest {
            max_keys: Some(2),
            ..all
        };
        let (page, next) = self.listed(&first).await?;
        if page != expected[..2] || next.is_none() {
            return Ok(Found::fails("a page of two objects out of three is not that"));
        }
        let second = ListRequest {
            continuation: next.as_deref(),
            ..all
        };
        if self.listed(&second).await? != (expected[2..].to_vec(), None) {
            return Ok(Found::fails("the second page of a listing is not the rest of it"));
        }
        let behind = ListRequest {
            start_after: Some(&expected[1].0),
            ..all
        };
        if self.listed(&behind).await?.0 != expected[2..] {
            return Ok(Found::fails(
                "a listing does not begin behind the key that it should",
            ));
        }
        let level = ListRequest {
            prefix: self.place.prefix(),
            ..ListRequest::default()
        };
        let level = self.store.list_objects(&level).await?;
        if level.common_prefixes != [prefix] {
            return Ok(Found::fails("a listing of one level is not that"));
        }
        self.can_list = true;
        Ok(Found::works("sizes, pages and levels"))
    }

    /// Keys and sizes of a page, and where the next one is.
    async fn listed(&self, request: &ListRequest<'_>) -> StoreResult<(Vec<(String, u64)>, Option<String>)> {
        let page = self.store.list_objects(request).await?;
        let objects = page
            .objects
            .into_iter()
            .map(|object| (object.key, object.size_bytes));
        Ok((objects.collect(), page.continuation))
    }
}
