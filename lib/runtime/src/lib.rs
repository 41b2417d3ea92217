//! What every component stands on: clock, randomness, task spawning, shutdown, CPU pool, memory budget, human units, logging, pages, crash points, origins of bytes.
//!
//! Requirements: nothing global but the tracing subscriber; time and randomness are injected, so a
//! whole cluster can run in one test process and be replayed from a seed.

pub mod budget;
pub mod clock;
pub mod cpu;
pub mod crash;
pub mod html;
pub mod metrics;
pub mod origin;
pub mod rng;
pub mod scope;
pub mod secret;
pub mod shutdown;
pub mod task;
pub mod trace;
pub mod units;

pub use crate::budget::{MemoryBudget, MemoryPermit};
pub use crate::clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use crate::cpu::CpuPool;
pub use crate::origin::{Anew, FromCache};
pub use crate::rng::Rng;
pub use crate::scope::Scope;
pub use crate::secret::Secret;
pub use crate::shutdown::Shutdown;
pub use crate::task::{spawn, spawn_blocking};
pub use crate::units::{ByteSize, HumanDuration};
