//! Reading one stream, while it is written or long after.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Segment, Stream, segments};
use crate::record::{EXIT_FILE, ExitRecord, Record};

/// Bytes searched at a time for the beginning of the last lines.
const TAIL_STEP: u64 = 64 << 10;

/// What a read gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// So many bytes are in the buffer; the first of them is at `offset` of the stream.
    Data { offset: u64, bytes: usize },
    /// So many bytes were rotated away or never reached the disk; reading goes on after them.
    Gap { bytes: u64 },
    /// Nothing more yet: ask again later.
    Wait,
    /// The attempt is over and everything was read.
    End,
}

/// Reads a stream from an offset on.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    stream: Stream,
    offset: u64,
    open: Option<(Segment, File)>,
}

impl Reader {
    /// A reader of an attempt's directory that begins at `offset` of the stream. Opens nothing yet.
    pub fn new(dir: &Path, stream: Stream, offset: u64) -> Reader {
        Reader { dir: dir.to_owned(), stream, offset, open: None }
    }

    /// Where the next read begins; the cursor to hand out.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads what is there into `buffer`; never waits.
    ///
    /// # Errors
    /// A segment is there and cannot be read.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Chunk> {
        // Asked before looking for data: what is written after the answer "over" is nothing.
        let over = self.dir.join(EXIT_FILE).exists();
        if let Some(chunk) = self.read_open(buffer)? {
            return Ok(chunk);
        }
        let all = segments(&self.dir, self.stream)?;
        let Some(segment) = all.iter().find(|segment| segment.end() > self.offset) else {
            return Ok(if over { self.end() } else { Chunk::Wait });
        };
        if segment.base > self.offset {
            let bytes = segment.base - self.offset;
            self.offset = segment.base;
            return Ok(Chunk::Gap { bytes });
        }
        match open(&Segment::path(&self.dir, self.stream, segment.number)) {
            Ok(file) => self.open = Some((segment.clone(), file)),
            // Rotated away between listing and opening; the next call sees the gap.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Chunk::Wait),
            Err(error) => return Err(error),
        }
        Ok(self.read_open(buffer)?.unwrap_or(Chunk::Wait))
    }

    /// The answer after the last byte in the log: what the disk did not take of the rest, and then the end.
    fn end(&mut self) -> Chunk {
        let ends = ExitRecord::read(&self.dir.join(EXIT_FILE)).ok().flatten().map(|record| record.log_ends);
        let end = ends.and_then(|ends| match self.stream {
            Stream::Stdout => ends.stdout,
            Stream::Stderr => ends.stderr,
        });
        match end.and_then(|end| end.checked_sub(self.offset)) {
            Some(bytes) if bytes > 0 => {
                self.offset += bytes;
                Chunk::Gap { bytes }
            }
            Some(_) | None => Chunk::End,
        }
    }

    /// Reads from the open segment; `None` at its present end.
    fn read_open(&mut self, buffer: &mut [u8]) -> io::Result<Option<Chunk>> {
        let Some((segment, file)) = &self.open else { return Ok(None) };
        let bytes = file.read_at(buffer, self.offset - segment.base)?;
        if bytes == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += u64::try_from(bytes).expect("lengths fit in 64 bits");
        Ok(Some(Chunk::Data { offset, bytes }))
    }
}

/// The offset at which the last `bytes` bytes of the stream begin.
///
/// # Errors
/// The log directory cannot be read.
pub fn tail_bytes(dir: &Path, stream: Stream, bytes: u64) -> io::Result<u64> {
    let all = segments(dir, stream)?;
    let first = all.first().map_or(0, |segment| segment.base);
    let end = all.last().map_or(0, Segment::end);
    Ok(end.saturating_sub(bytes).max(first))
}

/// The offset at which the last `lines` lines of the stream begin. An unfinished last line counts.
///
/// # Errors
/// The log directory or a segment cannot be read.
pub fn tail_lines(dir: &Path, stream: Stream, lines: u64) -> io::Result<u64> {
    let all = segments(dir, stream)?;
    let end = all.last().map_or(0, Segment::end);
    if lines == 0 {
        return Ok(end);
    }
    let mut seen = 0;
    let mut buffer = vec![0; usize::try_from(TAIL_STEP).expect("64 KiB fit")];
    for segment in all.iter().rev() {
        let file = open(&Segment::path(dir, stream, segment.number))?;
        let mut upto = segment.length;
        while upto > 0 {
            let from = upto.saturating_sub(TAIL_STEP);
            let part = &mut buffer[..usize::try_from(upto - from).expect("at most one step")];
            file.read_exact_at(part, from)?;
            for (place, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
                let after = segment.base + from + u64::try_from(place).expect("fits") + 1;
                if after == end {
                    continue;
                }
                seen += 1;
                if seen == lines {
                    return Ok(after);
                }
            }
            upto = from;
        }
    }
    Ok(all.first().map_or(0, |segment| segment.base))
}

/// Opens a segment for reading, and nothing that only pretends to be one.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}
