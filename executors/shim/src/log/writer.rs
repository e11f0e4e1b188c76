//! Writing one stream to its segments.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Segment, Stream, segments, write_entry};
use crate::clock;
use crate::record::LogSizes;

/// The length of a gap that stands for an unknown number of bytes.
pub const UNKNOWN_GAP: u64 = 1;
/// A segment may end this many bytes early, at the end of a line.
const LINE_SEARCH: u64 = 32 << 10;
/// An index entry is written after this many bytes,
const INDEX_BYTES: u64 = 64 << 10;
/// or after this many milliseconds, when something is written.
const INDEX_MS: u64 = 1000;
/// After a failed write the disk is tried again so many milliseconds later.
const RETRY_MS: u64 = 1000;

/// Writes a stream. Never fails: what the disk does not take is dropped and counted, because a full
/// disk must not stop the task.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    stream: Stream,
    sizes: LogSizes,
    current: Option<Current>,
    /// Number of the next segment.
    next: u64,
    /// Offset in the stream of the next byte.
    offset: u64,
    lost: u64,
    /// When the disk is tried again after a failed write, on the boot clock: the wall clock can be set back.
    retry_at_boot: u64,
}

/// The instant of a write: for people, and for spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall_ms: u64,
    pub(super) boot_ms: u64,
}

#[derive(Debug)]
struct Current {
    data: File,
    index: File,
    base: u64,
    indexed_offset: u64,
    /// When the last index entry was written, on the boot clock.
    indexed_boot_ms: u64,
}

impl Writer {
    /// A writer that creates nothing before the first byte.
    pub fn new(dir: &Path, stream: Stream, sizes: LogSizes) -> Writer {
        Writer {
            dir: dir.to_owned(),
            stream,
            sizes,
            current: None,
            next: 0,
            offset: 0,
            lost: 0,
            retry_at_boot: 0,
        }
    }

    /// A writer that goes on where an earlier one stopped: behind the last byte that it wrote. There must not be
    /// another writer of this stream any more.
    ///
    /// # Errors
    /// The log directory or its last segment cannot be opened.
    pub fn resume(dir: &Path, stream: Stream, sizes: LogSizes) -> io::Result<Writer> {
        let mut writer = Writer::new(dir, stream, sizes);
        let Some(last) = segments(dir, stream)?.pop() else { return Ok(writer) };
        let append = |path: PathBuf| {
            OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
        };
        writer.next = last.number + 1;
        writer.offset = last.end();
        writer.current = Some(Current {
            data: append(Segment::path(dir, stream, last.number))?,
            index: append(Segment::index_path(dir, stream, last.number))?,
            base: last.base,
            indexed_offset: last.base,
            indexed_boot_ms: 0,
        });
        Ok(writer)
    }

    /// Where in the stream the next byte will be.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that were dropped.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Leaves a gap of [`UNKNOWN_GAP`], because something is missing here and nobody knows how much.
    pub fn skip_unknown(&mut self) {
        self.lost += UNKNOWN_GAP;
        self.offset += UNKNOWN_GAP;
        self.current = None;
    }

    /// Takes bytes of the stream.
    pub fn write(&mut self, bytes: &[u8]) {
        let now = Now { wall_ms: clock::wall_ms(), boot_ms: clock::boot_ms() };
        self.write_at(bytes, now);
    }

    pub(super) fn write_at(&mut self, mut bytes: &[u8], now: Now) {
        while !bytes.is_empty() {
            let (part, ends) = self.cut(bytes);
            match self.append(part, now) {
                Ok(()) => bytes = &bytes[part.len()..],
                Err(written) => {
                    // The rest is dropped, and the next segment begins after the hole.
                    let dropped = bytes.len() - written;
                    self.lost += length(dropped);
                    self.offset += length(dropped);
                    self.current = None;
                    // Not put off by what is dropped in the pause itself.
                    if now.boot_ms >= self.retry_at_boot {
                        self.retry_at_boot = now.boot_ms + RETRY_MS;
                    }
                    return;
                }
            }
            if ends {
                self.current = None;
            }
        }
    }

    /// The part of `bytes` that belongs in the current segment, and whether the segment ends there.
    fn cut<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        let used = self.current.as_ref().map_or(0, |current| self.offset - current.base);
        let hard = self.sizes.segment_bytes.max(1);
        let room = usize::try_from(hard.saturating_sub(used).max(1)).unwrap_or(usize::MAX);
        if bytes.len() < room {
            let soft = hard.saturating_sub(LINE_SEARCH.min(hard / 4));
            let from = usize::try_from(soft.saturating_sub(used)).unwrap_or(usize::MAX).min(bytes.len());
            return match bytes[from..].iter().position(|&byte| byte == b'\n') {
                Some(place) => (&bytes[..from + place + 1], true),
                None => (bytes, false),
            };
        }
        let soft = room - usize::try_from(LINE_SEARCH.min(hard / 4)).unwrap_or(0).min(room);
        match bytes[soft..room].iter().rposition(|&byte| byte == b'\n') {
            Some(place) => (&bytes[..soft + place + 1], true),
            None => (&bytes[..room], true),
        }
    }

    /// Appends to the current segment; the error is how many bytes were written before the failure.
    fn append(&mut self, part: &[u8], now: Now) -> Result<(), usize> {
        if self.current.is_none() {
            if now.boot_ms < self.retry_at_boot {
                return Err(0);
            }
            self.current = Some(self.open(now).map_err(|_| 0usize)?);
        }
        let current = self.current.as_mut().expect("set above");
        if self.offset - current.indexed_offset >= INDEX_BYTES
            || now.boot_ms >= current.indexed_boot_ms + INDEX_MS
        {
            // An index with a missing entry is only less exact.
            let _ = current.index.write_all(&write_entry(self.offset, now.wall_ms));
            (current.indexed_offset, current.indexed_boot_ms) = (self.offset, now.boot_ms);
        }
        let mut written = 0;
        while written < part.len() {
            match current.data.write(&part[written..]) {
                Ok(0) => return Err(written),
                Ok(count) => {
                    written += count;
                    self.offset += length(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(written),
            }
        }
        Ok(())
    }

    /// Opens the next segment: index first, so that whoever sees the segment knows where it begins.
    fn open(&mut self, now: Now) -> io::Result<Current> {
        if let Some(old) = self.next.checked_sub(self.sizes.segments.max(1)) {
            // Absent ones are no news: a segment may never have been opened.
            let _ = fs::remove_file(Segment::path(&self.dir, self.stream, old));
            let _ = fs::remove_file(Segment::index_path(&self.dir, self.stream, old));
        }
        let number = self.next;
        let create =
            |path: PathBuf| OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
        let mut index = create(Segment::index_path(&self.dir, self.stream, number))?;
        index.write_all(&write_entry(self.offset, now.wall_ms))?;
        let data = create(Segment::path(&self.dir, self.stream, number))?;
        self.next += 1;
        Ok(Current {
            data,
            index,
            base: self.offset,
            indexed_offset: self.offset,
            indexed_boot_ms: now.boot_ms,
        })
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("lengths fit in 64 bits")
}
