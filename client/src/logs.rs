//! What tasks wrote, read over the loss of servers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use berth_proto::v1::log_chunk::Piece;
use berth_proto::v1::logs_client::LogsClient;
use berth_proto::v1::read_logs_request::From as WireFrom;
use berth_proto::v1::{LogChunk, LogStream as WireStream, ReadLogsRequest};
use futures_util::stream::{BoxStream, Stream, StreamExt, select};
use tonic::Streaming;

use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::run_ref::RunRef;
use crate::watch::Outage;

/// How long a follower waits between tries while the logs cannot be reached.
const UNAVAILABLE_PAUSE: Duration = Duration::from_millis(500);

/// Whose output to read, and which part of it.
///
/// ```
/// use berth_client::{LogFrom, LogQuery};
///
/// let query = LogQuery { index: 3, from: LogFrom::TailLines(20), ..LogQuery::of("3kd9", "count") };
/// assert_eq!(query.attempt, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// The run.
    pub run: RunRef,
    /// The task's name; may be empty when the run has only one.
    pub task: String,
    /// The task's index in its array.
    pub index: u32,
    /// Counted from 1; `None` for the latest.
    pub attempt: Option<u32>,
    /// Only this stream; `None` for both, mixed as they come.
    pub stream: Option<LogStream>,
    /// Where to begin.
    pub from: LogFrom,
    /// Goes on until the attempt is over.
    pub follow: bool,
}

/// One of the two streams of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFrom {
    /// With the first byte that is kept.
    Beginning,
    /// With this byte of the stream.
    Offset(u64),
    /// With the last so many bytes of each stream.
    TailBytes(u64),
    /// With the last so many lines of each stream.
    TailLines(u32),
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPiece {
    /// Bytes as the program wrote them, at most 64 KiB, beginning at `offset` of the stream.
    Data { stream: LogStream, attempt: u32, offset: u64, bytes: Vec<u8> },
    /// So many bytes are no longer there; 1 stands for a number that nobody knows.
    Gap { stream: LogStream, offset: u64, bytes: u64 },
    /// Nothing more comes of this stream. `complete` when the attempt is over.
    End { stream: LogStream, offset: u64, complete: bool },
}

/// Pieces of logs. A stream that ends after its first error.
pub struct Logs(BoxStream<'static, Result<LogPiece, Error>>);

impl LogQuery {
    /// Both streams of the latest attempt of a task's first index, from the beginning.
    pub fn of(run: impl Into<RunRef>, task: impl Into<String>) -> LogQuery {
        LogQuery {
            run: run.into(),
            task: task.into(),
            index: 0,
            attempt: None,
            stream: None,
            from: LogFrom::Beginning,
            follow: false,
        }
    }
}

impl Client {
    /// Reads the output of one attempt, and follows it if asked to. After the loss of a server it goes on at another one
    /// with the next byte.
    ///
    /// ```no_run
    /// # async fn example(client: berth_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::io::Write;
    ///
    /// use berth_client::{LogPiece, LogQuery};
    /// use futures_util::StreamExt;
    ///
    /// let mut logs = client.logs(LogQuery { follow: true, ..LogQuery::of("3kd9", "load") });
    /// while let Some(piece) = logs.next().await {
    ///     if let LogPiece::Data { bytes, .. } = piece? {
    ///         std::io::stdout().write_all(&bytes)?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn logs(&self, query: LogQuery) -> Logs {
        let read = |stream| Reading::new(self.clone(), &query, stream).pieces();
        Logs(match query.stream {
            Some(stream) => read(stream),
            None => select(read(LogStream::Stdout), read(LogStream::Stderr)).boxed(),
        })
    }
}

/// One stream of one attempt between two of its chunks.
struct Reading {
    client: Client,
    request: ReadLogsRequest,
    stream: LogStream,
    open: Option<(Streaming<LogChunk>, Arc<Endpoint>)>,
    ended: bool,
    outage: Outage,
}

impl Reading {
    fn new(client: Client, query: &LogQuery, stream: LogStream) -> Reading {
        let wire = match stream {
            LogStream::Stdout => WireStream::Stdout,
            LogStream::Stderr => WireStream::Stderr,
        };
        let request = ReadLogsRequest {
            run: query.run.run.clone(),
            tenant: query.run.tenant.clone(),
            task: query.task.clone(),
            index: query.index,
            attempt: query.attempt.unwrap_or(0),
            stream: wire.into(),
            from: match query.from {
                LogFrom::Beginning => None,
                LogFrom::Offset(offset) => Some(WireFrom::Offset(offset)),
                LogFrom::TailBytes(bytes) => Some(WireFrom::TailBytes(bytes)),
                LogFrom::TailLines(lines) => Some(WireFrom::TailLines(lines)),
            },
            follow: query.follow,
        };
        Reading { client, request, stream, open: None, ended: false, outage: Outage::default() }
    }

    fn pieces(self) -> BoxStream<'static, Result<LogPiece, Error>> {
        futures_util::stream::unfold(Some(self), |reading| async {
            let mut reading = reading?;
            if reading.ended {
                return None;
            }
            let next = reading.next().await;
            let rest = next.is_ok().then_some(reading);
            Some((next, rest))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<LogPiece, Error> {
        loop {
            let (chunks, endpoint) = self.open().await?;
            match chunks.message().await {
                Ok(Some(chunk)) => {
                    self.outage = Outage::default();
                    if let Some(piece) = self.take(chunk) {
                        return Ok(piece);
                    }
                }
                ended => {
                    let endpoint = Arc::clone(endpoint);
                    self.open = None;
                    match self.outage.after(&self.client, &endpoint, ended.err()).await {
                        Err(Error::LogsUnavailable(_)) if self.request.follow => {
                            tokio::time::sleep(UNAVAILABLE_PAUSE).await;
                        }
                        result => result?,
                    }
                }
            }
        }
    }

    async fn open(&mut self) -> Result<&mut (Streaming<LogChunk>, Arc<Endpoint>), Error> {
        let began = tokio::time::Instant::now();
        while self.open.is_none() {
            let request = &self.request;
            let ask = |channel| async move { LogsClient::new(channel).read(request.clone()).await };
            match self.client.ask(None, ask).await {
                Ok(open) => self.open = Some(open),
                // A follower outlives the restart of the agent that has them.
                Err(Error::LogsUnavailable(_))
                    if self.request.follow && began.elapsed() < self.client.config().deadline =>
                {
                    tokio::time::sleep(UNAVAILABLE_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.open.as_mut().expect("it was opened above"))
    }

    /// Keeps the place at which to go on, and stays with the attempt that was the latest.
    fn take(&mut self, chunk: LogChunk) -> Option<LogPiece> {
        let LogChunk { locator, offset, piece } = chunk;
        let stream = self.stream;
        if let Some(locator) = locator {
            self.request.attempt = locator.attempt;
            self.request.run = locator.run;
            self.request.task = locator.task;
        }
        let (piece, length) = match piece? {
            Piece::Data(bytes) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let attempt = self.request.attempt;
                (LogPiece::Data { stream, attempt, offset, bytes: bytes.to_vec() }, length)
            }
            Piece::GapBytes(bytes) => (LogPiece::Gap { stream, offset, bytes }, bytes),
            Piece::End(end) => {
                self.ended = true;
                (LogPiece::End { stream, offset, complete: end.complete }, 0)
            }
        };
        self.request.from = Some(WireFrom::Offset(offset.saturating_add(length)));
        Some(piece)
    }
}

impl Stream for Logs {
    type Item = Result<LogPiece, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}
