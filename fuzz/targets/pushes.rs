//! What each run of the fuzzer does with its bytes: every decoder of pushes takes them as a body.

use std::sync::OnceLock;

use skald_distributor::probe::Decoders;

/// One for all runs: a body must not leave anything behind that harms the next.
pub(crate) fn decoders() -> &'static Decoders {
    static DECODERS: OnceLock<Decoders> = OnceLock::new();
    DECODERS.get_or_init(|| Decoders::new().expect("one partition is a view"))
}
