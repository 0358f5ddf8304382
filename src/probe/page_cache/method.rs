//! Which way of asking can be trusted for a file. Two of the three lie silently when asked at the wrong place:
//! `mincore` says "all" of a file that is not ours, `cachestat` says "nothing" through overlayfs.

/// The kind of file system, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fs {
    /// One that uses the page cache.
    Plain,
    /// Overlayfs: the pages belong to another file below.
    Overlay,
    /// Files are RAM.
    Ram,
    /// ZFS: reads live in a cache of its own.
    Zfs,
}

impl Fs {
    /// From `statfs`'s `f_type`.
    pub(crate) fn of(magic: u64) -> Fs {
        match magic {
            0x794c_7630 => Fs::Overlay,
            0x2fc1_2fc1 => Fs::Zfs,
            // tmpfs and ramfs
            0x0102_1994 | 0x8584_58f6 => Fs::Ram,
            _ => Fs::Plain,
        }
    }
}

/// How asking went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// Not asked yet.
    No,
    /// The kernel refused (EPERM).
    Refused,
    /// The kernel does not know the call, or not for this file.
    Unsupported,
    /// It failed otherwise, or took too long.
    Failed,
}

/// All that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) fs: Fs,
    /// The file belongs to our effective user.
    pub(crate) owner: bool,
    /// We may write to it.
    pub(crate) writable: bool,
    /// We hold `CAP_FOWNER` over all users' files, as root has it outside of containers.
    pub(crate) privileged: bool,
    pub(crate) cachestat: Tried,
    pub(crate) mincore: Tried,
    pub(crate) sampling: Tried,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Count by `cachestat`.
    Cachestat,
    /// Count by `mincore`.
    Mincore,
    /// Estimate by reading some pages that must not wait for the disk.
    Sample,
    /// All of it is in RAM: it is nowhere else.
    All,
    /// Nobody can say: the reason.
    Unknown(&'static str),
}

/// What to do next, given what was tried before; ends at `All` or `Unknown` at the latest after three steps.
pub(crate) fn choose(facts: Facts) -> Method {
    let mine = facts.owner || facts.writable || facts.privileged;
    match facts.fs {
        Fs::Zfs => return Method::Unknown("ZFS keeps it in the ARC, not the page cache"),
        Fs::Ram => return Method::All,
        // A kernel that refuses says so (EPERM), and before it learned to refuse it told the truth to everybody.
        Fs::Plain if facts.cachestat == Tried::No => return Method::Cachestat,
        Fs::Plain | Fs::Overlay => {}
    }
    // Refused though it is mine was a container's seccomp filter. Of a file that is not mine `mincore` claims all.
    if mine && facts.mincore == Tried::No {
        return Method::Mincore;
    }
    match facts.sampling {
        Tried::No => Method::Sample,
        _ if mine => Method::Unknown("this file system does not tell what is cached"),
        _ => Method::Unknown("the kernel tells only the file's owner what is cached"),
    }
}

#[cfg(test)]
mod tests {
    use super::Tried::{Failed, No, Refused, Unsupported};
    use super::*;

    /// A stranger's file on an ordinary disk, nothing tried.
    const THEIRS: Facts = Facts {
        fs: Fs::Plain,
        owner: false,
        writable: false,
        privileged: false,
        cachestat: No,
        mincore: No,
        sampling: No,
    };
    const MINE: Facts = Facts { owner: true, ..THEIRS };

    #[test]
    fn each_case_is_asked_where_it_can_be_trusted() {
        let not_told = Method::Unknown("this file system does not tell what is cached");
        let owners_only = Method::Unknown("the kernel tells only the file's owner what is cached");
        let zfs = Method::Unknown("ZFS keeps it in the ARC, not the page cache");
        let cases = [
            ("mine", MINE, Method::Cachestat),
            ("old kernel", Facts { cachestat: Unsupported, ..MINE }, Method::Mincore),
            ("seccomp", Facts { cachestat: Refused, ..MINE }, Method::Mincore),
            ("odd failure", Facts { cachestat: Failed, ..MINE }, Method::Mincore),
            ("nothing counts", Facts { cachestat: Unsupported, mincore: Failed, ..MINE }, Method::Sample),
            (
                "nothing works",
                Facts { cachestat: Unsupported, mincore: Failed, sampling: Unsupported, ..MINE },
                not_told,
            ),
            ("not mine, a kernel that tells all", THEIRS, Method::Cachestat),
            ("not mine, refused: mincore would lie", Facts { cachestat: Refused, ..THEIRS }, Method::Sample),
            (
                "not mine, old kernel: mincore lies",
                Facts { cachestat: Unsupported, ..THEIRS },
                Method::Sample,
            ),
            (
                "not mine, no sampling",
                Facts { cachestat: Refused, sampling: Unsupported, ..THEIRS },
                owners_only,
            ),
            (
                "not mine but writable",
                Facts { cachestat: Unsupported, writable: true, ..THEIRS },
                Method::Mincore,
            ),
            (
                "not mine but privileged",
                Facts { cachestat: Refused, privileged: true, ..THEIRS },
                Method::Mincore,
            ),
            ("overlay, mine: cachestat would lie", Facts { fs: Fs::Overlay, ..MINE }, Method::Mincore),
            ("overlay, not mine", Facts { fs: Fs::Overlay, ..THEIRS }, Method::Sample),
            ("overlay, mincore failed", Facts { fs: Fs::Overlay, mincore: Failed, ..MINE }, Method::Sample),
            (
                "overlay, not mine, no sampling",
                Facts { fs: Fs::Overlay, sampling: Unsupported, ..THEIRS },
                owners_only,
            ),
            ("zfs, mine", Facts { fs: Fs::Zfs, ..MINE }, zfs),
            ("zfs, not mine", Facts { fs: Fs::Zfs, ..THEIRS }, zfs),
            ("tmpfs, mine", Facts { fs: Fs::Ram, ..MINE }, Method::All),
            ("tmpfs, not mine", Facts { fs: Fs::Ram, ..THEIRS }, Method::All),
        ];
        for (case, facts, method) in cases {
            assert_eq!(choose(facts), method, "{case}");
        }
    }

    #[test]
    fn mincore_is_never_believed_of_a_file_that_is_not_mine() {
        for fs in [Fs::Plain, Fs::Overlay, Fs::Ram, Fs::Zfs] {
            for cachestat in [No, Refused, Unsupported, Failed] {
                for sampling in [No, Unsupported] {
                    let facts = Facts { fs, cachestat, sampling, ..THEIRS };
                    assert_ne!(choose(facts), Method::Mincore, "{facts:?}");
                }
            }
        }
    }

    #[test]
    fn file_systems_are_told_apart_by_their_number() {
        let cases = [
            (0x794c_7630, Fs::Overlay),
            (0x2fc1_2fc1, Fs::Zfs),
            (0x0102_1994, Fs::Ram),
            (0x8584_58f6, Fs::Ram),
            (0xef53, Fs::Plain),
            (0x9123_683e, Fs::Plain),
        ];
        for (magic, fs) in cases {
            assert_eq!(Fs::of(magic), fs);
        }
    }
}
