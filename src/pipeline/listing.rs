//! The listing of what is stored, as an iterator: a thread of its own asks for the next page while this one is compared.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio_util::sync::CancellationToken;

use super::connect::open_store;
use crate::config::RetrySettings;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Connector, ListedObject, Listing, explain};

/// Pages that may wait.
const PAGES_AHEAD: usize = 2;

/// What the thread says. A listing without an end is not one.
enum Message {
    Page(Vec<ListedObject>),
    End,
}

/// What to list, where, how patiently, and until when.
struct Start {
    connector: Connector,
    retry: RetrySettings,
    bucket: String,
    prefix: String,
    cancel: CancellationToken,
}

/// All objects below a prefix, in the order of their keys. Asks for nothing before the first of them is wanted.
pub(crate) struct Stored {
    start: Option<Start>,
    pages: Option<Receiver<Result<Message>>>,
    page: std::vec::IntoIter<ListedObject>,
}

impl Stored {
    /// Everything in `bucket` whose key begins with `prefix`.
    pub(crate) fn new(
        (connector, retry): (&Connector, RetrySettings),
        (bucket, prefix): (&str, &str),
        cancel: &CancellationToken,
    ) -> Self {
        Self {
            start: Some(Start {
                connector: connector.clone(),
                retry,
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
                cancel: cancel.clone(),
            }),
            pages: None,
            page: Vec::new().into_iter(),
        }
    }

    fn start(&mut self) {
        if let Some(start) = self.start.take() {
            let (sender, receiver) = sync_channel(PAGES_AHEAD);
            self.pages = Some(receiver);
            thread::spawn(move || {
                if let Err(error) = list(&start, &sender) {
                    // Whoever does not listen any more does not want to know.
                    let _ = sender.send(Err(error));
                }
            });
        }
    }
}

fn list(start: &Start, pages: &SyncSender<Result<Message>>) -> Result<()> {
    let Start {
        connector, bucket, ..
    } = start;
    let (host, store) = open_store(connector, start.retry, (bucket, 1))?;
    let mut listing = Listing::new(start.prefix.as_str());
    loop {
        let page = host.runtime.block_on(async {
            tokio::select! {
                biased;
                () = start.cancel.cancelled() => Err(Error::new(ErrorKind::Interrupted, "stopped while listing")),
                page = listing.next_page(store.as_ref()) => {
                    page.map_err(|error| explain(&error, bucket, connector))
                }
            }
        })?;
        let is_last = page.is_none();
        if pages.send(Ok(page.map_or(Message::End, Message::Page))).is_err() || is_last {
            return Ok(());
        }
    }
}

impl Iterator for Stored {
    type Item = Result<ListedObject>;

    fn next(&mut self) -> Option<Self::Item> {
        self.start();
        loop {
            if let Some(object) = self.page.next() {
                return Some(Ok(object));
            }
            match self.pages.as_ref()?.recv() {
                Ok(Ok(Message::Page(page))) => self.page = page.into_iter(),
                Ok(Ok(Message::End)) => {
                    self.pages = None;
                    return None;
                }
                Ok(Err(error)) => {
                    self.pages = None;
                    return Some(Err(error));
                }
                Err(_) => {
                    self.pages = None;
                    return Some(Err(Error::new(ErrorKind::Internal, "the listing was lost")));
                }
            }
        }
    }
}
