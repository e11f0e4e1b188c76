//! Where the bytes of logs come from.

use std::fmt;
use std::io;
use std::path::Path;

use berth_shim::log::{self, Chunk, Reader, Stream};

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum From {
    /// At the beginning.
    #[default]
    Start,
    /// So many bytes from the beginning of the stream.
    Offset(u64),
    /// At the last so many bytes.
    TailBytes(u64),
    /// At the last so many lines.
    TailLines(u64),
}

/// The logs of one kind of executor.
pub trait LogSource: fmt::Debug + Send + Sync {
    /// Opens one stream of the attempt with this directory.
    ///
    /// # Errors
    /// It cannot be read.
    fn open(&self, dir: &Path, stream: Stream, from: From) -> io::Result<Box<dyn LogReader>>;
}

/// Reads one stream of one attempt.
pub trait LogReader: fmt::Debug + Send {
    /// Where the next read begins.
    fn offset(&self) -> u64;

    /// Reads what is there; never waits.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Chunk>;
}

/// Logs in rotated segments in the attempt's directory, as the shim writes them. An attempt that wrote none has empty
/// ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Segments;

impl LogSource for Segments {
    fn open(&self, dir: &Path, stream: Stream, from: From) -> io::Result<Box<dyn LogReader>> {
        let offset = match from {
            From::Start => 0,
            From::Offset(offset) => offset,
            From::TailBytes(bytes) => log::tail_bytes(dir, stream, bytes)?,
            From::TailLines(lines) => log::tail_lines(dir, stream, lines)?,
        };
        Ok(Box::new(Reader::new(dir, stream, offset)))
    }
}

impl LogReader for Reader {
    fn offset(&self) -> u64 {
        Reader::offset(self)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Chunk> {
        Reader::read(self, buffer)
    }
}
