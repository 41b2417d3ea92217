//! The log's directory: its lock, its identity, its ballast, and what is done with damaged bytes.
//!
//! ```text
//! lock        held while the log is open
//! id          the directory's uuid in 32 hex digits
//! ballast     zeros that keep space for a start on a full disk
//! *.seg       segments
//! *.corrupt   bytes that were set aside, for people to look at; the newest few are kept
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skald_runtime::{Rng, crash_point};
use tracing::{info, warn};

use crate::format::{self, Header, Uuid};
use crate::{Config, Error, Filesystem, Lock, Space};

const ID: &str = "id";
const BALLAST: &str = "ballast";
/// Files of damaged bytes that are kept.
const MAX_CORRUPT: usize = 8;
/// With less than this free, a start gives up the ballast.
const NEEDED_TO_START: u64 = 16 << 20;

/// An open directory of the log.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) fs: Arc<dyn Filesystem>,
    pub(crate) path: PathBuf,
    pub(crate) uuid: Uuid,
    /// What the checksums of all records start from.
    pub(crate) seed: u32,
}

// === impl Directory ===

impl Directory {
    /// Opens or creates the directory, and locks it.
    pub(crate) fn open(
        fs: Arc<dyn Filesystem>,
        path: &Path,
        config: &Config,
        rng: &Rng,
    ) -> Result<(Self, Box<dyn Lock>), Error> {
        fs.create_dir_all(path).map_err(|e| Error::io("create", path, e))?;
        // The directory itself must survive, too. Those that are not ours may refuse.
        for parent in path.ancestors().skip(1).take(3) {
            fs.sync_dir(parent).ok();
        }
        let lock = path.join("lock");
        let lock = match fs.lock(&lock) {
            Ok(Some(held)) => held,
            Ok(None) => return Err(Error::Locked(path.display().to_string())),
            Err(e) => return Err(Error::io("lock", &lock, e)),
        };
        let mut dir = Self { fs, path: path.to_owned(), uuid: [0; 16], seed: 0 };
        if dir.space().is_some_and(|s| s.free < NEEDED_TO_START) {
            dir.release_ballast();
        }
        dir.uuid = match dir.identity(rng) {
            Err(Error::Io { source, .. }) if is_full(&source) => {
                dir.release_ballast();
                dir.identity(rng)?
            }
            other => other?,
        };
        dir.seed = format::seed(&dir.uuid);
        dir.ensure_ballast(config);
        Ok((dir, lock))
    }

    pub(crate) fn segment(&self, first_seq: u64) -> PathBuf {
        self.path.join(format::segment_name(first_seq))
    }

    /// The first sequence numbers of all segment files, ascending.
    pub(crate) fn segments(&self) -> Result<Vec<u64>, Error> {
        list_segments(&*self.fs, &self.path)
    }

    pub(crate) fn space(&self) -> Option<Space> {
        self.fs.space(&self.path).ok().flatten()
    }

    /// The free bytes and the limit, if the space is below the limit.
    pub(crate) fn low_space(&self, config: &Config) -> Option<(u64, u64)> {
        let Space { free, total } = self.space()?;
        let min_free = config.min_free.0.min(total / 10);
        (free < min_free).then_some((free, min_free))
    }

    /// Copies the bytes of a segment from `offset` on to a file of their own, then cuts them off.
    pub(crate) fn set_aside(&self, first_seq: u64, offset: u64) -> io::Result<()> {
        let path = self.segment(first_seq);
        let mut file = self.fs.open(&path)?;
        let copy_path = self.path.join(format!("{first_seq:020}-{offset}.corrupt"));
        if self.fs.open(&copy_path).is_ok() {
            self.fs.remove(&copy_path)?;
        }
        let mut copy = self.fs.create(&copy_path)?;
        let mut chunk = vec![0; 1 << 20];
        let mut at = offset;
        loop {
            let n = file.read_at(&mut chunk, at)?;
            if n == 0 {
                break;
            }
            copy.write_all(&chunk[..n])?;
            at += n as u64;
        }
        copy.sync_data()?;
        self.fs.sync_dir(&self.path)?;
        crash_point!("wal.damage.copied");
        file.set_len(offset)?;
        crash_point!("wal.damage.cut");
        file.sync_data()?;
        self.drop_old_corrupt()
    }

    /// Cuts an unfinished write off.
    pub(crate) fn cut(&self, first_seq: u64, offset: u64) -> io::Result<()> {
        let mut file = self.fs.open(&self.segment(first_seq))?;
        file.set_len(offset)?;
        crash_point!("wal.tail.cut");
        file.sync_data()
    }

