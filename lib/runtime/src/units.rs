//! Durations and sizes as people write them in configuration: `90s`, `2h30m`, `64MiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration written as Prometheus does: `1d12h`, `1h30m`, `250ms`, `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

/// A number of bytes written as `512`, `64KiB`, `1.5MiB`, `4MB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("not a duration: {0:?} (want e.g. 30s, 2h30m, 7d)")]
    Duration(String),
    #[error("not a size: {0:?} (want e.g. 512, 64KiB, 1.5GiB)")]
    Size(String),
}

const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

// === impl HumanDuration ===

impl HumanDuration {
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// Whole milliseconds, saturating.
    pub fn as_millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }

    /// Whole nanoseconds, saturating.
    pub fn as_nanos(self) -> i64 {
        i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)
    }

    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(s: &str) -> Result<Self, UnitError> {
        let bad = || UnitError::Duration(s.to_owned());
        if s == "0" {
            return Ok(Self::default());
        }
        let mut rest = s;
        let mut total_ms = 0u64;
        let mut last = UNITS.len() + 1;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let unit = UNITS.iter().position(|(u, _)| *u == &rest[..letters]).ok_or_else(bad)?;
            // Units must descend, each at most once.
            if last <= UNITS.len() && unit <= last {
                return Err(bad());
            }
            last = unit;
            let ms = number.checked_mul(UNITS[unit].1).ok_or_else(bad)?;
            total_ms = total_ms.checked_add(ms).ok_or_else(bad)?;
            rest = &rest[letters..];
        }
        if last > UNITS.len() {
            return Err(bad());
        }
        Ok(Self(Duration::from_millis(total_ms)))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in &UNITS[2..] {
            let n = ms / size;
            if n > 0 {
                write!(f, "{n}{unit}")?;
                ms %= size;
            }
        }
        Ok(())
    }
}

// === impl ByteSize ===

impl FromStr for ByteSize {
    type Err = UnitError;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be finite, positive and below 2^63"
    )]
    fn from_str(s: &str) -> Result<Self, UnitError> {
        let bad = || UnitError::Size(s.to_owned());
        let split = s.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(s.len());
        let number: f64 = s[..split].parse().map_err(|_| bad())?;
        let factor: u64 = match s[split..].trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "KB" | "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            _ => return Err(bad()),
        };
        #[expect(clippy::cast_precision_loss, reason = "factors are powers of two or ten")]
        let bytes = number * factor as f64;
        if !(0.0..9e18).contains(&bytes) {
            return Err(bad());
        }
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 > 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// Serde as text; plain numbers are taken too (seconds, bytes).
macro_rules! serde_as_text {
    ($type:ty, $what:literal, $from_number:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: de::Error>(self, v: &str) -> Result<$type, E> {
                        v.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, v: u64) -> Result<$type, E> {
                        Ok($from_number(v))
                    }

                    fn visit_i64<E: de::Error>(self, v: i64) -> Result<$type, E> {
                        u64::try_from(v).map($from_number).map_err(E::custom)
                    }
                }
                d.deserialize_any(Visitor)
            }
        }
    };
}

serde_as_text!(HumanDuration, "a duration such as 30s", HumanDuration::from_secs);
serde_as_text!(ByteSize, "a size such as 64MiB", ByteSize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_alike() {
        for s in ["30s", "2h30m", "7d", "250ms", "1d12h", "1m1s1ms"] {
            assert_eq!(s.parse::<HumanDuration>().unwrap().to_string(), s);
        }
        assert_eq!("1w".parse::<HumanDuration>().unwrap().to_string(), "7d");
        assert_eq!("0".parse::<HumanDuration>().unwrap().to_string(), "0s");
        for s in ["", "5", "m", "1x", "1s1h", "1m1m", "-1s", "99999999999y"] {
            assert!(s.parse::<HumanDuration>().is_err(), "{s}");
        }
    }

    #[test]
    fn sizes_read_and_print_alike() {
        for s in ["64MiB", "1GiB", "513", "3KiB"] {
            assert_eq!(s.parse::<ByteSize>().unwrap().to_string(), s);
        }
        assert_eq!("1.5KiB".parse::<ByteSize>().unwrap(), ByteSize(1536));
        assert_eq!("4MB".parse::<ByteSize>().unwrap(), ByteSize(4_000_000));
        for s in ["", "x", "1 XB", "-1", "1e3MiB"] {
            assert!(s.parse::<ByteSize>().is_err(), "{s}");
        }
    }
}
