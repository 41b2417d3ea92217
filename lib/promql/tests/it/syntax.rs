//! The parser as a whole: against another one, against its own printer, against damage.

mod corpus;
#[path = "../../../../fuzz/targets/damage.rs"]
mod damage;
mod generate;
mod mutate;
mod oracle;
mod roundtrip;
mod shape;
#[path = "../../../../fuzz/targets/promql.rs"]
mod target;
