//! The logs of an attempt: raw bytes in rotated segments, one series a stream.
//!
//! `log/stdout.0`, `log/stdout.1`, ... hold the bytes; `log/stdout.0.idx` holds pairs of (offset in
//! the whole stream, wall clock in ms), the first of them the segment's own beginning. An offset
//! counts from the first byte that the task ever wrote, so it stays valid across rotation; what has
//! been rotated away, or could not be written to a full disk, shows as a gap and never as silence.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use reader::{Chunk, Reader, tail_bytes, tail_lines};
pub use writer::{UNKNOWN_GAP, Writer};

mod reader;
#[cfg(test)]
mod tests;
mod writer;

/// The directory of the logs within an attempt's.
pub const LOG_DIR: &str = "log";
/// Bytes of one entry of an index: two little-endian u64.
const ENTRY: usize = 16;

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word in file names.
    pub fn word(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    number: u64,
    /// Offset of its first byte in the stream.
    base: u64,
    /// Bytes in it now.
    length: u64,
}

impl Segment {
    fn path(dir: &Path, stream: Stream, number: u64) -> PathBuf {
        dir.join(LOG_DIR).join(format!("{}.{number}", stream.word()))
    }

    fn index_path(dir: &Path, stream: Stream, number: u64) -> PathBuf {
        dir.join(LOG_DIR).join(format!("{}.{number}.idx", stream.word()))
    }

    fn end(&self) -> u64 {
        self.base + self.length
    }
}

/// The segments of a stream, oldest first; those that vanish meanwhile are left out.
fn segments(dir: &Path, stream: Stream) -> io::Result<Vec<Segment>> {
    let entries = match fs::read_dir(dir.join(LOG_DIR)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(stream.word())?.strip_prefix('.'))
            .and_then(|number| number.parse().ok());
        let Some(number) = number else { continue };
        let Ok(index) = fs::read(Segment::index_path(dir, stream, number)) else { continue };
        let Some((base, _)) = index.chunks_exact(ENTRY).next().map(read_entry) else { continue };
        let Ok(data) = fs::symlink_metadata(Segment::path(dir, stream, number)) else { continue };
        if data.is_file() {
            found.push(Segment { number, base, length: data.len() });
        }
    }
    found.sort_by_key(|segment| segment.number);
    Ok(found)
}

fn write_entry(offset: u64, wall_ms: u64) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..8].copy_from_slice(&offset.to_le_bytes());
    entry[8..].copy_from_slice(&wall_ms.to_le_bytes());
    entry
}

fn read_entry(entry: &[u8]) -> (u64, u64) {
    let number = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
    (number(0), number(8))
}
