//! Whole blocks damaged at random, of every version that there was: read or refused, and no more memory taken than
//! some multiple of what they have.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a broken assumption ends a test")]

#[path = "../../../fuzz/targets/damage.rs"]
#[expect(dead_code, reason = "others splice texts")]
mod damage;
#[path = "../../../fuzz/targets/blocks.rs"]
mod target;

use std::path::PathBuf;

use self::damage::Draw;

/// Counts and lengths that lie, and the ends of numbers.
const PIECES: &[&[u8]] = &[
    b"\0",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff\x0f",
    b"\xfe\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\0",
];
const RUNS: usize = 250;
/// Most that may be held while a block of a few kilobytes is read.
const MOST_HELD: usize = 64 << 20;

/// The allocator, counting what is held.
#[expect(unsafe_code, reason = "an allocator cannot be written otherwise")]
mod held {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counting;

    static HELD: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);

    // SAFETY: everything is passed on to the system's allocator.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
            PEAK.fetch_max(held, Ordering::Relaxed);
            // SAFETY: the caller keeps the contract, which is the same.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: as above.
            unsafe { System.dealloc(ptr, layout) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    /// The most that was held since the last call.
    pub(crate) fn peak() -> usize {
        PEAK.swap(HELD.load(Ordering::Relaxed), Ordering::Relaxed)
    }
}

/// One more, damaged in a few places, none of which moves the rest.
fn damaged(draw: &mut Draw, whole: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=draw.below(3) {
        // Half of it in the end, where footer, indexes and directories lie.
        let near = bytes.len().min(3 << 10);
        let at = if draw.percent(50) {
            bytes.len() - 1 - draw.below(near)
        } else {
            draw.below(bytes.len())
        };
        if draw.percent(30) {
            bytes[at] ^= 1 << draw.below(8);
            continue;
        }
        for (byte, new) in bytes[at..].iter_mut().zip(draw.pick(PIECES)) {
            *byte = *new;
        }
    }
    bytes
}

#[test]
fn blocks_are_read_or_refused_within_bounds() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "every version has its golden file, and what was found once stays");
    // A decoder that gives up is an error there; what it says would only be in the way here.
    std::panic::set_hook(Box::new(|_| {}));
    let mut draw = Draw::new(11);
    let mut worst = 0;
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        for n in 0..RUNS {
            let block = if n == 0 { whole.clone() } else { damaged(&mut draw, &whole) };
            held::peak();
            let ran = std::panic::catch_unwind(|| target::run(&block));
            let held = held::peak();
            worst = worst.max(held);
            if ran.is_err() || held > MOST_HELD {
                let name = file.file_name().unwrap().display();
                let at = std::env::temp_dir().join(format!("{n}-{name}"));
                std::fs::write(&at, &block).unwrap();
                let _ = std::panic::take_hook();
                panic!(
                    "{name}, damage {n}: ok {}, {held} bytes, see {}",
                    ran.is_ok(),
                    at.display()
                );
            }
        }
    }
    let _ = std::panic::take_hook();
    assert!(worst > 0);
}
