//! Files in memory that remember what was synced: for tests that take the power away.
//!
//! Invariant: [`MemFs::after_power_loss`] keeps exactly the synced bytes of files whose directory entry
//! was synced, plus as much of an unsynced tail as the caller asks for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{File, Filesystem, Lock, Space};

/// Files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemFs(Arc<Mutex<State>>, Arc<Gate>);

/// Holds back calls of `sync_data`.
#[derive(Debug, Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

/// An operation that [`MemFs`] can be told to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Create,
    Write,
    Sync,
    SetLen,
    Read,
    Remove,
    SyncDir,
}

/// What power loss does to bytes written behind the last sync of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// All are lost.
    Lose,
    /// At most so many are kept.
    Keep(usize),
    /// At most so many are kept; the rest is there, as zeros.
    Zero(usize),
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    locks: BTreeSet<PathBuf>,
    faults: BTreeMap<Op, VecDeque<io::ErrorKind>>,
    counts: BTreeMap<Op, u64>,
    capacity: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    data: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug)]
struct MemFile {
    fs: MemFs,
    inode: usize,
}

#[derive(Debug)]
struct MemLock {
    fs: MemFs,
    path: PathBuf,
}

// === impl MemFs ===

impl MemFs {
    pub fn new() -> Self {
        Self::default()
    }

    /// The file system as the next boot finds it.
    pub fn after_power_loss(&self, tear: Tear) -> Self {
        let state = self.0.lock();
        let mut next = State { capacity: state.capacity, ..State::default() };
        for (path, &inode) in &state.synced_names {
            let mut file = state.inodes[inode].after_power_loss(tear);
            file.synced.clone_from(&file.data);
            next.names.insert(path.clone(), next.inodes.len());
            next.inodes.push(file);
        }
        next.synced_names.clone_from(&next.names);
        Self(Arc::new(Mutex::new(next)), Arc::default())
    }

    /// The file system as a restart finds it after the death of the process: nothing is lost.
    pub fn after_kill(&self) -> Self {
        let state = self.0.lock();
        let next = State {
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            synced_names: state.synced_names.clone(),
            capacity: state.capacity,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(next)), Arc::default())
    }

    /// Makes the next call of `op` fail; several calls queue up.
    pub fn fail_next(&self, op: Op, kind: io::ErrorKind) {
        self.0.lock().faults.entry(op).or_default().push_back(kind);
    }

    /// Takes back what [`fail_next`](Self::fail_next) asked for and has not come yet.
    pub fn fail_no_more(&self) {
        self.0.lock().faults.clear();
    }

    /// Bounds the bytes of all files together; `None` lifts the bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Lets calls of `sync_data` begin, but not end, until [`release_syncs`](Self::release_syncs).
    pub fn hold_syncs(&self) {
        *self.1.closed.lock() = true;
    }

    pub fn release_syncs(&self) {
        *self.1.closed.lock() = false;
        self.1.opened.notify_all();
    }

    /// How often `op` was called.
    pub fn count(&self, op: Op) -> u64 {
        self.0.lock().counts.get(&op).copied().unwrap_or_default()
    }

    /// The bytes of a file, synced or not.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let inode = *state.names.get(path)?;
        Some(state.inodes[inode].data.clone())
    }

    /// Makes `bytes` the synced contents of a file.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.0.lock();
        let inode = state.inodes.len();
        state.inodes.push(Inode { data: bytes.clone(), synced: bytes });
        state.names.insert(path.to_owned(), inode);
        state.synced_names.insert(path.to_owned(), inode);
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }
}

impl State {
    fn enter(&mut self, op: Op) -> io::Result<()> {
        *self.counts.entry(op).or_default() += 1;
        match self.faults.get_mut(&op).and_then(VecDeque::pop_front) {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|&i| self.inodes[i].data.len() as u64).sum()
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Inode {
    fn after_power_loss(&self, tear: Tear) -> Self {
        let start = self.synced.len();
        // Cut and not synced: as if it was never cut.
        let Some(tail) = self.data.get(start..) else {
            return Self { data: self.synced.clone(), synced: Vec::new() };
        };
        let mut data = self.synced.clone();
        match tear {
            Tear::Lose => {}
            Tear::Keep(n) => data.extend_from_slice(&tail[..n.min(tail.len())]),
            Tear::Zero(n) => {
                data.extend_from_slice(&tail[..n.min(tail.len())]);
                data.resize(self.data.len(), 0);
            }
        }
        Self { data, synced: Vec::new() }
    }
}

impl Filesystem for MemFs {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.0.lock();
        state.enter(Op::Create)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(path.to_owned(), inode);
        Ok(Box::new(MemFile { fs: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let inode = self.0.lock().inode(path)?;
        Ok(Box::new(MemFile { fs: self.clone(), inode }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let here = state.names.keys().filter(|p| p.parent() == Some(dir));
        Ok(here.filter_map(|p| p.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.enter(Op::Remove)?;
        state.inode(path)?;
        state.names.remove(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let inode = state.inode(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.enter(Op::SyncDir)?;
        let State { names, synced_names, .. } = &mut *state;
        synced_names.retain(|path, _| path.parent() != Some(dir));
        let here = names.iter().filter(|(path, _)| path.parent() == Some(dir));
        synced_names.extend(here.map(|(path, inode)| (path.clone(), *inode)));
        Ok(())
    }

    fn space(&self, _dir: &Path) -> io::Result<Option<Space>> {
        let state = self.0.lock();
        let space = |total: u64| Space { free: total.saturating_sub(state.used()), total };
        Ok(state.capacity.map(space))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        if !self.0.lock().locks.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemLock { fs: self.clone(), path: path.to_owned() })))
    }
}

impl File for MemFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.fs.0.lock();
        let fault = state.enter(Op::Write);
        let mut fits = bytes.len();
        if let Some(capacity) = state.capacity {
            let free = capacity.saturating_sub(state.used());
            fits = fits.min(usize::try_from(free).unwrap_or(usize::MAX));
        }
        if fault.is_err() {
            fits /= 2;
        }
        state.inodes[self.inode].data.extend_from_slice(&bytes[..fits]);
        fault?;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.fs.0.lock().enter(Op::Sync)?;
        let gate = &self.fs.1;
        gate.opened.wait_while(&mut gate.closed.lock(), |closed| *closed);
        let mut state = self.fs.0.lock();
        let inode = &mut state.inodes[self.inode];
        if inode.data.starts_with(&inode.synced) {
            let from = inode.synced.len();
            inode.synced.extend_from_slice(&inode.data[from..]);
        } else {
            inode.synced.clone_from(&inode.data);
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.fs.0.lock();
        state.enter(Op::SetLen)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        state.inodes[self.inode].data.resize(len, 0);
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.fs.0.lock();
        state.enter(Op::Read)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let rest = state.inodes[self.inode].data.get(offset..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.fs.0.lock().inodes[self.inode].data.len() as u64)
    }
}

impl Lock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.fs.0.lock().locks.remove(&self.path);
    }
}
