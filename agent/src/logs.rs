//! Serving the logs of attempts: many readers, each with its own credit.
//!
//! ```text
//! open, credit, cancel ──> LogServer ──pump──> data, gap, end, error
//!                             └─ LogSource, one a kind of executor
//! ```
//! A reader gets no more bytes than it has given credit for, so a slow one costs no memory. What is not there any more
//! shows as a gap.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_core::id::AttemptHandle;
use berth_core::job_spec::ExecutorKind;
use berth_core::time::Millis;

pub use berth_shim::log::Stream;
pub use source::{From, LogReader, LogSource, Segments};

use crate::clock::Boot;
use crate::supervisor::Located;
use reading::{Reading, Turn};

mod reading;
mod source;
#[cfg(test)]
mod tests;

/// The most logs that are read at the same time.
pub const OPEN_MAX: usize = 256;
/// How long a reader without credit is kept.
pub const IDLE_MAX: Millis = Millis(30_000);
/// The most bytes of one frame.
pub const DATA_MAX: usize = 64 * 1024;

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Whose log.
    pub attempt: AttemptHandle,
    /// One stream or both.
    pub streams: Vec<Stream>,
    /// Where to begin.
    pub from: From,
    /// Goes on until the attempt has ended.
    pub follow: bool,
    /// How many bytes may be sent before there is more credit.
    pub credit: u64,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of a stream.
    Data { stream: Stream, offset: u64, bytes: Vec<u8> },
    /// So many bytes are no longer there.
    Gap { stream: Stream, offset: u64, bytes: u64 },
    /// Nothing more comes; complete when the attempt is over.
    End { complete: bool },
    /// Nothing more comes, for this reason.
    Error { code: ErrorCode, message: String },
}

/// Why a log cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The node knows no such attempt, or its logs are gone.
    UnknownAttempt,
    /// Too many logs are being read.
    Full,
    /// They could not be read, or the reader took nothing for too long.
    Io,
}

/// What a round of reading came to.
#[derive(Debug, Default)]
pub struct Pumped {
    /// What to send, with the id of the request.
    pub frames: Vec<(u64, Frame)>,
    /// There may be more at once.
    pub again: bool,
}

/// The sources by kind of executor.
pub type Sources = BTreeMap<ExecutorKind, Arc<dyn LogSource>>;

/// All logs that are being read over one connection.
#[derive(Debug)]
pub struct LogServer {
    sources: Sources,
    open: BTreeMap<u64, Reading>,
    open_max: usize,
}

impl LogServer {
    /// Nothing is read yet; at most `open_max` at the same time.
    pub fn new(sources: Sources, open_max: usize) -> LogServer {
        LogServer { sources, open: BTreeMap::new(), open_max }
    }

    /// Begins to read for a request; `located` says where the attempt's directory is. An answer means that nothing is
    /// read.
    pub fn open(&mut self, id: u64, open: &Open, located: Option<&Located>, now: Boot) -> Option<Frame> {
        if self.open.len() >= self.open_max && !self.open.contains_key(&id) {
            let message = format!("the node reads {} logs already", self.open_max);
            return Some(Frame::Error { code: ErrorCode::Full, message });
        }
        let source = located.and_then(|located| Some((located, self.sources.get(&located.kind)?)));
        let Some((located, source)) = source else {
            let message = "the node has no logs of this attempt".to_owned();
            return Some(Frame::Error { code: ErrorCode::UnknownAttempt, message });
        };
        match Reading::new(&**source, located, open, now) {
            Ok(reading) => {
                self.open.insert(id, reading);
                None
            }
            Err(error) => Some(Frame::Error { code: ErrorCode::Io, message: error.to_string() }),
        }
    }

    /// The request may get so many more bytes.
    pub fn credit(&mut self, id: u64, bytes: u64, now: Boot) {
        if let Some(reading) = self.open.get_mut(&id) {
            reading.credit(bytes, now);
        }
    }

    /// Nothing more is wanted for the request.
    pub fn cancel(&mut self, id: u64) {
        self.open.remove(&id);
    }

    /// The attempts whose logs are followed and that were not over when last looked at.
    pub fn followed(&self) -> Vec<AttemptHandle> {
        let running = self.open.values().filter(|reading| !reading.is_over());
        let mut attempts: Vec<AttemptHandle> = running.map(Reading::attempt).collect();
        attempts.dedup();
        attempts
    }

    /// The attempt is over: its logs end where they end now.
    pub fn over(&mut self, attempt: AttemptHandle) {
        self.open.values_mut().filter(|reading| reading.attempt() == attempt).for_each(Reading::end);
    }

    /// True when nothing is being read.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Reads a little for every request that has credit.
    pub fn pump(&mut self, now: Boot) -> Pumped {
        let mut pumped = Pumped::default();
        let mut closed = Vec::new();
        for (&id, reading) in &mut self.open {
            match reading.turn(now) {
                Turn::Frame(frame) => {
                    pumped.again = true;
                    pumped.frames.push((id, frame));
                }
                Turn::Last(frame) => {
                    closed.push(id);
                    pumped.frames.push((id, frame));
                }
                Turn::Nothing => {}
            }
        }
        for id in closed {
            self.open.remove(&id);
        }
        pumped
    }
}
