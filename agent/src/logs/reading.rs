//! One request: its streams, its credit, and how far it is.

use std::collections::VecDeque;
use std::io;

use berth_core::id::AttemptHandle;
use berth_shim::log::{Chunk, Stream};

use super::{DATA_MAX, ErrorCode, Frame, IDLE_MAX, LogReader, LogSource, Open};
use crate::clock::Boot;
use crate::supervisor::Located;

/// What a turn came to.
#[derive(Debug)]
pub(super) enum Turn {
    /// Something to send.
    Frame(Frame),
    /// Something to send, and nothing after it.
    Last(Frame),
    /// Nothing now.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Reading {
    attempt: AttemptHandle,
    /// The streams that are not at their end; they take turns.
    streams: VecDeque<(Stream, Box<dyn LogReader>)>,
    follow: bool,
    over: bool,
    credit: u64,
    /// Since when there is no credit.
    starved: Option<Boot>,
}

impl Reading {
    pub(super) fn new(
        source: &dyn LogSource,
        located: &Located,
        open: &Open,
        now: Boot,
    ) -> io::Result<Reading> {
        let streams = open
            .streams
            .iter()
            .map(|&stream| Ok((stream, source.open(&located.dir, stream, open.from)?)))
            .collect::<io::Result<_>>()?;
        Ok(Reading {
            attempt: open.attempt,
            streams,
            follow: open.follow,
            over: located.over,
            credit: open.credit,
            starved: (open.credit == 0).then_some(now),
        })
    }

    pub(super) fn attempt(&self) -> AttemptHandle {
        self.attempt
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn end(&mut self) {
        self.over = true;
    }

    pub(super) fn credit(&mut self, bytes: u64, now: Boot) {
        self.credit = self.credit.saturating_add(bytes);
        self.starved = (self.credit == 0).then_some(now);
    }

    pub(super) fn turn(&mut self, now: Boot) -> Turn {
        if let Some(since) = self.starved {
            if now < since + IDLE_MAX {
                return Turn::Nothing;
            }
            let message = "the reader has taken nothing for too long".to_owned();
            return Turn::Last(Frame::Error { code: ErrorCode::Io, message });
        }
        for _ in 0..self.streams.len() {
            let Some((stream, mut reader)) = self.streams.pop_front() else { break };
            match self.read(stream, &mut *reader, now) {
                Ok(Some(frame)) => {
                    self.streams.push_back((stream, reader));
                    return Turn::Frame(frame);
                }
                Ok(None) if self.follow && !self.over => self.streams.push_back((stream, reader)),
                Ok(None) => {}
                Err(error) => {
                    return Turn::Last(Frame::Error { code: ErrorCode::Io, message: error.to_string() });
                }
            }
        }
        match self.streams.is_empty() {
            true => Turn::Last(Frame::End { complete: self.over }),
            false => Turn::Nothing,
        }
    }

    /// The next piece of a stream; `None` at its present end.
    fn read(&mut self, stream: Stream, reader: &mut dyn LogReader, now: Boot) -> io::Result<Option<Frame>> {
        let offset = reader.offset();
        let room = usize::try_from(self.credit).unwrap_or(usize::MAX).min(DATA_MAX);
        let mut bytes = vec![0; room];
        Ok(match reader.read(&mut bytes)? {
            Chunk::Data { offset, bytes: read } => {
                bytes.truncate(read);
                self.credit -= u64::try_from(read).unwrap_or(0).min(self.credit);
                self.starved = (self.credit == 0).then_some(now);
                Some(Frame::Data { stream, offset, bytes })
            }
            Chunk::Gap { bytes } => Some(Frame::Gap { stream, offset, bytes }),
            Chunk::Wait => None,
            Chunk::End => {
                self.over = true;
                None
            }
        })
    }
}
