//! The one bounded queue between the feeder and the workers; the only backpressure.
//!
//! Bounded by items and by the memory that queued tasks take, so that neither a million names nor a thousand
//! very long ones pile up. Enqueuing blocks when it is full. Many consumers, blocking or async, on any
//! runtime. The queue is generic: that each task ends in exactly one outcome is the task's own promise (a
//! dropped task settles itself, see `transfer::Ticket`).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a queued item weighs.
pub trait Weigh {
    /// Bytes of memory that it holds while it waits.
    fn weight_bytes(&self) -> usize;
}

struct Queued<T> {
    item: T,
    /// Gives the bytes back when the item is taken.
    _room: OwnedSemaphorePermit,
}

/// The feeder's end. Dropping it closes the queue: what is in it is still taken.
pub struct Sender<T> {
    channel: async_channel::Sender<Queued<T>>,
    room: Arc<Semaphore>,
    room_bytes: usize,
}

/// A worker's end.
pub struct Receiver<T> {
    channel: async_channel::Receiver<Queued<T>>,
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self {
            channel: self.channel.clone(),
        }
    }
}

/// A queue of at most `items` items and `bytes` bytes, both at least 1.
pub fn bounded<T: Weigh>(items: usize, bytes: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = async_channel::bounded(items.max(1));
    let room_bytes = bytes.clamp(1, u32::MAX as usize);
    let room = Arc::new(Semaphore::new(room_bytes));
    (
        Sender {
            channel: sender,
            room,
            room_bytes,
        },
        Receiver { channel: receiver },
    )
}

impl<T: Weigh> Sender<T> {
    /// Enqueues, and blocks while the queue is full. An item heavier than the whole queue waits until it is
    /// empty and then goes alone. Must not be called on a runtime's thread.
    ///
    /// # Errors
    /// Gives the item back when there is no receiver left.
    pub fn send(&self, item: T) -> Result<(), T> {
        let weight = item.weight_bytes().clamp(1, self.room_bytes);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let room = futures::executor::block_on(self.room.clone().acquire_many_owned(weight));
        let Ok(room) = room else { return Err(item) };
        self.channel
            .send_blocking(Queued { item, _room: room })
            .map_err(|error| error.0.item)
    }
}

impl<T> Receiver<T> {
    /// The next item, or `None` when the queue is closed and empty. Cancel-safe: a dropped wait takes nothing.
    pub async fn receive(&self) -> Option<T> {
        self.channel.recv().await.ok().map(|queued| queued.item)
    }

    /// The same for a thread without a runtime.
    pub fn receive_blocking(&self) -> Option<T> {
        self.channel.recv_blocking().ok().map(|queued| queued.item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[derive(Debug, PartialEq)]
    struct Item(usize);

    impl Weigh for Item {
        fn weight_bytes(&self) -> usize {
            self.0
        }
    }

    /// Sends `items` on a thread and reports each one that got in.
    fn feed(sender: Sender<Item>, items: Vec<usize>) -> mpsc::Receiver<usize> {
        let (done, entered) = mpsc::channel();
        thread::spawn(move || {
            for item in items {
                sender.send(Item(item)).expect("a receiver is there");
                let _ = done.send(item);
            }
        });
        entered
    }

    #[test]
    fn enqueuing_blocks_when_the_items_are_full() {
        let (sender, receiver) = bounded(2, 1_000);
        let entered = feed(sender, vec![1, 2, 3]);
        assert_eq!((entered.recv(), entered.recv()), (Ok(1), Ok(2)));
        assert!(entered.try_recv().is_err(), "the third waits");
        assert_eq!(receiver.receive_blocking(), Some(Item(1)));
        assert_eq!(entered.recv(), Ok(3));
    }

    #[test]
    fn enqueuing_blocks_when_the_bytes_are_full() {
        let (sender, receiver) = bounded(100, 10);
        let entered = feed(sender, vec![6, 5, 1_000]);
        assert_eq!(entered.recv(), Ok(6));
        assert_eq!(receiver.receive_blocking(), Some(Item(6)));
        assert_eq!(entered.recv(), Ok(5));
        assert_eq!(receiver.receive_blocking(), Some(Item(5)));
        assert_eq!(
            receiver.receive_blocking(),
            Some(Item(1_000)),
            "one that is too heavy goes alone"
        );
        assert_eq!(receiver.receive_blocking(), None, "closed and empty");
    }

    #[test]
    fn a_sender_without_receivers_gets_its_item_back() {
        let (sender, receiver) = bounded(1, 10);
        drop(receiver);
        assert_eq!(sender.send(Item(1)), Err(Item(1)));
    }

    #[test]
    fn every_item_reaches_exactly_one_of_many_consumers() {
        let (sender, receiver) = bounded(8, 1_000_000);
        let entered = feed(sender, (1..=1_000).collect());
        let consumers: Vec<_> = (0..4)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || {
                    std::iter::from_fn(|| receiver.receive_blocking())
                        .map(|item| item.0)
                        .sum::<usize>()
                })
            })
            .collect();
        let sum: usize = consumers
            .into_iter()
            .map(|consumer| consumer.join().expect("no panic"))
            .sum();
        assert_eq!(sum, 500_500);
        assert_eq!(entered.iter().count(), 1_000);
    }
}
