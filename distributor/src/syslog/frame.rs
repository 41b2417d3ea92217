//! Cuts a TCP stream into messages: by octet counts where a count stands in front (RFC 6587), else at
//! line feeds or NULs. A message that is too long is cut, and its rest skipped.

/// Most digits of a count.
const MAX_DIGITS: usize = 9;

/// The bytes of a connection that are no message yet: at most one message and one read.
#[derive(Debug)]
pub(super) struct Framer {
    buf: Vec<u8>,
    /// What of `buf` was given out.
    start: usize,
    max: usize,
    skip: Skip,
    n_cut: u64,
}

/// What is left of a message that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    Nothing,
    Octets(usize),
    Line,
}

// === impl Framer ===

impl Framer {
    pub(super) fn new(max: usize) -> Self {
        Self { buf: Vec::new(), start: 0, max, skip: Skip::Nothing, n_cut: 0 }
    }

    /// Adds bytes that were read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buf.drain(..self.start);
        self.start = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// The next message; `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        loop {
            self.skip_rest();
            if self.skip != Skip::Nothing {
                return None;
            }
            let rest = self.buf.get(self.start..)?;
            if matches!(rest.first(), Some(b'\n' | b'\r' | b'\0' | b' ')) {
                self.start += 1;
                continue;
            }
            if rest.is_empty() {
                return None;
            }
            let (from, to, next) = match count(rest) {
                Count::Unfinished => return None,
                Count::Octets { digits, n } => self.octets(rest.len(), digits, n)?,
                Count::None => {
                    let end = memchr::memchr2(b'\n', b'\0', rest);
                    self.line(rest.len(), end)?
                }
            };
            let (from, to) = (self.start + from, self.start + to);
            self.start += next;
            if from < to {
                return self.buf.get(from..to);
            }
        }
    }

    /// What stands there when the connection ends: a last line needs no line feed, but a counted
    /// message that is not all there is lost.
    pub(super) fn last(&mut self) -> Option<&[u8]> {
        let from = std::mem::replace(&mut self.start, self.buf.len());
        let rest = self.buf.get(from..)?;
        if self.skip != Skip::Nothing || rest.is_empty() {
            return None;
        }
        if matches!(count(rest), Count::Octets { .. }) {
            self.n_cut += 1;
            return None;
        }
        Some(rest)
    }

    /// Messages cut since this was asked last.
    pub(super) fn take_cut(&mut self) -> u64 {
        std::mem::take(&mut self.n_cut)
    }

    /// Where the message lies within the rest, and where the next begins.
    fn octets(&mut self, len: usize, digits: usize, n: usize) -> Option<(usize, usize, usize)> {
        let from = digits + 1;
        if n <= self.max {
            return (len >= from + n).then_some((from, from + n, from + n));
        }
        if len < from + self.max {
            return None;
        }
        self.n_cut += 1;
        self.skip = Skip::Octets(n - self.max);
        Some((from, from + self.max, from + self.max))
    }

    /// As [`octets`](Self::octets), of a rest of `len` bytes with a line end at `end`.
    fn line(&mut self, len: usize, end: Option<usize>) -> Option<(usize, usize, usize)> {
        match end {
            Some(end) if end <= self.max => Some((0, end, end + 1)),
            None if len <= self.max => None,
            _ => {
                self.n_cut += 1;
                self.skip = Skip::Line;
                Some((0, self.max, self.max))
            }
        }
    }

    fn skip_rest(&mut self) {
        let rest = self.buf.get(self.start..).unwrap_or_default();
        match self.skip {
            Skip::Nothing => {}
            Skip::Octets(n) => {
                let here = n.min(rest.len());
                self.start += here;
                self.skip = if here == n { Skip::Nothing } else { Skip::Octets(n - here) };
            }
            Skip::Line => match memchr::memchr2(b'\n', b'\0', rest) {
                Some(end) => {
                    self.start += end + 1;
                    self.skip = Skip::Nothing;
                }
                None => self.start = self.buf.len(),
            },
        }
    }
}

enum Count {
    None,
    Unfinished,
    Octets { digits: usize, n: usize },
}

/// `123 ` in front.
fn count(rest: &[u8]) -> Count {
    let digits = rest.iter().take(MAX_DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
    if !(1..=MAX_DIGITS).contains(&digits) || rest.first() == Some(&b'0') {
        return Count::None;
    }
    match rest.get(digits) {
        None => Count::Unfinished,
        Some(b' ') => {
            let text = std::str::from_utf8(&rest[..digits]).unwrap_or_default();
            text.parse().map_or(Count::None, |n| Count::Octets { digits, n })
        }
        Some(_) => Count::None,
    }
}
