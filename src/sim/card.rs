//! The embedded server's cards: one 8 GiB "RTX 2070" at the demo's scale, whose use is read from the runners that play
//! it; in tests several, or none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::memory::{Memory, Places};
use crate::residency::bytes::{Bytes, GIB};
use crate::residency::host::{Card, CardProcess, Cards};

/// Up to this size the card's memory is made at the start.
const MADE_AT_ONCE: Bytes = Bytes(2 * GIB);

/// So many cards a server has at most.
pub(crate) const MOST: usize = 4;

/// Bytes on each card.
pub(crate) type OnCards = [u64; MOST];

/// A hold on the cards for whoever reads it: the GPU probe of the demo.
#[derive(Debug, Clone)]
pub struct CardReader {
    total: Bytes,
    count: usize,
    seats: Arc<Mutex<Seats>>,
    memory: Option<Arc<Memory>>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, Place>,
}

/// What one runner holds of the card.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its process; `None` in the virtual loader, which has no processes.
    pid: Option<u32>,
    /// The device buffers it was given.
    on: OnCards,
}

/// A runner's place on the card; free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u64,
    seats: Arc<Mutex<Seats>>,
}

impl CardReader {
    pub(crate) fn new(total: Bytes) -> CardReader {
        CardReader { total, count: 1, seats: Arc::default(), memory: None }
    }

    /// So many cards of that size, at most [`MOST`]; for runners without processes.
    pub(crate) fn several(total: Bytes, count: usize) -> CardReader {
        CardReader { count: count.min(MOST), ..CardReader::new(total) }
    }

    /// How many cards there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// A card with memory that is really there, for runners that are processes. Unless it is large it is made now, by
    /// a thread of its own.
    pub(crate) fn with_memory(total: Bytes) -> CardReader {
        let memory = Memory::new(total);
        if let Some(memory) = memory.clone().filter(|_| total <= MADE_AT_ONCE) {
            // Without a thread the first loads make it.
            drop(std::thread::Builder::new().name("card".to_owned()).spawn(move || memory.make()));
        }
        CardReader { memory, ..CardReader::new(total) }
    }

    /// Places in the card's memory for so many bytes; `None` where runners have their own.
    pub(crate) fn places(&self, vram: Bytes) -> Option<Places> {
        self.memory.as_ref().map(|memory| memory.places(vram))
    }

    /// All memory of one.
    pub fn total(&self) -> Bytes {
        self.total
    }

    /// Reads the card now: what each runner has filled of the device buffers it was given. Reads `/proc`; fast.
    pub fn read(&self) -> Cards {
        // A thread that panicked with the lock held cannot have left the map half written.
        let taken: Vec<Place> =
            self.seats.lock().unwrap_or_else(PoisonError::into_inner).taken.values().copied().collect();
        let empty = Card { name: "RTX 2070".to_owned(), total: self.total, ..Card::default() };
        let mut cards = vec![empty; self.count];
        for Place { pid, on } in taken {
            let mut held = pid.map_or(u64::MAX, |pid| match &self.memory {
                Some(_) => written_by(pid).0,
                None => memory_of(pid, Bytes(on.iter().sum())).0,
            });
            for (card, on) in cards.iter_mut().zip(on) {
                let used = Bytes(held.min(on));
                held -= used.0;
                card.used += used;
                if let Some(pid) = pid.filter(|_| used > Bytes::ZERO) {
                    card.processes.push(CardProcess { pid, used: Some(used) });
                }
            }
        }
        for card in &mut cards {
            card.free = self.total.minus(card.used);
        }
        Cards::Known(cards)
    }

    /// How much of the machine's RAM plays VRAM now; to be subtracted from what programs use.
    pub fn played_by_ram(&self) -> Bytes {
        if let Some(memory) = &self.memory {
            return memory.taken();
        }
        self.read().list().iter().flat_map(|card| &card.processes).filter_map(|process| process.used).sum()
    }

    pub(crate) fn seat(&self, pid: Option<u32>, on: OnCards) -> Seat {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.next += 1;
        let number = seats.next;
        seats.taken.insert(number, Place { pid, on });
        Seat { number, seats: Arc::clone(&self.seats) }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.number);
    }
}

/// What a process has written, which in a runner is what it filled of the card (and a few lines of answers); nothing
/// once it is gone. proc(5): `wchar`.
fn written_by(pid: u32) -> Bytes {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let written = io.lines().find_map(|line| line.strip_prefix("wchar:")?.trim().parse().ok());
    Bytes(written.unwrap_or(0))
}

/// The anonymous memory of a process; nothing once it is gone.
#[cfg(target_os = "linux")]
fn memory_of(pid: u32, _planned: Bytes) -> Bytes {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return Bytes::ZERO };
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Bytes(kib.unwrap_or(0).saturating_mul(1024))
}

/// Without `/proc` there is only what the runner was given.
#[cfg(not(target_os = "linux"))]
fn memory_of(_pid: u32, planned: Bytes) -> Bytes {
    planned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_runner_is_gone() {
        let card = CardReader::new(Bytes(1000));
        let seat = card.seat(None, [300, 0, 0, 0]);
        let other = card.seat(None, [100, 0, 0, 0]);
        assert_eq!((card.read().list()[0].used, card.read().list()[0].free), (Bytes(400), Bytes(600)));
        drop(seat);
        assert_eq!(card.read().list()[0].used, Bytes(100));
        drop(other);
        assert_eq!(card.read().list()[0].free, Bytes(1000));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_process_holds_is_read_and_never_more_than_it_was_given() {
        let card = CardReader::new(Bytes(1 << 30));
        let _seat = card.seat(Some(std::process::id()), [4096, 0, 0, 0]);
        let _dead = card.seat(Some(u32::MAX), [4096, 0, 0, 0]);
        let cards = card.read();
        assert_eq!(
            cards.list()[0].processes,
            [CardProcess { pid: std::process::id(), used: Some(Bytes(4096)) }]
        );
        assert_eq!(card.played_by_ram(), Bytes(4096));
    }
}
