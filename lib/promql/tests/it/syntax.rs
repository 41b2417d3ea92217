//! The parser as a whole: against another one, against its own printer.

mod corpus;
mod draw;
mod generate;
mod oracle;
mod roundtrip;
mod shape;
