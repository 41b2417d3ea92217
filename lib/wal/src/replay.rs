//! Reading the log back at start.
//!
//! An unfinished write at the end of the newest segment is cut off: nobody was told that it succeeded.
//! Anything else that is not a record is damage: it is counted, logged as an error, set aside in a
//! `.corrupt` file together with what follows in that segment, and reading goes on with the next one.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use skald_model::TenantId;
use skald_runtime::crash_point;
use tracing::{error, info, warn};

use crate::directory::Directory;
use crate::format::{Frame, HEADER, Header, VERSION};
use crate::segment::{End, Reader};
use crate::segments::{Segment, Segments};
use crate::{Error, File, Kept, Metrics};

/// Tenants whose ids are remembered while reading.
const MAX_TENANTS: usize = 100_000;

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub seq: u64,
    pub kind: u8,
    pub tenant: &'a TenantId,
    pub payload: &'a [u8],
    /// Where the payload begins in the file.
    offset: u64,
    file: &'a Source<'a>,
}

/// The segment that is being read.
#[derive(Debug)]
struct Source<'a> {
    dir: &'a Directory,
    first_seq: u64,
    /// A handle that is left to those who read again; `None` when there is no opening it.
    shared: OnceCell<Option<Arc<dyn File>>>,
}

impl Record<'_> {
    /// The payload for reading it again, which takes no memory.
    pub fn keep(&self) -> Arc<Kept> {
        let Source { dir, first_seq, shared } = self.file;
        let open = || dir.fs.open(&dir.segment(*first_seq)).ok().map(Arc::from);
        match shared.get_or_init(open) {
            Some(file) => Kept::in_file(Arc::clone(file), self.offset, self.payload.len()),
            None => Kept::in_memory(Bytes::copy_from_slice(self.payload)),
        }
    }
}

/// The records found by [`Wal::open`](crate::Wal::open), to be read before the first append.
#[derive(Debug)]
pub struct Replay {
    dir: Arc<Directory>,
    segments: Arc<Segments>,
    metrics: Metrics,
    /// The segments found, ascending.
    found: Vec<u64>,
    /// Damage found at open.
    corrupt: u64,
}

/// What a replay came across.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub records: u64,
    /// Of payloads.
    pub bytes: u64,
    pub segments: u64,
    /// Damaged ranges that were set aside.
    pub corrupt: u64,
    /// The last sequence number seen, 0 for none.
    pub last_seq: u64,
}

/// Finds all segments, repairs the end of the newest; answers the last sequence number given out.
pub(crate) fn survey(
    dir: &Arc<Directory>,
    segments: &Arc<Segments>,
    metrics: &Metrics,
) -> Result<(u64, Replay), Error> {
    let found = dir.segments()?;
    for (i, &first_seq) in found.iter().enumerate() {
        let path = dir.segment(first_seq);
        let file = dir.fs.open(&path).map_err(|e| Error::io("open", &path, e))?;
        let bytes = file.size().map_err(|e| Error::io("read", &path, e))?;
        refuse_newer_version(dir, first_seq)?;
        let next = found.get(i + 1).copied().unwrap_or(first_seq);
        segments.set(first_seq, Segment { last_seq: next.saturating_sub(1), bytes });
    }
    let mut replay = Replay {
        dir: Arc::clone(dir),
        segments: Arc::clone(segments),
        metrics: metrics.clone(),
        found,
        corrupt: 0,
    };
    let Some(&newest) = replay.found.last() else {
        return Ok((0, replay));
    };
    let mut scan = Scan { replay: &replay, summary: Summary::default(), tenants: HashMap::new() };
    scan.summary.last_seq = newest.saturating_sub(1);
    let outcome = scan.segment::<std::convert::Infallible>(newest, Place::Newest, &mut |_| Ok(()));
    let Summary { last_seq, corrupt, .. } = scan.summary;
    replay.corrupt = corrupt;
    match outcome {
        Ok(bytes) => segments.set(newest, Segment { last_seq, bytes }),
        Err(never) => match never {},
    }
    Ok((last_seq, replay))
}

/// Data of a newer release is not ours to cut.
fn refuse_newer_version(dir: &Directory, first_seq: u64) -> Result<(), Error> {
    match dir.header(first_seq) {
        Some(Header { version, .. }) if version != VERSION => {
            Err(Error::Version { path: dir.segment(first_seq).display().to_string(), version })
        }
        _ => Ok(()),
    }
}

/// Where in the log a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Older,
    Newest,
}

struct Scan<'a> {
    replay: &'a Replay,
    summary: Summary,
    tenants: HashMap<Box<[u8]>, TenantId>,
}

// === impl Replay ===

impl Replay {
    /// Bytes to be read, for a progress display.
    pub fn size_bytes(&self) -> u64 {
        self.segments.bytes()
    }

