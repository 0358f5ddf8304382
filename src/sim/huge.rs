//! Huge pages for a runner's memory: into plain fresh pages the page faults hide the disk (cold over warm 1.1× instead
//! of 3.8× measured), and a demo of cold and warm loads would show nothing.
#![expect(unsafe_code, reason = "madvise takes a raw pointer; this is the one call")]

/// Asks for huge pages behind `memory`. A hint: where it is refused, loads are slower and all else is the same.
#[cfg(target_os = "linux")]
pub(crate) fn huge_pages(memory: &mut [u8]) {
    let page = rustix::param::page_size();
    let skip = memory.as_ptr().align_offset(page);
    let Some(inner) = memory.get_mut(skip..) else { return };
    let length = inner.len() / page * page;
    if length == 0 {
        return;
    }
    // SAFETY: the range lies inside a slice that is borrowed exclusively, starts on a page and is whole pages long;
    // this advice changes neither contents nor mapping, only which pages will back it.
    let _refused =
        unsafe { rustix::mm::madvise(inner.as_mut_ptr().cast(), length, rustix::mm::Advice::LinuxHugepage) };
}

/// Only Linux has the hint.
#[cfg(not(target_os = "linux"))]
pub(crate) fn huge_pages(_memory: &mut [u8]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_any_size_keeps_its_bytes() {
        for size in [0, 1, 4095, 4096, 9 << 20] {
            let mut memory = vec![7_u8; size];
            huge_pages(&mut memory);
            assert!(memory.iter().all(|byte| *byte == 7), "{size}");
        }
    }
}
