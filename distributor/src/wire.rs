//! A walk over protobuf fields that borrows and never allocates.
//!
//! Unknown fields are skipped; groups, which none of our inputs has, are malformed. Lengths are checked
//! against what is left, so a declared length cannot lie.

/// The bytes are not a protobuf message of the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field's number and value.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = varint(&mut self.rest)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(fixed64(&mut self.rest)?),
            2 => Value::Bytes(bytes(&mut self.rest)?),
            5 => {
                let short = Malformed("truncated");
                let (head, tail) = self.rest.split_first_chunk::<4>().ok_or(short)?;
                self.rest = tail;
                Value::Fixed32(u32::from_le_bytes(*head))
            }
            _ => return Err(Malformed("unknown wire type")),
        };
        match tag >> 3 {
            0 => Err(Malformed("field number 0")),
            number => Ok(Some((number, value))),
        }
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    #[inline]
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(b) => Ok(b),
            _ => Err(Malformed("wrong wire type")),
        }
    }

    #[inline]
    pub(crate) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(v) => Ok(v),
            _ => Err(Malformed("wrong wire type")),
        }
    }

    /// An `int64`.
    #[inline]
    #[expect(clippy::cast_possible_wrap, reason = "protobuf sends int64 as two's complement")]
    pub(crate) fn int64(self) -> Result<i64, Malformed> {
        Ok(self.varint()? as i64)
    }

    /// A `uint32`, an `int32` or an enum that must not be negative.
    pub(crate) fn uint32(self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed("number out of range"))
    }

    /// A `sint32`.
    pub(crate) fn sint32(self) -> Result<i32, Malformed> {
        i32::try_from(zigzag(self.varint()?)).map_err(|_| Malformed("number out of range"))
    }

    #[inline]
    pub(crate) fn double(self) -> Result<f64, Malformed> {
        match self {
            Self::Fixed64(v) => Ok(f64::from_bits(v)),
            _ => Err(Malformed("wrong wire type")),
        }
    }

    #[inline]
    pub(crate) fn fixed64(self) -> Result<u64, Malformed> {
        match self {
            Self::Fixed64(v) => Ok(v),
            _ => Err(Malformed("wrong wire type")),
        }
    }

    pub(crate) fn fixed32(self) -> Result<u32, Malformed> {
        match self {
            Self::Fixed32(v) => Ok(v),
            _ => Err(Malformed("wrong wire type")),
        }
    }

    /// A `string`, UTF-8 or not.
    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("text is not UTF-8"))
    }
}

/// Calls `each` for every element of a repeated varint field, packed or not.
pub(crate) fn varints(
    value: Value<'_>,
    mut each: impl FnMut(u64) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    match value {
        Value::Varint(v) => each(v),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                each(varint(&mut packed)?)?;
            }
            Ok(())
        }
        _ => Err(Malformed("wrong wire type")),
    }
}

/// Calls `each` for every element of a repeated double field, packed or not.
pub(crate) fn doubles(
    value: Value<'_>,
    mut each: impl FnMut(f64) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    match value {
        Value::Fixed64(v) => each(f64::from_bits(v)),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                each(f64::from_bits(fixed64(&mut packed)?))?;
            }
            Ok(())
        }
        _ => Err(Malformed("wrong wire type")),
    }
}

/// Undoes the zigzag of `sint32` and `sint64`.
#[expect(clippy::cast_possible_wrap, reason = "zigzag maps unsigned to signed on purpose")]
pub(crate) fn zigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// Where `inner` lies within `outer`, of which it is a slice.
pub(crate) fn offset_in(outer: &[u8], inner: &[u8]) -> usize {
    inner.as_ptr().addr().wrapping_sub(outer.as_ptr().addr()).min(outer.len())
}

#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    match rest.split_first() {
        Some((first, tail)) if *first < 0x80 => {
            *rest = tail;
            Ok(u64::from(*first))
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for (i, byte) in rest.iter().take(10).enumerate() {
        // Bits beyond the 64th are dropped, as all decoders do.
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Ok(value);
        }
    }
    Err(Malformed("bad varint"))
}

#[inline]
fn fixed64(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let (head, tail) = rest.split_first_chunk::<8>().ok_or(Malformed("truncated"))?;
    *rest = tail;
    Ok(u64::from_le_bytes(*head))
}

#[inline]
fn bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(varint(rest)?).map_err(|_| Malformed("length out of range"))?;
    let (head, tail) = rest.split_at_checked(len).ok_or(Malformed("truncated"))?;
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_wire_type_and_refuses_groups() {
        let message =
            [8, 0x96, 1, 0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut fields = Fields::new(&message);
        assert_eq!(fields.next(), Ok(Some((1, Value::Varint(150)))));
        assert_eq!(fields.next(), Ok(Some((2, Value::Bytes(b"hi")))));
        assert_eq!(fields.next(), Ok(Some((3, Value::Fixed32(0x0403_0201)))));
        assert_eq!(fields.next(), Ok(Some((4, Value::Fixed64(0)))));
        assert_eq!(fields.next(), Ok(None));
        assert!(Fields::new(&[0x0b]).next().is_err(), "group");
        assert!(Fields::new(&[0x00, 0]).next().is_err(), "field 0");
    }

    #[test]
    fn lengths_that_lie_are_malformed() {
        assert!(Fields::new(&[0x0a, 5, 1]).next().is_err());
        assert!(
            Fields::new(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])
                .next()
                .is_err()
        );
        assert!(Fields::new(&[0x08, 0x80]).next().is_err());
        assert!(Fields::new(&[0x80; 11]).next().is_err());
        assert!(Fields::new(&[0x09, 1, 2, 3]).next().is_err());
    }

    #[test]
    fn negative_numbers_read_back() {
        assert_eq!(Value::Varint(u64::MAX).int64(), Ok(-1));
        assert_eq!(zigzag(1), -1);
        assert_eq!(zigzag(u64::MAX), i64::MIN);
        assert!(Value::Varint(u64::MAX).sint32().is_err());
    }
}
