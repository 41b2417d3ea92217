//! MessagePack: finding where a value ends in bytes that are still coming, and reading it, borrowed.

/// Arrays and maps within each other that are read.
const MAX_DEPTH: usize = 32;
/// Values that one is made of, all together.
const MAX_VALUES: u32 = 1 << 16;

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("malformed MessagePack: {0}")]
    Bytes(&'static str),
    #[error("MessagePack value of more than {0} bytes")]
    TooLong(usize),
}

/// A value. Lengths that lie cannot reserve memory: a list grows by elements that are there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    Float(f64),
    /// Text, or bytes: clients mix the two.
    Raw(&'a [u8]),
    List(Vec<Value<'a>>),
    Map(Vec<(Value<'a>, Value<'a>)>),
    Ext(i8, &'a [u8]),
}

/// The head of a value: what follows it is `bytes` bytes, then `values` values.
struct Head {
    bytes: usize,
    values: u64,
}

/// Looks for the end of a value without reading any byte twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner {
    at: usize,
    /// Values that are still to come.
    open: u64,
}

// === impl Scanner ===

impl Scanner {
    pub(super) fn new() -> Self {
        Self { at: 0, open: 1 }
    }

    /// The length of the value at the front of `buf`, once all of it is there; it must be at most
    /// `max`. To be asked again with the same bytes and more behind them.
    pub(super) fn end(&mut self, buf: &[u8], max: usize) -> Result<Option<usize>, Malformed> {
        while self.open > 0 {
            let Some(rest) = buf.get(self.at..).filter(|rest| !rest.is_empty()) else {
                return Ok(None);
            };
            let Some((len, head)) = head(rest)? else { return Ok(None) };
            self.at = self.at.saturating_add(len).saturating_add(head.bytes);
            self.open = (self.open - 1).saturating_add(head.values);
            // Each value takes at least a byte.
            let least = usize::try_from(self.open).unwrap_or(usize::MAX).saturating_add(self.at);
            if least > max {
                return Err(Malformed::TooLong(max));
            }
        }
        Ok((self.at <= buf.len()).then_some(self.at))
    }
}

/// The first bytes of a value: how long they are and what follows. `None` if some are missing.
fn head(rest: &[u8]) -> Result<Option<(usize, Head)>, Malformed> {
    let Some((tag, tail)) = rest.split_first() else { return Ok(None) };
    let number = |n: usize| tail.get(..n).map(big_endian);
    let data = |len: usize, bytes: u64| {
        Some((len, Head { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), values: 0 }))
    };
    let some = |len: usize, values: u64| Some((len, Head { bytes: 0, values }));
    Ok(match tag {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => some(1, 0),
        0x80..=0x8f => some(1, 2 * u64::from(tag & 15)),
        0x90..=0x9f => some(1, u64::from(tag & 15)),
        0xa0..=0xbf => data(1, u64::from(tag & 31)),
        0xc1 => return Err(Malformed::Bytes("reserved tag")),
        0xc4 | 0xd9 => number(1).and_then(|n| data(2, n)),
        0xc5 | 0xda => number(2).and_then(|n| data(3, n)),
        0xc6 | 0xdb => number(4).and_then(|n| data(5, n)),
        0xc7 => number(1).and_then(|n| data(3, n)),
        0xc8 => number(2).and_then(|n| data(4, n)),
        0xc9 => number(4).and_then(|n| data(6, n)),
        0xca => data(1, 4),
        0xcb => data(1, 8),
        0xcc | 0xd0 => data(1, 1),
        0xcd | 0xd1 => data(1, 2),
        0xce | 0xd2 => data(1, 4),
        0xcf | 0xd3 => data(1, 8),
        0xd4..=0xd8 => data(2, 1 << (tag - 0xd4)),
        0xdc => number(2).and_then(|n| some(3, n)),
        0xdd => number(4).and_then(|n| some(5, n)),
        0xde => number(2).and_then(|n| some(3, 2 * n)),
        0xdf => number(4).and_then(|n| some(5, 2 * n)),
    })
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| (n << 8) | u64::from(*b))
}

/// Reads the value at the front of `rest` and moves behind it.
pub(super) fn read<'a>(rest: &mut &'a [u8]) -> Result<Value<'a>, Malformed> {
    nested(rest, 0, &mut { MAX_VALUES })
}

fn nested<'a>(rest: &mut &'a [u8], depth: usize, left: &mut u32) -> Result<Value<'a>, Malformed> {
    *left = left.checked_sub(1).ok_or(Malformed::Bytes("a value of too many values"))?;
    if depth > MAX_DEPTH {
        return Err(Malformed::Bytes("values are nested too deeply"));
    }
    let short = Malformed::Bytes("truncated");
    let tag = *rest.first().ok_or(short)?;
    let (len, head) = head(rest)?.ok_or(short)?;
    let body = rest.get(len..).ok_or(short)?;
    let (data, tail) = body.split_at_checked(head.bytes).ok_or(short)?;
    // The last byte of an extension's head is its type.
    let kind = rest.get(len - 1).map_or(0, |b| i8::from_be_bytes([*b]));
    *rest = tail;
    Ok(match tag {
        0x00..=0x7f => Value::Int(i64::from(tag)),
        0xe0..=0xff => Value::Int(i64::from(i8::from_be_bytes([tag]))),
        0xc0 => Value::Nil,
        0xc2 | 0xc3 => Value::Bool(tag == 0xc3),
        0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb => Value::Raw(data),
        0xc7..=0xc9 | 0xd4..=0xd8 => Value::Ext(kind, data),
        0xca => Value::Float(data.try_into().map_or(0.0, |b| f64::from(f32::from_be_bytes(b)))),
        0xcb => Value::Float(data.try_into().map_or(0.0, f64::from_be_bytes)),
        0xcc..=0xcf => {
            let n = big_endian(data);
            i64::try_from(n).map_or(Value::Uint(n), Value::Int)
        }
        0xd0..=0xd3 => Value::Int(signed(data)),
        0x80..=0x8f | 0xde | 0xdf => {
            let mut pairs = Vec::new();
            for _ in 0..head.values / 2 {
                let key = nested(rest, depth + 1, left)?;
                // As text its quotes are escaped, those of keys within it again: twice as long at each level.
                if matches!(key, Value::List(_) | Value::Map(_)) {
                    return Err(Malformed::Bytes("a key is a list or a map"));
                }
                pairs.push((key, nested(rest, depth + 1, left)?));
            }
            Value::Map(pairs)
        }
        _ => {
            let mut values = Vec::new();
            for _ in 0..head.values {
                values.push(nested(rest, depth + 1, left)?);
            }
            Value::List(values)
        }
    })
}

#[expect(clippy::cast_possible_wrap, reason = "the sign is the first bit of what was sent")]
fn signed(data: &[u8]) -> i64 {
    let unused = 64 - 8 * data.len().min(8);
    ((big_endian(data) << unused) as i64) >> unused
}

/// `{"ack": chunk}`
pub(super) fn ack(chunk: &[u8]) -> Vec<u8> {
    let mut out = b"\x81\xa3ack".to_vec();
    match (u8::try_from(chunk.len()), u16::try_from(chunk.len())) {
        (Ok(n), _) if n < 32 => out.push(0xa0 | n),
        (Ok(n), _) => out.extend([0xd9, n]),
        (_, Ok(n)) => {
            out.push(0xda);
            out.extend(n.to_be_bytes());
        }
        // No client has such ids; the decoder refuses them.
        _ => return Vec::new(),
    }
    out.extend_from_slice(chunk);
    out
}
