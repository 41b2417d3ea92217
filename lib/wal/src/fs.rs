//! The few file operations the log needs, behind a trait, so that tests can take the power away.

pub mod disk;
pub mod mem;
mod space;

use std::fmt::Debug;
use std::io;
use std::path::Path;

pub use self::disk::StdFs;
pub use self::mem::MemFs;

/// A directory tree. All calls block.
pub trait Filesystem: Debug + Send + Sync {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Creates a file that does not exist yet. It survives power loss only after [`sync_dir`](Self::sync_dir).
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// The names of the files in `dir`, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Renames within a directory, replacing what is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes creations, removals and renames in `dir` survive power loss.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The space of the file system of `dir`, where it can be known.
    fn space(&self, dir: &Path) -> io::Result<Option<Space>>;

    /// Locks the file at `path`, creating it; `None` if somebody else holds it. Dropping unlocks.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;
}

/// An open file.
pub trait File: Debug + Send + Sync {
    /// Appends all of `bytes`, or fails having appended any part of them.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes contents and length survive power loss.
    fn sync_data(&mut self) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Reads at `offset`; 0 only at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    fn size(&self) -> io::Result<u64>;
}

/// A held lock file.
pub trait Lock: Debug + Send + Sync {}

/// The space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that we may still write.
    pub free: u64,
    pub total: u64,
}
