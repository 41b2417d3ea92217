//! The files of a cache: `<dir>/<2 hex digits>/<30 more>`, the hash of the key. All of this blocks.
//!
//! A file is written under another name and renamed, so that a crash leaves it whole or not at all; what it leaves
//! half written is removed at the next start. Nothing is synced: what a power loss takes or garbles fails its checksum.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;

use super::entry::{self, Entry, Key};

const UNFINISHED: &str = "tmp";

#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    writing: Mutex<Writing>,
}

/// Which unfinished files are those of this process.
#[derive(Debug, Default)]
struct Writing {
    n: u64,
    numbers: HashSet<u64>,
}

// === impl Files ===

impl Files {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, writing: Mutex::default() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, hash: u128) -> PathBuf {
        let name = format!("{hash:032x}");
        let (shard, name) = name.split_at(2);
        self.dir.join(shard).join(name)
    }

    /// The entry; `None` if there is no file, an error if it is not what it should be.
    pub(super) fn read(&self, key: &Key) -> io::Result<Option<Entry>> {
        let mut file = match File::open(self.path(key.hash)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let size = entry::size(key);
        if file.metadata()?.len() != size {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        file.read_exact(&mut bytes)?;
        let entry = Entry::parse(&Bytes::from(bytes), key);
        entry.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    pub(super) fn write(&self, key: &Key, entry: &Entry) -> io::Result<()> {
        let path = self.path(key.hash);
        let shard = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(shard)?;
        let n = {
            let mut writing = self.writing.lock();
            writing.n += 1;
            let n = writing.n;
            writing.numbers.insert(n);
            n
        };
        let unfinished = shard.join(format!("{n:x}.{UNFINISHED}"));
        let written = write_all(&unfinished, &[&entry.head(), &entry.data])
            .and_then(|()| fs::rename(&unfinished, &path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        self.writing.lock().numbers.remove(&n);
        written
    }

    /// It may be gone already.
    pub(super) fn remove(&self, hash: u128) {
        let _ = fs::remove_file(self.path(hash));
    }

    /// Hashes and sizes of the files that are there, the oldest first; the newest `most` of them, others are removed.
    /// What is no entry by its name is left alone.
    pub(super) fn list(&self, most: usize) -> Vec<(u128, u64)> {
        // The oldest on top.
        let mut found: BinaryHeap<Reverse<(SystemTime, u128, u64)>> = BinaryHeap::new();
        for shard in entries(&self.dir) {
            let Some(first) = hex(&shard, 2) else { continue };
            for path in entries(&shard) {
                if path.extension().is_some_and(|e| e == UNFINISHED) {
                    self.remove_unfinished(&path);
                    continue;
                }
                let Some(rest) = hex(&path, 30) else { continue };
                let Ok(meta) = fs::symlink_metadata(&path) else { continue };
                if !meta.is_file() {
                    continue;
                }
                let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push(Reverse((written, first << 120 | rest, meta.len())));
                if found.len() > most
                    && let Some(Reverse((_, hash, _))) = found.pop()
                {
                    self.remove(hash);
                }
            }
        }
        let newest_first = found.into_sorted_vec();
        newest_first.into_iter().rev().map(|Reverse((_, hash, size))| (hash, size)).collect()
    }

    /// Removes what another process left behind.
    fn remove_unfinished(&self, path: &Path) {
        let name = path.file_stem().and_then(|n| n.to_str());
        let n = name.and_then(|n| u64::from_str_radix(n, 16).ok());
        // Held, so that none of that number is begun meanwhile.
        let writing = self.writing.lock();
        if n.is_some_and(|n| !writing.numbers.contains(&n)) {
            let _ = fs::remove_file(path);
        }
    }
}

fn write_all(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = File::create(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

/// What is in a directory; nothing if it cannot be read.
fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// The number that a name of `digits` small hexadecimal digits is.
fn hex(path: &Path, digits: usize) -> Option<u128> {
    let name = path.file_name()?.to_str()?;
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let fits = name.len() == digits && name.bytes().all(is_hex);
    fits.then(|| u128::from_str_radix(name, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_newest_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().to_owned());
        for n in 0..20u128 {
            // In no order of their names.
            let hash = (n * 7 % 20) << 120 | n;
            let path = files.path(hash);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            let written = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(n).unwrap());
            File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        }
        let ids = |listed: Vec<(u128, u64)>| -> Vec<u128> {
            listed.into_iter().map(|(hash, _)| hash & 0xff).collect()
        };
        assert_eq!(ids(files.list(5)), [15, 16, 17, 18, 19]);
        assert_eq!(ids(files.list(100)), [15, 16, 17, 18, 19], "others are removed");
    }
}
