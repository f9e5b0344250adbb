//! What stands in the queue: a whole small file, or one part of a large one.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::OwnedSemaphorePermit;

use super::look::Look;
use super::multipart::Upload;
use super::place::Place;
use super::step::{Done, StepError};
use super::ticket::Ticket;
use crate::identity::FileIdentity;
use crate::plan::PartPlan;
use crate::queue::{Sender, Weigh};
use crate::store::{Body, Checksum};

/// Where an object's bytes come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Content {
    /// A local file, opened anew for each task and checked to be the same.
    Path(#[serde(with = "path_bytes")] PathBuf),
    /// Bytes that this process holds, from standard input. They cannot travel to another process.
    #[serde(skip)]
    Held(Body),
    /// An object of the bucket, which is to become a file here.
    Stored(Box<Place>),
}

/// What is to become one object, or one file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObjectSpec {
    /// Object key.
    pub key: String,
    /// Its bytes.
    pub content: Content,
    /// How many, when it was looked at, or as was presumed.
    pub size_bytes: u64,
    /// What the file has to be, if its key says what is in it.
    pub only_as: Option<Box<OnlyAs>>,
}

/// What a file was when it was read: it is sent as that or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlyAs {
    /// Its state.
    pub identity: FileIdentity,
    /// Of all of its content, by the algorithm that it is sent with; a CRC, for those of parts make that of the whole. Times
    /// do not tell of everything: who writes through a mapping, or twice within a tick of the clock, may leave none.
    pub checksum: Checksum,
    /// All of it, if it is small and was kept: it need not be read again. Another process reads it again.
    #[serde(skip)]
    pub content: Option<Bytes>,
}

/// A file that one worker uploads whole.
pub struct FileTask {
    /// What to upload.
    pub object: Arc<ObjectSpec>,
    /// Its books.
    pub ticket: Ticket,
    /// What has to be found out first: it may be stored already.
    pub look: Option<Box<Look>>,
    /// Share of the memory budget that held bytes take.
    pub held: Option<OwnedSemaphorePermit>,
    /// Where its parts go if it turns out to be large: nobody has looked at its size yet. While this exists, the queue
    /// does not close.
    pub queue: Option<Arc<Sender<Task>>>,
}

impl ObjectSpec {
    /// Fails when the file is in another state than it has to be in.
    pub(super) fn expect(&self, found: &FileIdentity) -> Result<(), StepError> {
        match &self.only_as {
            Some(only_as) if only_as.identity != *found => Err(StepError::Changed),
            _ => Ok(()),
        }
    }

    /// Bytes of its content that are kept.
    pub(crate) fn kept_bytes(&self) -> usize {
        let kept = self.only_as.as_ref().and_then(|only_as| only_as.content.as_ref());
        kept.map_or(0, Bytes::len)
    }

    /// Its content as it was kept, and of which state of the file that is.
    pub(super) fn kept(&self) -> Option<(Bytes, FileIdentity)> {
        let only_as = self.only_as.as_ref()?;
        Some((only_as.content.clone()?, only_as.identity))
    }

    /// The checksum that its content has to have, if that is known.
    pub(super) fn expected(&self) -> Option<&Checksum> {
        self.only_as.as_ref().map(|only_as| &only_as.checksum)
    }

    /// Whether another try can help after `outcome`.
    pub(super) fn is_worth_a_try_after(&self, outcome: &Result<Done, StepError>) -> bool {
        let is_file = matches!(self.content, Content::Path(_));
        match outcome {
            // It would have to become again what it was.
            Err(StepError::Changed) => is_file && self.only_as.is_none(),
            Err(StepError::Restart(_)) => is_file,
            _ => false,
        }
    }

    /// Where it is written, if it comes from the bucket.
    pub(super) fn place(&self) -> Option<&Place> {
        match &self.content {
            Content::Stored(place) => Some(place),
            Content::Path(_) | Content::Held(_) => None,
        }
    }
}

impl FileTask {
    /// A file whose size is known.
    pub fn new(object: Arc<ObjectSpec>, ticket: Ticket) -> Self {
        Self {
            object,
            ticket,
            look: None,
            held: None,
            queue: None,
        }
    }
}

/// One part of a large file.
pub struct PartTask {
    pub(super) upload: Arc<Upload>,
    /// From 1.
    pub(super) number: u32,
    /// Bytes that this process holds for it (streams only).
    pub(super) held: Option<(Body, OwnedSemaphorePermit)>,
}

