//! The free space of a file system: the one system call that the standard library lacks.
//!
//! Only on 64-bit Linux, where glibc and musl lay out `struct statvfs` alike; elsewhere the space is
//! unknown and a full disk is noticed when a write fails. The test compares with `df`.
#![cfg_attr(
    all(target_os = "linux", target_pointer_width = "64"),
    expect(unsafe_code, reason = "statvfs(3) is a C function; one call, on a buffer of ours")
)]

use std::io;
use std::path::Path;

use super::Space;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(super) fn query(dir: &Path) -> io::Result<Option<Space>> {
    use std::ffi::{CString, c_char, c_int};
    use std::os::unix::ffi::OsStrExt;

    /// The first fields, and more room than any libc needs for the rest.
    #[repr(C)]
    #[derive(Default)]
    struct StatVfs {
        block_size: u64,
        fragment_size: u64,
        blocks: u64,
        free: u64,
        available: u64,
        rest: [u64; 27],
    }

    unsafe extern "C" {
        fn statvfs(path: *const c_char, out: *mut StatVfs) -> c_int;
    }

    let path = CString::new(dir.as_os_str().as_bytes())?;
    let mut out = StatVfs::default();
    // SAFETY: `path` is a terminated string, and `out` is 256 writable bytes, of which statvfs fills 112.
    if unsafe { statvfs(path.as_ptr(), &raw mut out) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let unit = if out.fragment_size == 0 { out.block_size } else { out.fragment_size };
    Ok(Some(Space {
        free: out.available.saturating_mul(unit),
        total: out.blocks.saturating_mul(unit),
    }))
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub(super) fn query(_dir: &Path) -> io::Result<Option<Space>> {
    Ok(None)
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_df_on_the_size() {
        let dir = tempfile::tempdir().unwrap();
        let ours = query(dir.path()).unwrap().unwrap();
        let out = std::process::Command::new("df").arg("-Pk").arg(dir.path()).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let line = text.lines().nth(1).unwrap();
        let total_kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert_eq!(ours.total / 1024, total_kib);
        assert!(ours.free > 0 && ours.free <= ours.total);
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(query(&dir.path().join("none")).is_err());
    }
}
