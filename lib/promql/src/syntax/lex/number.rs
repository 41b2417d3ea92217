//! How far a number or duration reaches. What it looks like but is not valid (`1e999`, `5hs`) is
//! found when its value is taken.

use super::{Kind, is_alpha};

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

/// The kind and length of the number at the front of `text`; no kind and how far it was read when
/// it is not one.
pub(super) fn scan(text: &str) -> (Option<Kind>, usize) {
    let mut scan = Scan { text, at: 0 };
    if scan.number() {
        return (Some(Kind::Number), scan.at);
    }
    let is_duration = scan.duration();
    (is_duration.then_some(Kind::Duration), scan.at)
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn is(&self, set: &str) -> bool {
        self.peek().is_some_and(|c| set.contains(c))
    }

    fn accept(&mut self, set: &str) -> bool {
        let hit = self.is(set);
        // All sets are ASCII.
        self.at += usize::from(hit);
        hit
    }

    fn number(&mut self) -> bool {
        let mut digits = "0123456789";
        let hex = self.accept("0") && self.accept("xX");
        if hex {
            self.accept("_");
            digits = "0123456789abcdefABCDEF";
        }
        self.accept(".");
        self.accept(digits);
        let (mut dot, mut exponent) = (false, false);
        loop {
            if self.is(".") {
                self.accept(".");
                if dot || self.accept("_.") || hex {
                    return false;
                }
                dot = true;
            } else if self.is("eE") {
                self.accept("eE");
                if exponent {
                    return false;
                }
                exponent = true;
                self.accept("+-");
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept("_") {
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if !self.accept(digits) {
                break;
            }
        }
        self.at > 0 && !self.peek().is_some_and(is_alphanumeric)
    }

    /// Goes on where [`Self::number`] gave up.
    fn duration(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept("0123456789") {
            while self.accept("0123456789") {}
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        let Some(c) = self.peek().filter(|c| is_alphanumeric(*c)) else { return true };
        self.at += c.len_utf8();
        false
    }
}
