//! What happened, in order: one line each, the last ones kept, all of them hashed.
//!
//! Two runs of a seed are the same if their hashes are.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Lines that are kept.
const KEPT: usize = 400;

/// A log of events. Clones share it.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    echo: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hash: u64,
    n_lines: u64,
    last: VecDeque<String>,
}

// === impl Trace ===

impl Trace {
    /// Begins now; with `echo` every line is printed as well.
    pub fn new(echo: bool) -> Self {
        Self(Arc::new(Inner { start: Instant::now(), echo, state: Mutex::default() }))
    }

    /// Notes an event.
    pub fn note(&self, event: fmt::Arguments<'_>) {
        let at = self.0.start.elapsed();
        let line = format!("{:>4}.{:06} {event}", at.as_secs(), at.subsec_micros());
        if self.0.echo {
            #[expect(clippy::print_stdout, reason = "asked for")]
            {
                println!("{line}");
            }
        }
        let mut state = self.0.state.lock();
        state.hash = xxh3_64_with_seed(line.as_bytes(), state.hash);
        state.n_lines += 1;
        if state.last.len() == KEPT {
            state.last.pop_front();
        }
        state.last.push_back(line);
    }

    /// Of all lines so far.
    pub fn hash(&self) -> u64 {
        self.0.state.lock().hash
    }

    pub fn n_lines(&self) -> u64 {
        self.0.state.lock().n_lines
    }

    /// The last lines.
    pub fn last(&self) -> Vec<String> {
        self.0.state.lock().last.iter().cloned().collect()
    }
}
