//! Which of root's powers this process holds: they decide what the kernel tells and allows.

/// One of the kernel's capabilities, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capability {
    /// Acts as the owner of all files.
    Fowner = 3,
    /// Locks as much memory as it likes.
    IpcLock = 14,
}

/// Whether this process holds the capability over the whole machine: in a user namespace of its own it holds it over
/// a part only, and the kernel's answers are those to an ordinary user.
pub(crate) fn holds(capability: Capability) -> bool {
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    is_effective(&text("/proc/self/status"), capability) && is_whole_machine(&text("/proc/self/uid_map"))
}

fn is_effective(status: &str, capability: Capability) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    bits & (1 << capability as u32) != 0
}

fn is_whole_machine(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_one_bit_of_those_in_effect() {
        let cases = [
            ("Name:\tx\nCapEff:\t000001ffffffffff\n", true, true),
            ("CapEff:\t0000000000000008\n", true, false),
            ("CapEff:\t0000000000004000\n", false, true),
            ("CapEff:\t0000000000000007\n", false, false),
            ("CapPrm:\t000001ffffffffff\n", false, false),
            ("CapEff:\tzz\n", false, false),
            ("", false, false),
        ];
        for (status, fowner, lock) in cases {
            assert_eq!(is_effective(status, Capability::Fowner), fowner, "{status:?}");
            assert_eq!(is_effective(status, Capability::IpcLock), lock, "{status:?}");
        }
    }

    #[test]
    fn a_user_namespace_is_not_the_whole_machine() {
        assert!(is_whole_machine("         0          0 4294967295\n"));
        assert!(!is_whole_machine("         0     100000      65536\n"));
        assert!(!is_whole_machine(""));
    }
}
