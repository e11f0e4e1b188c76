//! Pumping a container's output from the engine into the attempt's segments, each byte once.
//!
//! The engine can give its log again from an instant on. A cursor on disk says for each stream which
//! message begins at which offset, and the segments say how far the stream was written; so after a
//! break in the middle of anything the pump knows what it has already. Where the engine has dropped that message in the
//! meantime, because its own log is bounded, readers see a gap.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_shim::log::{LOG_DIR, Stream, Writer};
use berth_shim::record::{Error as RecordError, Fields, LogEnds, LogSizes, Record};
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::engine::Engine;

/// How often the cursor is written, at most.
const CURSOR_EVERY: Duration = Duration::from_secs(2);
/// How long the engine may take to give the rest of a log, between two pieces.
const REST: Duration = Duration::from_secs(10);
/// How long the rest of a log is tried for, with breaks in between. The end of the attempt waits for it.
const REST_MAX: Duration = Duration::from_secs(30);
/// How long after a break it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The cursor's name beside the segments.
const CURSOR_FILE: &str = "engine.rec";

/// The log of one container.
#[derive(Debug)]
pub(super) struct OutputLog {
    cursor_path: PathBuf,
    tracks: [Track; 2],
    saved: Option<Instant>,
}

impl OutputLog {
    /// Goes on where an earlier one stopped. Without a log directory the output is dropped.
    pub(super) fn resume(dir: &Path, sizes: LogSizes) -> OutputLog {
        let cursor_path = dir.join(LOG_DIR).join(CURSOR_FILE);
        if let Err(error) = fs::create_dir_all(dir.join(LOG_DIR)) {
            tracing::error!(dir = %dir.display(), %error, "the log directory cannot be made");
        }
        let Cursor(places) = Cursor::read(&cursor_path).ok().flatten().unwrap_or_default();
        let track = |stream, place| Track::new(dir, stream, sizes, place);
        let [stdout, stderr] = places;
        let tracks = [track(Stream::Stdout, stdout), track(Stream::Stderr, stderr)];
        OutputLog { cursor_path, tracks, saved: None }
    }

    /// Bytes that the disk did not take.
    pub(super) fn lost(&self) -> u64 {
        self.tracks.iter().map(|track| track.writer.lost()).sum()
    }

    /// Pumps until it is dropped; the end of the container is for others to notice.
    pub(super) async fn follow(&mut self, engine: &Engine, container: &str) {
        loop {
            let _ = self.session(engine, container, true).await;
            sleep(RETRY).await;
        }
    }

    /// Where the streams end now, with what was lost of them.
    pub(super) fn ends(&self) -> LogEnds {
        let [stdout, stderr] = self.tracks.each_ref().map(|track| Some(track.writer.offset()));
        LogEnds { stdout, stderr }
    }

    /// Takes what there is still of a container that is over. What the engine does not give in time is a gap.
    pub(super) async fn take_rest(&mut self, engine: &Engine, container: &str) {
        let deadline = Instant::now() + REST_MAX;
        while self.session(engine, container, false).await.is_none() {
            let gone = engine.inspect(container).await.is_err_and(|error| error.is_absent());
            if gone || Instant::now() >= deadline {
                tracing::warn!(container, "the end of the container's log could not be read");
                self.lose_rest();
                break;
            }
            sleep(RETRY).await;
        }
        self.save();
    }

    /// Leaves a gap at the end of both streams, because nobody knows which of them went on, and how far.
    pub(super) fn lose_rest(&mut self) {
        self.tracks.iter_mut().for_each(|track| track.writer.skip_unknown());
    }

    /// Reads the log once; `None` when it broke off.
    async fn session(&mut self, engine: &Engine, container: &str, follow: bool) -> Option<()> {
        let client = engine.client().ok()?;
        self.tracks.iter_mut().for_each(Track::rewind);
        // A stream without a message in the cursor had none before the other's. The engine stamps the two streams in
        // two threads, so their order may be off by a little.
        let known = self.tracks.iter().map(|track| track.place.time).filter(|time| *time > 0);
        let since = (known.min().unwrap_or(0) / 1_000_000_000 - 1).max(0);
        let options = LogsOptions {
            follow,
            stdout: true,
            stderr: true,
            timestamps: true,
            since: i32::try_from(since).unwrap_or(0),
            ..Default::default()
        };
        let mut messages = client.logs(container, Some(options));
        loop {
            // Silence means nothing while the container runs.
            let next = match follow {
                true => messages.next().await,
                false => timeout(REST, messages.next()).await.ok()?,
            };
            let Some(message) = next else { return Some(()) };
            self.take(message.ok()?);
        }
    }

