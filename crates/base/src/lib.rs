//! What every other crate stands on; it knows nothing of models or text.
//!
//! - [`AtomicFile`] is the one way in which this program replaces a file. It writes under a temporary name beside the
//!   target ([`temporary`]), flushes and renames, so that under a name stands the old file or the whole new one.
//! - [`disk`] makes every change of a disk, and can be told to fail at any: so tests kill a run at each of its writes.
//! - [`MappedFile`] is a file as a slice of bytes that the system reads when they are needed.
//! - [`Rng`] counts random numbers from a seed and a name, so that nobody has to store a generator's state.
//! - [`base64`] turns bytes into text and back.
//! - [`hash`] has SHA-256 for contents and a fast hash for tables, [`Timestamp`] the time in UTC.
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
pub mod base64;
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
