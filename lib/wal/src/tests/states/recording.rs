//! A file system that writes down what it is asked.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::MemFs;
use crate::fs::{File, Filesystem, Lock, Space};

/// What was asked of the file system, or told to callers of the log. Files by number, in the order of their creation.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Create {
        name: String,
        file: usize,
    },
    Write {
        file: usize,
        bytes: Vec<u8>,
    },
    SetLen {
        file: usize,
        len: usize,
    },
    Sync {
        file: usize,
    },
    Remove {
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    SyncDir,
    /// Everything up to this number was acknowledged.
    Acked(u64),
    /// Nobody needs what is before this number any more.
    Obsolete(u64),
}

#[derive(Debug, Default)]
struct Log {
    events: Vec<Event>,
    /// Names now, to find the number of a file that is opened again.
    names: std::collections::BTreeMap<String, usize>,
    n_files: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct RecordingFs {
    inner: MemFs,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug)]
struct RecordingFile {
    inner: Box<dyn File>,
    file: usize,
    log: Arc<Mutex<Log>>,
}

impl RecordingFs {
    pub(super) fn tell(&self, event: Event) {
        self.log.lock().events.push(event);
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.log.lock().events.clone()
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl Filesystem for RecordingFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let inner = self.inner.create(path)?;
        let mut log = self.log.lock();
        let file = log.n_files;
        log.n_files += 1;
        log.names.insert(name(path), file);
        log.events.push(Event::Create { name: name(path), file });
        Ok(Box::new(RecordingFile { inner, file, log: Arc::clone(&self.log) }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let inner = self.inner.open(path)?;
        let file = self.log.lock().names[&name(path)];
        Ok(Box::new(RecordingFile { inner, file, log: Arc::clone(&self.log) }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)?;
        let mut log = self.log.lock();
        log.names.remove(&name(path));
        log.events.push(Event::Remove { name: name(path) });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)?;
        let mut log = self.log.lock();
        let file = log.names.remove(&name(from)).unwrap();
        log.names.insert(name(to), file);
        log.events.push(Event::Rename { from: name(from), to: name(to) });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)?;
        self.tell(Event::SyncDir);
        Ok(())
    }

    fn space(&self, dir: &Path) -> io::Result<Option<Space>> {
        self.inner.space(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.inner.lock(path)
    }
}

impl File for RecordingFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        let event = Event::Write { file: self.file, bytes: bytes.to_vec() };
        self.log.lock().events.push(event);
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.inner.sync_data()?;
        self.log.lock().events.push(Event::Sync { file: self.file });
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)?;
        let len = usize::try_from(len).unwrap();
        self.log.lock().events.push(Event::SetLen { file: self.file, len });
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}
