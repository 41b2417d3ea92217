//! What a disk may hold after recorded operations.

use std::collections::BTreeMap;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::recording::Event;
use crate::MemFs;

/// Where a write may be cut: sectors and pages of the file.
const UNITS: [usize; 2] = [512, 4096];

/// A change of a file that no sync has covered.
#[derive(Clone, Debug)]
enum Change {
    /// At this offset.
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// A change of the directory that no sync has covered.
#[derive(Clone, Debug)]
enum Naming {
    Create(String, usize),
    Remove(String),
    Rename(String, String),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    synced: Vec<u8>,
    pending: Vec<Change>,
    /// With everything pending.
    len: usize,
}

/// What is certainly there, and what may be.
#[derive(Debug, Default)]
pub(super) struct Disk {
    inodes: Vec<Inode>,
    synced_names: BTreeMap<String, usize>,
    pending_names: Vec<Naming>,
}

/// What a start may find.
#[derive(Debug)]
pub(super) struct State {
    files: BTreeMap<String, Vec<u8>>,
    pub(super) what: String,
}

// === impl Disk ===

impl Disk {
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Create { name, file } => {
                self.inodes.resize_with(self.inodes.len().max(file + 1), Inode::default);
                self.pending_names.push(Naming::Create(name.clone(), *file));
            }
            Event::Write { file, bytes } => {
                let inode = &mut self.inodes[*file];
                inode.pending.push(Change::Write(inode.len, bytes.clone()));
                inode.len += bytes.len();
            }
            Event::SetLen { file, len } => {
                self.inodes[*file].pending.push(Change::SetLen(*len));
                self.inodes[*file].len = *len;
            }
            Event::Sync { file } => {
                let inode = &mut self.inodes[*file];
                let pending = std::mem::take(&mut inode.pending);
                inode.synced = with(&inode.synced, &pending);
            }
            Event::Remove { name } => self.pending_names.push(Naming::Remove(name.clone())),
            Event::Rename { from, to } => {
                self.pending_names.push(Naming::Rename(from.clone(), to.clone()));
            }
            Event::SyncDir => {
                let pending = std::mem::take(&mut self.pending_names);
                self.synced_names = named(&self.synced_names, &pending);
            }
            Event::Acked(_) | Event::Obsolete(_) => {}
        }
    }

    /// All states that are possible now.
    pub(super) fn states(&self) -> Vec<State> {
        let mut all = Vec::new();
        for (names, which) in self.directories() {
            // Each file by itself in all its forms, while the others have all or nothing of what is pending.
            for whole in [false, true] {
                let base = |file: usize| {
                    let inode = &self.inodes[file];
                    if whole { with(&inode.synced, &inode.pending) } else { inode.synced.clone() }
                };
                let others: BTreeMap<&String, (usize, Vec<u8>)> =
                    names.iter().map(|(name, file)| (name, (*file, base(*file)))).collect();
                let plain = |skip: usize, form: &[u8]| {
                    let file = |(name, (file, bytes)): (&&String, &(usize, Vec<u8>))| {
                        let bytes = if *file == skip { form.to_vec() } else { bytes.clone() };
                        ((*name).clone(), bytes)
                    };
                    others.iter().map(file).collect()
                };
                all.push(State {
                    files: plain(usize::MAX, &[]),
                    what: format!("{which}, all pending writes: {whole}"),
                });
                for &file in names.values().filter(|f| !self.inodes[**f].pending.is_empty()) {
                    for (form, how) in self.inodes[file].forms() {
                        let what = format!("{which}, others whole: {whole}, file {file}: {how}");
                        all.push(State { files: plain(file, &form), what });
                    }
                }
            }
        }
        all
    }

    /// The directory with the first changes that are pending, or with all but one.
    fn directories(&self) -> Vec<(BTreeMap<String, usize>, String)> {
        let pending = &self.pending_names;
        let mut all = Vec::new();
        for n in 0..=pending.len() {
            all.push((named(&self.synced_names, &pending[..n]), format!("{n} directory changes")));
        }
        for missing in 0..pending.len().saturating_sub(1) {
            let mut some = pending.clone();
            some.remove(missing);
            let what = format!("directory change {missing} missing");
            all.push((named(&self.synced_names, &some), what));
        }
        all
    }
}

impl Inode {
    /// The contents with some of the pending changes: each subset, the last one cut, zeroed or overwritten.
    fn forms(&self) -> Vec<(Vec<u8>, String)> {
        let n = self.pending.len();
        let masks: Vec<u32> = if n <= 4 {
            (0..1 << n).collect()
        } else {
            let prefixes = (0..=n).map(|k| (1 << k) - 1);
            prefixes.chain((0..n).map(|k| ((1 << n) - 1) & !(1 << k))).collect()
        };
        let mut forms = Vec::new();
        for mask in masks {
            let some: Vec<Change> =
                (0..n).filter(|k| mask & (1 << k) != 0).map(|k| self.pending[k].clone()).collect();
            let whole = with(&self.synced, &some);
            if let Some(Change::Write(at, bytes)) = some.last() {
                for cut in cuts(*at, at + bytes.len()) {
                    forms.push((whole[..cut].to_vec(), format!("writes {mask:b} cut at {cut}")));
                    for fill in [0, 0xa5] {
                        let mut filled = whole.clone();
                        filled[cut..].fill(fill);
                        let how = format!("writes {mask:b}, {fill:#x} from {cut}");
                        forms.push((filled, how));
                    }
                }
            }
            forms.push((whole, format!("writes {mask:b}")));
        }
        forms
    }
}

/// Where a write of `from..to` may end too early: at its start, at each sector and page within, and in the middle.
fn cuts(from: usize, to: usize) -> Vec<usize> {
    let mut cuts = vec![from, from + (to - from) / 2];
    for unit in UNITS {
        cuts.extend((from / unit + 1..).map(|n| n * unit).take_while(|cut| *cut < to));
    }
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn with(synced: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = synced.to_vec();
    for change in changes {
        match change {
            Change::Write(at, new) => {
                // A hole where an earlier write is missing.
                bytes.resize(bytes.len().max(at + new.len()), 0);
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Change::SetLen(len) => bytes.resize(*len, 0),
        }
    }
    bytes
}

fn named(synced: &BTreeMap<String, usize>, changes: &[Naming]) -> BTreeMap<String, usize> {
    let mut names = synced.clone();
    for change in changes {
        match change {
            Naming::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Naming::Remove(name) => {
                names.remove(name);
            }
            Naming::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
    names
}

// === impl State ===

impl State {
    pub(super) fn hash(&self) -> u64 {
        let parts = self
            .files
            .iter()
            .map(|(name, bytes)| xxh3_64(name.as_bytes()).rotate_left(7) ^ xxh3_64(bytes));
        parts.fold(0, |h, part| (h.rotate_left(13) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A file system that holds this.
    pub(super) fn boot(&self, dir: &Path) -> MemFs {
        let fs = MemFs::new();
        for (name, bytes) in &self.files {
            fs.put(&dir.join(name), bytes.clone());
        }
        fs
    }
}
