//! The crate from outside: batches in, weights and files of a run out.

mod coordinate;
#[path = "../../../model/tests/it/fixture.rs"]
mod fixture;
mod parity;
mod resume;
mod scene;
