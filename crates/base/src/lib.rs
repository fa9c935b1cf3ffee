//! What every other crate stands on: files that appear whole or not at all ([`AtomicFile`]), mapped files
//! ([`MappedFile`]), random numbers ([`Rng`]), hashes
//! ([`hash`]) and points in time ([`Timestamp`]).
//!
//! [`AtomicFile`] is the one way in which this program replaces a file. It writes under a temporary name beside the
//! target ([`temporary`]), flushes, and renames; every change on the way goes through [`disk`]:
//!
//! ```
//! use std::io::Write as _;
//! # let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("answer.txt");
//! let mut file = base::AtomicFile::create(&path)?;
//! file.write_all(b"42\n").unwrap();
//! assert!(!path.exists());
//! file.finish()?;
//! assert_eq!(std::fs::read(&path).unwrap(), b"42\n");
//! # Ok::<(), base::FileError>(())
//! ```

mod atomic_file;
pub mod disk;
mod error;
pub mod hash;
#[allow(unsafe_code)] // a mapping; no other file of this crate has any
mod mapped_file;
mod rng;
pub mod temporary;
mod timestamp;

pub use atomic_file::{AtomicFile, is_stream, make_folders, remove_folders, write, write_new};
pub use error::FileError;
pub use mapped_file::MappedFile;
pub use rng::{Rng, mix};
pub use timestamp::{Timestamp, TimestampError};
