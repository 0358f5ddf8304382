//! Sizes in bytes: `4GB` is 4·10⁹, `4GiB` is 4·2³⁰; printed in the unit the reader expects.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// A number of bytes. Sums saturate: a hostile size must not overflow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// One GiB, 2³⁰ bytes: memory is shown in it.
pub const GIB: u64 = 1 << 30;
/// One MiB, 2²⁰ bytes.
pub const MIB: u64 = 1 << 20;
/// One GB, 10⁹ bytes: files are shown in it, as Ollama does.
pub const GB: u64 = 1_000_000_000;

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// A size below zero.
    #[error("a size cannot be negative")]
    Negative,
    /// No number, or a unit that is not one.
    #[error("not a size; write a number and a unit, such as 4GB, 9 GiB or 512MiB")]
    NotASize,
    /// More than 2⁶⁴ bytes.
    #[error("a size of more than 16 EiB")]
    TooLarge,
}

impl Bytes {
    /// No bytes.
    pub const ZERO: Bytes = Bytes(0);

    /// Reads `4GB`, `9 GiB`, `1.5g`, `123`; a bare number is bytes, one letter is the decimal unit.
    pub fn parse(text: &str) -> Result<Bytes, BytesError> {
        let text = text.trim();
        if text.starts_with('-') {
            return Err(BytesError::Negative);
        }
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "kib" | "ki" => 1 << 10,
            "m" | "mb" => 1_000_000,
            "mib" | "mi" => MIB,
            "g" | "gb" => GB,
            "gib" | "gi" => GIB,
            "t" | "tb" => 1_000_000_000_000,
            "tib" | "ti" => 1 << 40,
            _ => return Err(BytesError::NotASize),
        };
        let number = number.replace('_', "");
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Bytes).ok_or(BytesError::TooLarge);
        }
        let value: f64 = number.parse().map_err(|_| BytesError::NotASize)?;
        #[expect(clippy::cast_precision_loss, reason = "a fraction of a unit is not exact anyway")]
        let bytes = value * factor as f64;
        if !bytes.is_finite() || bytes >= 1.8e19 {
            return Err(BytesError::TooLarge);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
        let bytes = bytes.round() as u64;
        Ok(Bytes(bytes))
    }

    /// What is left after `other` is taken, never below zero.
    #[must_use]
    pub fn minus(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }

    /// This as a share of `whole`, from 0.0 to 1.0; 0.0 of nothing.
    #[expect(clippy::cast_precision_loss, reason = "a share is for drawing and percentages")]
    pub fn share_of(self, whole: Bytes) -> f64 {
        if whole.0 == 0 { 0.0 } else { (self.0 as f64 / whole.0 as f64).min(1.0) }
    }

    /// Whole percent of `whole`, rounded down, so that 100 % is said only of all of it.
    pub fn percent_of(self, whole: Bytes) -> u8 {
        if whole.0 == 0 {
            return 0;
        }
        let percent = u128::from(self.0) * 100 / u128::from(whole.0);
        u8::try_from(percent.min(100)).unwrap_or(100)
    }

    /// In GiB (2³⁰), as a fraction.
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub fn gib(self) -> f64 {
        self.0 as f64 / GIB as f64
    }

    /// In GB (10⁹), as a fraction.
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub fn gb(self) -> f64 {
        self.0 as f64 / GB as f64
    }
}

impl fmt::Display for Bytes {
    /// `1.2 TB`, `4.7 GB`, `274 MB`: decimal, as Ollama prints the sizes of files.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gb = self.gb();
        if gb >= 999.95 {
            write!(f, "{:.1} TB", gb / 1e3)
        } else if gb >= 0.9995 {
            write!(f, "{gb:.1} GB")
        } else if self.0 >= 1_000_000 {
            write!(f, "{:.0} MB", gb * 1e3)
        } else if self.0 >= 1_000 {
            write!(f, "{:.0} kB", gb * 1e6)
        } else {
            write!(f, "{} B", self.0)
        }
    }
}

impl Add for Bytes {
    type Output = Bytes;
    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        *self = *self + other;
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Bytes>>(all: I) -> Bytes {
        all.fold(Bytes::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_and_binary_units_differ() {
        assert_eq!(Bytes::parse("4GB"), Ok(Bytes(4_000_000_000)));
        assert_eq!(Bytes::parse("9 GiB"), Ok(Bytes(9 << 30)));
        assert_eq!(Bytes::parse("1.5 GiB"), Ok(Bytes(3 << 29)));
        assert_eq!(Bytes::parse("1234"), Ok(Bytes(1234)));
        assert_eq!(Bytes::parse("512k"), Ok(Bytes(512_000)));
    }

    #[test]
    fn what_is_no_size_says_why() {
        assert_eq!(Bytes::parse("-4GB"), Err(BytesError::Negative));
        assert_eq!(Bytes::parse("4 parsecs"), Err(BytesError::NotASize));
        assert_eq!(Bytes::parse(""), Err(BytesError::NotASize));
        assert_eq!(Bytes::parse("1.2.3GB"), Err(BytesError::NotASize));
        assert_eq!(Bytes::parse("99999999999 TB"), Err(BytesError::TooLarge));
    }

    #[test]
    fn a_hundred_percent_is_said_only_of_all_of_it() {
        assert_eq!(Bytes(999).percent_of(Bytes(1000)), 99);
        assert_eq!(Bytes(1000).percent_of(Bytes(1000)), 100);
        assert_eq!(Bytes(5).percent_of(Bytes(0)), 0);
        assert_eq!(Bytes(u64::MAX).percent_of(Bytes(1)), 100);
    }

    #[test]
    fn a_size_is_written_in_the_largest_unit_that_it_fills() {
        for (bytes, written) in [
            (999, "999 B"),
            (999_400_000, "999 MB"),
            (4_700_000_000, "4.7 GB"),
            (999_900_000_000, "999.9 GB"),
            (999_960_000_000, "1.0 TB"),
            (1_000 * GB, "1.0 TB"),
            (1_250 * GB + GB, "1.3 TB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), written);
        }
    }

    #[test]
    fn sums_saturate() {
        assert_eq!(Bytes(u64::MAX) + Bytes(5), Bytes(u64::MAX));
    }
}