    /// Gives every record to `visit`, in order of sequence numbers; stops at its first error, after which
    /// it may be run again from the start. Blocks.
    pub fn run<E>(&self, visit: &mut dyn FnMut(Record<'_>) -> Result<(), E>) -> Result<Summary, E> {
        let summary = Summary { corrupt: self.corrupt, ..Summary::default() };
        let mut scan = Scan { replay: self, summary, tenants: HashMap::new() };
        for (i, &first_seq) in self.found.iter().enumerate() {
            let last = i + 1 == self.found.len();
            let place = if last { Place::Newest } else { Place::Older };
            let bytes = scan.segment(first_seq, place, visit)?;
            self.segments.set_bytes(first_seq, bytes);
        }
        let Summary { records, bytes, segments, corrupt, last_seq } = scan.summary;
        self.metrics.replayed_records.inc_by(records);
        info!(records, bytes, segments, corrupt, last_seq, "log replayed");
        Ok(scan.summary)
    }
}

// === impl Scan ===

impl Scan<'_> {
    /// Reads one segment and repairs its end; answers the bytes that are left in it.
    fn segment<E>(
        &mut self,
        first_seq: u64,
        place: Place,
        visit: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        self.summary.segments += 1;
        crash_point!("wal.replay.segment");
        let mut good = 0;
        let end = match self.read(first_seq, &mut good, visit) {
            Ok(Ok(end)) => end,
            Ok(Err(e)) => return Err(e),
            Err(e) => End::Damaged(format!("read failed: {e}")),
        };
        let dir = &self.replay.dir;
        let repaired = match (end, place) {
            (End::Clean, _) => return Ok(good),
            (End::Torn, Place::Newest) => {
                self.replay.metrics.torn_tails.inc();
                warn!(segment = first_seq, offset = good, "unfinished write cut off");
                dir.cut(first_seq, good)
            }
            (end, _) => {
                self.summary.corrupt += 1;
                self.replay.metrics.corrupt_records.inc();
                let reason = match end {
                    End::Damaged(reason) => reason,
                    _ => "ends within a record".to_owned(),
                };
                error!(segment = first_seq, offset = good, reason, "damaged records set aside");
                dir.set_aside(first_seq, good)
            }
        };
        if let Err(error) = repaired {
            warn!(segment = first_seq, %error, "damaged bytes stay in place");
        }
        Ok(good)
    }

    /// Visits the records of one segment. `good` ends up behind the last good byte.
    fn read<E>(
        &mut self,
        first_seq: u64,
        good: &mut u64,
        visit: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
    ) -> io::Result<Result<End, E>> {
        let dir = &self.replay.dir;
        let file = match dir.fs.open(&dir.segment(first_seq)) {
            // Truncated meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Ok(End::Clean)),
            other => other?,
        };
        let size = file.size()?;
        if size < HEADER as u64 {
            return Ok(Ok(if size == 0 { End::Clean } else { End::Torn }));
        }
        let floor = self.summary.last_seq.max(first_seq.saturating_sub(1));
        let (mut reader, header) = Reader::open(file, dir.seed, floor)?;
        // The header says nothing that name and directory do not say: records are read without it.
        let header_ok = header.is_some_and(|h| h.uuid == dir.uuid && h.first_seq == first_seq);
        let source = Source { dir, first_seq, shared: OnceCell::new() };
        let mut n_records = 0u64;
        let end = loop {
            let (frame, offset) = match reader.next()? {
                Ok(found) => found,
                Err(end) => break end,
            };
            let Some(tenant) = tenant(&mut self.tenants, frame.tenant) else {
                break End::Damaged("not a tenant".to_owned());
            };
            let (seq, n) = (frame.seq, frame.payload.len() as u64);
            let Frame { kind, payload, .. } = frame;
            let record = Record { seq, kind, tenant, payload, offset, file: &source };
            if let Err(e) = visit(record) {
                return Ok(Err(e));
            }
            n_records += 1;
            self.summary.bytes += n;
            self.summary.last_seq = seq;
            *good = reader.offset();
        };
        self.summary.records += n_records;
        if header_ok {
            *good = (*good).max(HEADER as u64);
        } else if n_records == 0 {
            return Ok(Ok(match end {
                End::Torn => End::Torn,
                _ => End::Damaged("neither header nor records".to_owned()),
            }));
        }
        Ok(Ok(end))
    }
}

fn tenant<'a>(known: &'a mut HashMap<Box<[u8]>, TenantId>, id: &[u8]) -> Option<&'a TenantId> {
    if !known.contains_key(id) {
        let tenant = TenantId::parse(std::str::from_utf8(id).ok()?).ok()?;
        if known.len() >= MAX_TENANTS {
            known.clear();
        }
        known.insert(id.into(), tenant);
    }
    known.get(id)
}
