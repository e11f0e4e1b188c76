//! The few things that the journal does with a disk.

use std::io;

pub use files::{Files, TRASH};
#[cfg(any(test, feature = "sim"))]
pub use simulated::SimulatedDisk;

pub mod trash;

mod files;
#[cfg(any(test, feature = "sim"))]
mod simulated;

/// When a write has to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the call returns.
    Now,
    /// Some time. It survives the end of the process, and a loss of power may tear it or lose it.
    Later,
}

/// A new directory with its first file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDir {
    /// The directory, whose parent exists or is made.
    pub dir: String,
    /// The file's name in it.
    pub file: &'static str,
    /// The file's content.
    pub bytes: Vec<u8>,
}

/// A directory of small files. Paths are relative to it, with `/` between names.
pub trait Disk: Send {
    /// The content of a file; `None` when it is not there.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a file, so that a reader sees the old content or the new one. The directory exists.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&mut self, path: &str, bytes: &[u8], durability: Durability) -> io::Result<()>;

    /// Makes directories, each with one file; all are durable when the call returns.
    ///
    /// # Errors
    /// One cannot be made; then any of them may be there, whole or torn.
    fn create(&mut self, dirs: &[NewDir]) -> io::Result<()>;

    /// The names in a directory, sorted; none when it is not there.
    ///
    /// # Errors
    /// It cannot be read.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Takes a directory with everything in it away, so that its name is free; nothing when it is not there. Returns at
    /// once: what was in it may be deleted later.
    ///
    /// # Errors
    /// It cannot be taken away, and is still there.
    fn remove(&mut self, dir: &str) -> io::Result<()>;
}