    fn take(&mut self, message: LogOutput) {
        let (track, message) = match message {
            LogOutput::StdOut { message } | LogOutput::Console { message } => (0, message),
            LogOutput::StdErr { message } => (1, message),
            LogOutput::StdIn { .. } => return,
        };
        self.tracks[track].take(&message);
        if self.saved.is_none_or(|saved| saved.elapsed() >= CURSOR_EVERY) {
            self.save();
        }
    }

    fn save(&mut self) {
        self.saved = Some(Instant::now());
        let cursor = Cursor(self.tracks.each_ref().map(|track| track.place));
        // Not made durable: after a loss of power no container is left to go on with. A cursor that is
        // old or absent costs only reading more of the engine's log again.
        let draft = self.cursor_path.with_extension("tmp");
        let _ = fs::write(&draft, cursor.encode()).and_then(|()| fs::rename(&draft, &self.cursor_path));
    }
}

/// A message and where in the stream it begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    /// The engine's instant of it, in nanoseconds since the epoch; 0 before the first.
    time: i64,
    /// Where the first message with this instant begins.
    offset: u64,
}

/// One stream on its way.
#[derive(Debug)]
struct Track {
    writer: Writer,
    place: Place,
    /// Where the next message begins; `None` until the first one of a session has come.
    at: Option<u64>,
}

impl Track {
    fn new(dir: &Path, stream: Stream, sizes: LogSizes, place: Place) -> Track {
        let writer = Writer::resume(dir, stream, sizes).unwrap_or_else(|error| {
            tracing::error!(dir = %dir.display(), %error, "the log cannot be gone on with");
            Writer::new(dir, stream, sizes)
        });
        Track { writer, place, at: None }
    }

    /// The engine is about to give its log again, from this place or an earlier one.
    fn rewind(&mut self) {
        self.at = None;
    }

    fn take(&mut self, message: &[u8]) {
        let (time, bytes) = split(message);
        let time = time.unwrap_or(self.place.time);
        let at = match self.at {
            Some(at) => at,
            None if time < self.place.time => return,
            None if time == self.place.time || self.place.time == 0 => self.place.offset,
            // The engine has dropped the message of the cursor, and perhaps others with it; what it gives now is newer.
            None => {
                self.writer.skip_unknown();
                self.writer.offset()
            }
        };
        if time != self.place.time {
            self.place = Place { time, offset: at };
        }
        let known = usize::try_from(self.writer.offset().saturating_sub(at)).unwrap_or(usize::MAX);
        self.writer.write(bytes.get(known..).unwrap_or_default());
        self.at = Some(at + u64::try_from(bytes.len()).expect("lengths fit in 64 bits"));
    }
}

/// The instant that the engine puts before each message, and the message.
fn split(message: &[u8]) -> (Option<i64>, &[u8]) {
    let space = message.iter().take(64).position(|&byte| byte == b' ');
    let parsed = space.and_then(|space| {
        let time: jiff::Timestamp = std::str::from_utf8(&message[..space]).ok()?.parse().ok()?;
        Some((i64::try_from(time.as_nanosecond()).ok()?, &message[space + 1..]))
    });
    parsed.map_or((None, message), |(time, rest)| (Some(time), rest))
}

/// The places of both streams on disk.
#[derive(Debug, Default)]
struct Cursor([Place; 2]);

impl Record for Cursor {
    const KIND: &'static str = "engine-log";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        let [stdout, stderr] = self.0;
        fields.put("stdout_time", stdout.time);
        fields.put("stdout_offset", stdout.offset);
        fields.put("stderr_time", stderr.time);
        fields.put("stderr_offset", stderr.offset);
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, RecordError> {
        let stdout = Place { time: fields.need("stdout_time")?, offset: fields.need("stdout_offset")? };
        let stderr = Place { time: fields.need("stderr_time")?, offset: fields.need("stderr_offset")? };
        Ok(Cursor([stdout, stderr]))
    }
}

#[cfg(test)]
mod tests;
