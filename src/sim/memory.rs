//! The played card's memory: one lasting file of shared memory, of which each runner gets its places. As on a real card,
//! a load fills memory that is there; fresh pages for each would cost more than what is to be shown.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::residency::bytes::Bytes;

/// A range of the card's memory: where it begins, and how many bytes it is long.
pub(crate) type Place = (u64, u64);

/// The memory, and what of it is free.
#[derive(Debug)]
pub(crate) struct Memory {
    file: File,
    /// Lengths by offset.
    free: Mutex<BTreeMap<u64, u64>>,
}

/// What one runner got; free again when dropped.
#[derive(Debug)]
pub(crate) struct Places {
    places: Vec<Place>,
    memory: Arc<Memory>,
}

impl Memory {
    /// Memory of that size, where the system has such files. Its pages are made when they are first written to.
    #[cfg(target_os = "linux")]
    pub(crate) fn new(total: Bytes) -> Option<Arc<Memory>> {
        use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
        let file = File::from(memfd_create("resident-card", MemfdFlags::CLOEXEC).ok()?);
        ftruncate(&file, total.0).ok()?;
        Some(Arc::new(Memory { file, free: Mutex::new(BTreeMap::from([(0, total.0)])) }))
    }

    /// Elsewhere runners keep memory of their own.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new(_total: Bytes) -> Option<Arc<Memory>> {
        None
    }

    /// Makes all its pages, so that no load has to. Takes a while.
    #[cfg(target_os = "linux")]
    pub(crate) fn make(&self) {
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        // Where that cannot be done loads make what they need.
        let _ = rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, length);
    }

    /// There is nothing to be made.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn make(&self) {}

    /// What it takes of the machine's RAM.
    pub(crate) fn taken(&self) -> Bytes {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Bytes(self.file.metadata().map_or(0, |metadata| metadata.blocks() * 512))
        }
        #[cfg(not(unix))]
        Bytes::ZERO
    }

    /// Where another process of this user opens it.
    #[cfg(unix)]
    pub(crate) fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }

    /// There is none.
    #[cfg(not(unix))]
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::new()
    }

    /// Places for so many bytes, the lowest first; less where there is less.
    pub(crate) fn places(self: &Arc<Memory>, bytes: Bytes) -> Places {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut left, mut places) = (bytes.0, Vec::new());
        while left > 0 {
            let Some((offset, length)) = free.pop_first() else { break };
            let taken = length.min(left);
            if taken < length {
                free.insert(offset + taken, length - taken);
            }
            places.push((offset, taken));
            left -= taken;
        }
        Places { places, memory: Arc::clone(self) }
    }
}

impl Places {
    /// The ranges, in the order in which they are to be filled.
    pub(crate) fn ranges(&self) -> &[Place] {
        &self.places
    }

    /// Where the memory is opened.
    pub(crate) fn path(&self) -> PathBuf {
        self.memory.path()
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut free = self.memory.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(self.places.drain(..));
        // What lies side by side is one again.
        let mut joined: BTreeMap<u64, u64> = BTreeMap::new();
        for (&offset, &length) in &*free {
            match joined.last_entry() {
                Some(mut last) if last.key() + last.get() == offset => *last.get_mut() += length,
                _ => drop(joined.insert(offset, length)),
            }
        }
        *free = joined;
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_joined_and_no_two_get_the_same() {
        let memory = Memory::new(Bytes(1000)).unwrap();
        let free = || memory.free.lock().unwrap().clone();
        let (first, second) = (memory.places(Bytes(300)), memory.places(Bytes(300)));
        assert_eq!((first.ranges(), second.ranges()), (&[(0, 300)][..], &[(300, 300)][..]));
        drop(first);
        let third = memory.places(Bytes(500));
        assert_eq!(third.ranges(), [(0, 300), (600, 200)]);
        assert_eq!(memory.places(Bytes(900)).ranges(), [(800, 200)], "no more than there is");
        drop((second, third));
        assert_eq!(free(), BTreeMap::from([(0, 1000)]));
    }

    #[test]
    fn it_takes_ram_only_once_it_is_made() {
        let memory = Memory::new(Bytes(1 << 20)).unwrap();
        assert_eq!(memory.taken(), Bytes::ZERO);
        memory.make();
        assert_eq!(memory.taken(), Bytes(1 << 20));
    }
}
