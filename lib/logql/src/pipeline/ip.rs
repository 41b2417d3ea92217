//! `ip("…")`: one address, a range `a-b`, or a CIDR block, looked for inside text.

use std::net::IpAddr;

/// Longest run of characters worth parsing as an address.
const MAX_ADDRESS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ip: invalid pattern: {0:?}")]
pub(crate) struct InvalidIp(String);

/// The addresses a pattern stands for, both ends included. Families do not mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IpMatcher {
    first: IpAddr,
    last: IpAddr,
}

// === impl IpMatcher ===

impl IpMatcher {
    pub(crate) fn new(pattern: &str) -> Result<Self, InvalidIp> {
        Self::parse(pattern.trim()).ok_or_else(|| InvalidIp(pattern.to_owned()))
    }

    fn parse(pattern: &str) -> Option<Self> {
        if let Some((first, last)) = pattern.split_once('-') {
            let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
            return (first.is_ipv4() == last.is_ipv4() && first <= last)
                .then_some(Self { first, last });
        }
        if let Some((address, bits)) = pattern.split_once('/') {
            return Self::block(address.parse().ok()?, bits.parse().ok()?);
        }
        let first = pattern.parse().ok()?;
        Some(Self { first, last: first })
    }

    fn block(address: IpAddr, bits: u32) -> Option<Self> {
        Some(match address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                let base = (bits <= 32).then_some(v4.to_bits() & !host)?;
                Self { first: IpAddr::V4(base.into()), last: IpAddr::V4((base | host).into()) }
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                let base = (bits <= 128).then_some(v6.to_bits() & !host)?;
                Self { first: IpAddr::V6(base.into()), last: IpAddr::V6((base | host).into()) }
            }
        })
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Whether any address that stands in `text` is one of these.
    pub(crate) fn found_in(&self, text: &[u8]) -> bool {
        let v4 = self.first.is_ipv4();
        let belongs = |b: &u8| {
            if v4 {
                b.is_ascii_digit() || *b == b'.'
            } else {
                b.is_ascii_hexdigit() || matches!(b, b':' | b'.')
            }
        };
        let mut rest = text;
        while let Some(start) = rest.iter().position(belongs) {
            rest = &rest[start..];
            let len = rest.iter().take_while(|b| belongs(b)).count();
            let run = std::str::from_utf8(&rest[..len]).unwrap_or("");
            if (2..=MAX_ADDRESS).contains(&len) {
                // A full stop or colon after an address is punctuation.
                let bare = run.trim_end_matches(['.']);
                if bare.parse().is_ok_and(|address| self.contains(address)) {
                    return true;
                }
            }
            rest = &rest[len..];
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> bool {
        IpMatcher::new(pattern).unwrap().found_in(text.as_bytes())
    }

    #[test]
    fn single_range_and_block_are_found_in_text() {
        assert!(found("192.168.1.7", "from 192.168.1.7:8080."));
        assert!(!found("192.168.1.7", "from 192.168.1.70"));
        assert!(found("10.0.0.0/8", "[10.1.2.3]"));
        assert!(!found("10.0.0.0/8", "110.1.2.3"));
        assert!(found("10.0.0.1-10.0.0.9", "a 10.0.0.9 b"));
        assert!(found("2001:db8::/32", "src=2001:db8::1 x"));
        assert!(!found("2001:db8::1", "10.0.0.1"));
        assert!(found("0.0.0.0/0", "1.2.3.4"));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["nonsense", "10.0.0.0/99", "10.0.0.1-::1", "10.0.0.9-10.0.0.1", "", "1.2.3"] {
            assert!(IpMatcher::new(bad).is_err(), "{bad}");
        }
    }
}
