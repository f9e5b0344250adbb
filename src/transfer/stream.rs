//! A stream of unknown length as tasks: one PUT when it is short, else parts that grow with it.
//!
//! Runs on the feeder's thread. What is read is held until it is stored, within the memory budget; parts too
//! large for that wait in an unlinked temporary file.

use std::io::{self, Read, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::multipart::Upload;
use super::shared::TransferShared;
use super::step::StepError;
use super::task::{Content, FileTask, ObjectSpec, PartTask, Task};
use super::ticket::Ticket;
use crate::event::{Failure, FailureKind, Outcome};
use crate::plan::{MAX_PARTS, StreamParts};
use crate::queue::Sender;
use crate::store::{Body, FileRange, SLICE_BYTES};

/// One piece of the stream and whether it is the last.
struct Piece {
    body: Body,
    held: OwnedSemaphorePermit,
    last: bool,
}

/// Cuts the stream into pieces; reads one byte ahead to know the last one.
struct Cutter<'a> {
    reader: &'a mut dyn Read,
    shared: &'a TransferShared,
    ahead: Option<u8>,
}

impl Cutter<'_> {
    fn next(&mut self, part_bytes: u64) -> io::Result<Piece> {
        // Two parts in flight beside the one being read, or it waits on disk.
        let in_memory = part_bytes.saturating_mul(3) <= self.shared.budget_bytes();
        let wanted = if in_memory { part_bytes } else { SLICE_BYTES as u64 };
        let held = futures::executor::block_on(self.shared.hold(wanted));
        let body = if in_memory {
            self.in_memory(part_bytes)?
        } else {
            self.spooled(part_bytes)?
        };
        let mut byte = [0];
        let last = loop {
            match self.reader.read(&mut byte) {
                Ok(0) => break true,
                Ok(_) => {
                    self.ahead = Some(byte[0]);
                    break false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        Ok(Piece { body, held, last })
    }

    /// The byte read ahead and then the stream, at most `part_bytes`.
    fn part(&mut self, part_bytes: u64) -> impl Read {
        let ahead: Option<u8> = self.ahead.take();
        let ahead = io::Cursor::new(ahead.map_or_else(Vec::new, |byte| vec![byte]));
        ahead.chain(&mut *self.reader).take(part_bytes)
    }

    fn in_memory(&mut self, part_bytes: u64) -> io::Result<Body> {
        let mut bytes = Vec::new();
        self.part(part_bytes).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    fn spooled(&mut self, part_bytes: u64) -> io::Result<Body> {
        let mut file = tempfile::tempfile()?;
        let length = io::copy(&mut self.part(part_bytes), &mut file)?;
        file.flush()?;
        Ok(Body::from(FileRange {
            file,
            offset: 0,
            length,
            identity: None,
        }))
    }
}

/// Reads `reader` to its end and enqueues what it makes. Returns when the last task is enqueued, or when
/// nobody takes tasks any more; the outcome is in the ticket's record.
pub fn read_stream(
    reader: &mut dyn Read,
    key: &str,
    ticket: Ticket,
    parts: StreamParts,
    shared: &TransferShared,
    tasks: &Sender<Task>,
) {
    let mut cutter = Cutter {
        reader,
        shared,
        ahead: None,
    };
    let first = match cutter.next(parts.part_bytes(1).unwrap_or(SLICE_BYTES as u64)) {
        Ok(first) => first,
        Err(error) => {
            return ticket.settle(match broken(&error) {
                StepError::Failed(failure) => Outcome::Failed { failure },
                _ => Outcome::Cancelled,
            });
        }
    };
    let object = |body: Body| {
        let size_bytes = body.length();
        Arc::new(ObjectSpec {
            key: key.to_owned(),
            content: Content::Held(body),
            size_bytes,
            only_as: None,
        })
    };
    if first.last {
        let task = FileTask {
            held: Some(first.held),
            ..FileTask::new(object(first.body), ticket)
        };
        let _ = tasks.send(Task::File(task));
        return;
    }
    let empty = Body::Bytes(Bytes::new());
    let upload = Upload::of_stream(object(empty), ticket);
    send_parts(first, &mut cutter, &upload, parts, tasks);
}

fn send_parts(
    first: Piece,
    cutter: &mut Cutter<'_>,
    upload: &Arc<Upload>,
    parts: StreamParts,
    tasks: &Sender<Task>,
) {
    let mut piece = first;
    loop {
        let last = piece.last;
        let number = upload.issue(last);
        let held = Some((piece.body, piece.held));
        if tasks
            .send(Task::Part(PartTask {
                upload: upload.clone(),
                number,
                held,
            }))
            .is_err()
            || last
        {
            return;
        }
        let next = match parts.part_bytes(number + 1) {
            Some(part_bytes) => cutter.next(part_bytes).map_err(|error| broken(&error)),
            None => Err(StepError::Failed(Failure::new(
                FailureKind::Upload,
                format!("the stream is longer than {MAX_PARTS} parts; start again with a larger --part-size"),
            ))),
        };
        piece = match next {
            Ok(piece) => piece,
            Err(trouble) => {
                // A last part without bytes: the worker that gets it finds the trouble and ends the upload.
                upload.fail(trouble);
                let number = upload.issue(true);
                let _ = tasks.send(Task::Part(PartTask {
                    upload: upload.clone(),
                    number,
                    held: None,
                }));
                return;
            }
        };
    }
}

/// A reader's word that the run was stopped, as the inner error of an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("the run was stopped")]
pub struct Stopped;

fn broken(error: &io::Error) -> StepError {
    if error.get_ref().is_some_and(|inner| inner.is::<Stopped>()) {
        return StepError::Cancelled;
    }
    StepError::Failed(Failure::new(
        FailureKind::Unreadable,
        format!("the stream cannot be read: {error}"),
    ))
}
