//! Whole clusters over one store in memory, in paused time.

mod life;
mod loss;
mod world;
