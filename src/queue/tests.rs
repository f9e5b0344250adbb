//! Tests of the queue: it blocks, it closes, it loses nothing.

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
fn the_first_item_can_be_looked_at_before_it_is_taken() {
    let (sender, receiver) = bounded(2, 1_000);
    let looking = receiver.clone();
    let seen = thread::spawn(move || looking.wait_for_first(|item: &Item| item.0));
    sender.send(Item(7)).expect("room");
    assert_eq!(seen.join().expect("no panic"), Some(7));
    assert_eq!(receiver.receive_blocking(), Some(Item(7)));
    drop(sender);
    assert_eq!(receiver.wait_for_first(|item: &Item| item.0), None);
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
fn many_change_hands_at_once_and_nobody_takes_all() {
    let (sender, receiver) = bounded(1_000, usize::MAX);
    sender.send_all((0..200).map(Item)).expect("room");
    let (mut hand, mut sizes) = (VecDeque::new(), Vec::new());
    while sizes.last() != Some(&0) {
        receiver.receive_some(2, &mut hand);
        sizes.push(hand.drain(..).count());
    }
    assert_eq!(sizes.iter().sum::<usize>(), 200);
    assert_eq!((sizes[0], sizes[sizes.len() - 2]), (200 / 8, 1));
}

#[test]
fn what_is_sent_first_is_taken_first_and_finds_room() {
    let (sender, receiver) = bounded(2, 100);
    sender.send(Item(1)).expect("room");
    sender.send(Item(2)).expect("room");
    sender.send_first(vec![Item(97), Item(98), Item(99)]);
    drop(sender);
    let order: Vec<usize> = std::iter::from_fn(|| receiver.receive_blocking())
        .map(|item| item.0)
        .collect();
    assert_eq!(order, [97, 98, 99, 1, 2]);
}

#[test]
fn what_nobody_will_take_is_dropped_with_the_last_receiver() {
    struct Holds(#[expect(dead_code, reason = "held for its own sake")] Arc<Sender<Holds>>);
    impl Weigh for Holds {
        fn weight_bytes(&self) -> usize {
            1
        }
    }
    let (sender, receiver) = bounded(2, 100);
    let sender = Arc::new(sender);
    sender.send(Holds(sender.clone())).map_err(|_| ()).expect("room");
    drop(receiver);
    assert_eq!(Arc::strong_count(&sender), 1);
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