/// The unit of work.
pub enum Task {
    /// A whole file.
    File(FileTask),
    /// Small files that go together, at most 500.
    Batch(Vec<FileTask>),
    /// One part.
    Part(PartTask),
}

impl Task {
    /// Key of the object that it belongs to, or of the first one.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::File(file) => &file.object.key,
            Self::Batch(files) => files.first().map_or("", |file| &file.object.key),
            Self::Part(part) => &part.upload.object.key,
        }
    }

    /// The same without what it only hands out as parts: those are tasks of their own.
    pub(crate) fn bytes_itself(&self, threshold_bytes: u64) -> u64 {
        match self {
            Self::File(file) if file.queue.is_some() && file.object.size_bytes > threshold_bytes => 0,
            _ => self.size_bytes(),
        }
    }

    /// Whether it is an object that comes down.
    pub(crate) fn is_fetched(&self) -> bool {
        matches!(self, Self::File(file) if file.object.place().is_some())
    }

    /// Bytes of content that it is to send, as far as that is known.
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Self::File(file) => file.object.size_bytes,
            Self::Batch(files) => files.iter().map(|file| file.object.size_bytes).sum(),
            Self::Part(part) => match (&part.held, part.upload.plan) {
                (Some((body, _)), _) => body.length(),
                (None, Some(plan)) => plan.range(part.number).1,
                (None, None) => 0,
            },
        }
    }

    /// Notes the static chunk that the task stands in.
    #[must_use]
    pub(crate) fn in_chunk(mut self, number: usize) -> Self {
        let files = match &mut self {
            Self::File(file) => std::slice::from_mut(file),
            Self::Batch(files) => files,
            Self::Part(_) => &mut [],
        };
        for file in files {
            file.ticket.note(|record| record.chunk = Some(number));
        }
        self
    }
}

/// Bytes that a task takes in the queue beside its texts.
const OWN_WEIGHT: usize = 256;

impl Weigh for FileTask {
    fn weight_bytes(&self) -> usize {
        let path = match &self.object.content {
            Content::Path(path) => path.as_os_str().len(),
            Content::Held(_) => 0,
            Content::Stored(place) => place.path().as_os_str().len(),
        };
        let only_as = self.object.only_as.as_deref();
        let only_as = only_as.map_or(0, |only_as| size_of_val(only_as) + only_as.checksum.value.len());
        OWN_WEIGHT + path + self.object.key.len() + only_as + self.object.kept_bytes()
    }
}

impl Weigh for Task {
    fn weight_bytes(&self) -> usize {
        match self {
            Self::File(file) => file.weight_bytes(),
            Self::Batch(files) => files.iter().map(Weigh::weight_bytes).sum(),
            Self::Part(_) => OWN_WEIGHT,
        }
    }
}

/// The tasks that a large file makes.
pub fn parts(object: Arc<ObjectSpec>, ticket: Ticket, plan: PartPlan) -> impl Iterator<Item = Task> {
    let upload = Upload::of_file(object, plan, ticket);
    (1..=plan.count()).map(move |number| {
        Task::Part(PartTask {
            upload: upload.clone(),
            number,
            held: None,
        })
    })
}

/// Paths as base64 of their bytes: JSON has no other way to carry all of them.
pub(super) mod path_bytes {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::{Deserialize, Deserializer, PathBuf, Serialize, Serializer};

    pub(in crate::transfer) fn serialize<S: Serializer>(
        path: &std::path::Path,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        BASE64.encode(path.as_os_str().as_bytes()).serialize(serializer)
    }

    pub(in crate::transfer) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathBuf, D::Error> {
        use serde::de::Error as _;
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64
            .decode(text)
            .map_err(|_| D::Error::custom("a path that is not base64"))?;
        Ok(PathBuf::from(OsString::from_vec(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    #[test]
    fn any_path_survives_the_pipe_to_a_worker_process() {
        let path = PathBuf::from(OsString::from_vec(b"/tmp/gr\xFC\xDF\n%".to_vec()));
        let object = ObjectSpec {
            key: "k".into(),
            content: Content::Path(path.clone()),
            size_bytes: 1,
            only_as: None,
        };
        let line = serde_json::to_string(&object).expect("serialises");
        let back: ObjectSpec = serde_json::from_str(&line).expect("deserialises");
        assert!(matches!(back.content, Content::Path(back) if back == path));
    }

    #[test]
    fn held_bytes_refuse_to_travel() {
        let content = Content::Held(Body::Bytes(bytes::Bytes::new()));
        assert!(serde_json::to_string(&content).is_err());
    }
}
