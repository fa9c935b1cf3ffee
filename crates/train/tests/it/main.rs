//! The crate from outside: batches in, weights and files of a run out.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod coordinate;
#[path = "../../../model/tests/it/fixture.rs"]
mod fixture;
mod joint_step;
mod objectives;
mod parity;
mod pictures;
mod replay;
mod resume;
mod scene;
