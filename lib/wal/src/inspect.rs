//! Looking at a log without opening it: nothing is locked, cut, set aside or written, so a running
//! ingester may hold it meanwhile.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::directory::{list_segments, read_identity};
use crate::format::{self, HEADER};
use crate::segment::{End, Reader};
use crate::{Error, Filesystem};

/// What a segment file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// The number in its name.
    pub first_seq: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Whether it begins with a whole header of this log.
    pub header_ok: bool,
    pub records: u64,
    /// The last number, if there are records.
    pub last_seq: Option<u64>,
    /// Behind the last good record.
    pub good_bytes: u64,
    pub end: EndReport,
}

/// How a segment ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReport {
    Clean,
    /// An unfinished write: a start cuts it off if this is the newest segment.
    Unfinished,
    /// A start sets the rest aside, for this reason.
    Damaged(String),
}

/// Records of one kind of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    pub records: u64,
    /// Of payloads.
    pub bytes: u64,
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Ascending.
    pub segments: Vec<SegmentReport>,
    /// By tenant and kind of record.
    pub volumes: BTreeMap<(String, u8), Volume>,
}

// === impl Report ===

impl Report {
    /// Whether a start would lose nothing but unfinished writes.
    pub fn is_sound(&self) -> bool {
        let newest = self.segments.last().map(|s| s.first_seq);
        self.segments.iter().all(|s| match s.end {
            EndReport::Clean => true,
            EndReport::Unfinished => Some(s.first_seq) == newest,
            EndReport::Damaged(_) => false,
        })
    }
}

/// Reads all records of the log in `path`. Blocks. Fails if there is no log.
pub fn inspect(fs: &dyn Filesystem, path: &Path) -> Result<Report, Error> {
    let uuid = read_identity(fs, path).ok_or_else(|| {
        let missing = io::Error::new(io::ErrorKind::NotFound, "no log has its id here");
        Error::io("read", &path.join("id"), missing)
    })?;
    let mut report = Report::default();
    for first_seq in list_segments(fs, path)? {
        let file = path.join(format::segment_name(first_seq));
        match segment(fs, &file, first_seq, &uuid, &mut report) {
            Ok(()) => {}
            // Truncated meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("read", &file, e)),
        }
    }
    Ok(report)
}

fn segment(
    fs: &dyn Filesystem,
    path: &Path,
    first_seq: u64,
    uuid: &format::Uuid,
    report: &mut Report,
) -> io::Result<()> {
    let file = fs.open(path)?;
    let size = file.size()?;
    let before = report.segments.iter().rev().find_map(|s| s.last_seq).unwrap_or(0);
    let floor = before.max(first_seq.saturating_sub(1));
    let (mut reader, header) = Reader::open(file, format::seed(uuid), floor)?;
    let header_ok = header.is_some_and(|h| h.uuid == *uuid && h.first_seq == first_seq);
    let (mut records, mut last_seq) = (0, None);
    let mut good_bytes = if header_ok { HEADER as u64 } else { 0 };
    let end = loop {
        let (frame, _) = match reader.next()? {
            Ok(found) => found,
            Err(end) => break end,
        };
        let tenant = String::from_utf8_lossy(frame.tenant).into_owned();
        let volume = report.volumes.entry((tenant, frame.kind)).or_default();
        volume.records += 1;
        volume.bytes += frame.payload.len() as u64;
        records += 1;
        last_seq = Some(frame.seq);
        good_bytes = reader.offset();
    };
    let end = match end {
        End::Clean if size > 0 && !header_ok && records == 0 => {
            EndReport::Damaged("neither header nor records".to_owned())
        }
        End::Clean => EndReport::Clean,
        End::Torn => EndReport::Unfinished,
        End::Damaged(reason) => EndReport::Damaged(reason),
    };
    let found = SegmentReport { first_seq, size, header_ok, records, last_seq, good_bytes, end };
    report.segments.push(found);
    Ok(())
}
