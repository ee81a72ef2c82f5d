//! Shared memory: files of fixed layout, one writer each, that no reader can disturb and no dead writer can lock.
//!
//! `map` holds what is unsafe, `ring` the seqlock, the rest is bookkeeping: headers, slots, images, and the state file.

mod header;
mod image;
mod map;
mod ring;
mod slot;
mod state;

pub use header::{Header, retire_and_replace};
pub use image::{ImageReader, ImageShape, ImageWriter};
pub use map::Map;
pub use ring::{RETRIES, Read, Ring};
pub use slot::{RawReader, RawWriter, SlotReader, SlotWriter};
pub use state::{LEDGER_RING, STATE_RING, StateReader, StateWriter};

use std::fmt;
use std::path::{Path, PathBuf};

/// What is wrong with which file. Never made in the control cycle.
#[derive(Debug)]
pub struct ShmError {
    pub path: PathBuf,
    pub problem: String,
    /// The file is not there, or not yet: worth trying again.
    pub missing: bool,
}

impl ShmError {
    #[must_use]
    pub fn new(path: &Path, problem: String) -> Self {
        Self { path: path.to_owned(), problem, missing: false }
    }

    #[must_use]
    pub fn io(path: &Path, what: &str, error: &std::io::Error) -> Self {
        Self {
            path: path.to_owned(),
            problem: format!("cannot {what}: {error}"),
            missing: error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}

impl fmt::Display for ShmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared file {}: {}", self.path.display(), self.problem)
    }
}

impl std::error::Error for ShmError {}

/// The file of a topic; a topic's name is also its file's name.
///
/// # Errors
/// When the name could lead out of the folder or does not fit the header.
pub fn topic_path(dir: &Path, topic: &str) -> Result<PathBuf, ShmError> {
    let sound = topic.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'_');
    if topic.is_empty() || topic.starts_with('.') || topic.len() > layout::file::TOPIC_WORDS * 8 || !sound {
        let problem = format!("'{topic}' is no topic: lower-case letters, digits, '.' and '_', at most 64 of them");
        return Err(ShmError::new(dir, problem));
    }
    Ok(dir.join(topic))
}