    fn drop_old_corrupt(&self) -> io::Result<()> {
        let mut names = self.fs.list(&self.path)?;
        names.retain(|n| n.ends_with(".corrupt"));
        names.sort_unstable();
        let surplus = names.len().saturating_sub(MAX_CORRUPT);
        names.iter().take(surplus).try_for_each(|n| self.fs.remove(&self.path.join(n)))
    }

    /// The uuid from its file, else from the newest segment, else a new one.
    fn identity(&self, rng: &Rng) -> Result<Uuid, Error> {
        if let Some(uuid) = read_identity(&*self.fs, &self.path) {
            return Ok(uuid);
        }
        let old = self.segments()?.into_iter().rev().find_map(|seq| self.header(seq));
        let uuid = old.map_or_else(|| rng.next_u128().to_le_bytes(), |header| header.uuid);
        self.write_identity(&uuid).map_err(|e| Error::io("write", &self.path.join(ID), e))?;
        info!(dir = %self.path.display(), known = old.is_some(), "log directory set up");
        Ok(uuid)
    }

    fn write_identity(&self, uuid: &Uuid) -> io::Result<()> {
        let tmp = self.path.join("id.tmp");
        if self.fs.open(&tmp).is_ok() {
            self.fs.remove(&tmp)?;
        }
        let mut file = self.fs.create(&tmp)?;
        file.write_all(format!("{:032x}", u128::from_be_bytes(*uuid)).as_bytes())?;
        file.sync_data()?;
        crash_point!("wal.id.written");
        self.fs.rename(&tmp, &self.path.join(ID))?;
        crash_point!("wal.id.renamed");
        self.fs.sync_dir(&self.path)
    }

    pub(crate) fn header(&self, first_seq: u64) -> Option<Header> {
        let file = self.fs.open(&self.segment(first_seq)).ok()?;
        let mut bytes = [0; format::HEADER];
        file.read_at(&mut bytes, 0).ok()?;
        Header::parse(&bytes)
    }

    /// Gives the reserved space back.
    pub(crate) fn release_ballast(&self) {
        if self.fs.remove(&self.path.join(BALLAST)).is_ok() {
            warn!(dir = %self.path.display(), "disk is full, ballast given up");
        }
    }

    /// Reserves space again if it is not, and if there is enough.
    pub(crate) fn ensure_ballast(&self, config: &Config) {
        let want = config.ballast.0;
        let path = self.path.join(BALLAST);
        if want == 0 || self.fs.open(&path).is_ok_and(|f| f.size().is_ok_and(|n| n >= want)) {
            return;
        }
        let spare = config.min_free.0.saturating_add(want);
        if self.space().is_some_and(|s| s.free < spare.min(s.total / 2)) {
            return;
        }
        if let Err(error) = self.write_ballast(&path, want) {
            self.fs.remove(&path).ok();
            warn!(%error, "ballast could not be written");
        }
    }

    fn write_ballast(&self, path: &Path, size: u64) -> io::Result<()> {
        self.fs.remove(path).ok();
        let mut file = self.fs.create(path)?;
        let zeros = vec![0; 1 << 20];
        let mut left = size;
        while left > 0 {
            let n = usize::try_from(left).map_or(zeros.len(), |n| n.min(zeros.len()));
            file.write_all(&zeros[..n])?;
            left -= n as u64;
        }
        crash_point!("wal.ballast");
        file.sync_data()?;
        self.fs.sync_dir(&self.path)
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The first sequence numbers of all segment files in a directory, ascending.
pub(crate) fn list_segments(fs: &dyn Filesystem, path: &Path) -> Result<Vec<u64>, Error> {
    let names = fs.list(path).map_err(|e| Error::io("list", path, e))?;
    let mut found: Vec<u64> = names.iter().filter_map(|n| format::parse_segment_name(n)).collect();
    found.sort_unstable();
    Ok(found)
}

/// The uuid that a directory says it has.
pub(crate) fn read_identity(fs: &dyn Filesystem, path: &Path) -> Option<Uuid> {
    let file = fs.open(&path.join(ID)).ok()?;
    let mut hex = [0; 33];
    (file.read_at(&mut hex, 0).ok()? == 32).then_some(())?;
    let hex = std::str::from_utf8(&hex[..32]).ok()?;
    Some(u128::from_str_radix(hex, 16).ok()?.to_be_bytes())
}
