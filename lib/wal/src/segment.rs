//! Reading one segment, record by record, in a bounded buffer.

use std::io;

use crate::File;
use crate::format::{Bad, Frame, HEADER, Header, parse_record};

/// Bytes read at a time; the buffer only grows for records that are larger.
const CHUNK: usize = 1 << 20;

/// A position in a segment.
#[derive(Debug)]
pub(crate) struct Reader {
    file: Box<dyn File>,
    seed: u32,
    buf: Vec<u8>,
    /// Unread bytes of `buf`.
    start: usize,
    /// Offset in the file of `buf[start]`.
    offset: u64,
    /// Offset in the file behind `buf`.
    filled: u64,
    last_seq: u64,
}

/// Why a segment ends where it does.
#[derive(Debug)]
pub(crate) enum End {
    /// Behind the last record.
    Clean,
    /// An unfinished write: part of a record, or zeros.
    Torn,
    /// Bytes that no unfinished write leaves.
    Damaged(String),
}

// === impl Reader ===

impl Reader {
    /// Starts behind the header, which is answered if it is whole. Records must have numbers above `last_seq`.
    pub(crate) fn open(
        file: Box<dyn File>,
        seed: u32,
        last_seq: u64,
    ) -> io::Result<(Self, Option<Header>)> {
        let mut reader =
            Self { file, seed, buf: Vec::new(), start: 0, offset: 0, filled: 0, last_seq };
        reader.fill(HEADER)?;
        let header = Header::parse(&reader.buf);
        reader.advance(HEADER.min(reader.buf.len()));
        Ok((reader, header))
    }

    /// Behind the last good record.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record and where in the file its payload begins, or how the segment ends. Errors are
    /// those of reading the file.
    pub(crate) fn next(&mut self) -> io::Result<Result<(Frame<'_>, u64), End>> {
        let size = loop {
            match parse_record(self.seed, &self.buf[self.start..]) {
                Ok((frame, _)) if frame.seq <= self.last_seq => {
                    return self.end(Bad::Sequence).map(Err);
                }
                Ok((_, size)) => break size,
                Err(Bad::Short(needed)) => {
                    if !self.fill(needed)? {
                        return self.end(Bad::Short(needed)).map(Err);
                    }
                }
                Err(bad) => return self.end(bad).map(Err),
            }
        };
        let at = self.start;
        self.advance(size);
        // Parsed once more to please the borrow checker; without the checksum it is a few loads.
        match crate::format::frame_of(&self.buf[at..at + size]) {
            Some(frame) => {
                self.last_seq = frame.seq;
                let payload = self.offset - frame.payload.len() as u64;
                Ok(Ok((frame, payload)))
            }
            None => Ok(Err(End::Damaged("record changed while reading".to_owned()))),
        }
    }

    fn advance(&mut self, n: usize) {
        self.start += n;
        self.offset += n as u64;
    }

    /// Reads until `needed` bytes are unread; false if the file ends before.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        self.buf.drain(..self.start);
        self.start = 0;
        // Bounded by the file before allocating.
        let rest = self.file.size()?.saturating_sub(self.filled);
        let have = self.buf.len();
        if (have as u64).saturating_add(rest) < needed as u64 {
            return Ok(false);
        }
        let want =
            needed.max(CHUNK).min(have.saturating_add(usize::try_from(rest).unwrap_or(usize::MAX)));
        self.buf.resize(want, 0);
        let mut at = have;
        while at < want {
            let n = self.file.read_at(&mut self.buf[at..], self.filled)?;
            if n == 0 {
                break;
            }
            at += n;
            self.filled += n as u64;
        }
        self.buf.truncate(at);
        Ok(at >= needed)
    }

    /// Says what the bytes from here on are.
    fn end(&mut self, bad: Bad) -> io::Result<End> {
        let size = self.file.size()?;
        if self.offset >= size {
            return Ok(End::Clean);
        }
        // Where a file grew and its last blocks were not written, it ends in zeros.
        let zeros_from = self.zeros_from()?;
        let torn = match bad {
            Bad::Short(_) => true,
            Bad::Checksum(size) => zeros_from < self.offset + size as u64,
            Bad::Length => zeros_from < self.offset + 4,
            Bad::Sequence | Bad::Tenant => false,
        };
        if torn {
            return Ok(End::Torn);
        }
        Ok(End::Damaged(format!("{bad:?} at offset {} of {size}", self.offset)))
    }

    /// Where the zeros begin with which the file ends, at the earliest here.
    fn zeros_from(&self) -> io::Result<u64> {
        let mut chunk = vec![0; 64 << 10];
        let (mut at, mut zeros) = (self.offset, self.offset);
        loop {
            let n = self.file.read_at(&mut chunk, at)?;
            if n == 0 {
                return Ok(zeros);
            }
            if let Some(i) = chunk[..n].iter().rposition(|&b| b != 0) {
                zeros = at + i as u64 + 1;
            }
            at += n as u64;
        }
    }
}
