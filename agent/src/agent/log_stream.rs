//! The stream of logs: the leader asks, the node answers.

use std::time::Duration;

use berth_core::id::AttemptHandle;
use berth_proto::agent as proto;
use berth_proto::agent::agents_client::AgentsClient;
use berth_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::connection::Seat;
use crate::clock::Now;
use crate::logs::{ErrorCode, Frame, From, LogServer, OPEN_MAX, Open, Pumped, Stream};
use crate::message::Known;

/// Frames that may wait to be sent; the server reads or the logs wait.
const QUEUE: usize = 16;
/// How often logs that are followed are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often it is asked whether followed attempts are over, and whether readers have gone silent.
const CHECK_EVERY: Duration = Duration::from_millis(500);

type Frames = mpsc::Sender<proto::LogFrame>;

/// Serves until the connection ends.
pub(super) async fn serve(channel: Channel, known: Known, seat: &Seat) {
    let (frames, queue) = mpsc::channel(QUEUE);
    let hello = proto::LogHello {
        node: seat.node.clone(),
        epoch: known.epoch.0,
        cluster_id: known.cluster.unwrap_or_default().0.to_be_bytes().to_vec().into(),
    };
    let hello = proto::LogFrame { id: 0, message: Some(proto::log_frame::Message::Hello(hello)) };
    if frames.send(hello).await.is_err() {
        return;
    }
    let mut client = AgentsClient::new(channel);
    let mut requests = match client.logs(ReceiverStream::new(queue)).await {
        Ok(response) => response.into_inner(),
        Err(status) => {
            tracing::debug!(code = ?status.code(), reason = status.message(), "no stream for logs");
            return;
        }
    };
    let mut server = LogServer::new(seat.sources.clone(), OPEN_MAX);
    let mut check_at = tokio::time::Instant::now() + CHECK_EVERY;
    let mut idle = Duration::ZERO;
    loop {
        // Without any log open there is nothing to do but to wait for a request.
        let pause = if server.is_empty() { Duration::from_secs(3600) } else { idle };
        tokio::select! {
            biased;
            request = requests.message() => match request {
                Ok(Some(request)) => {
                    if !take(&mut server, request, seat, &frames).await {
                        return;
                    }
                }
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(code = ?status.code(), "the stream of logs broke");
                    return;
                }
            },
            () = tokio::time::sleep(pause) => {}
        }
        if tokio::time::Instant::now() >= check_at {
            check_at = tokio::time::Instant::now() + CHECK_EVERY;
            for attempt in server.followed() {
                if seat.handle.locate(attempt).await.is_none_or(|located| located.over) {
                    server.over(attempt);
                }
            }
        }
        // Reading a file may wait for a disk.
        let pumping = tokio::task::spawn_blocking(move || {
            let pumped = server.pump(Now::read().boot);
            (server, pumped)
        });
        let Ok((back, Pumped { frames: answers, again })) = pumping.await else { return };
        server = back;
        idle = if again { Duration::ZERO } else { LOOK_EVERY };
        for (id, frame) in answers {
            if frames.send(to_wire(id, frame)).await.is_err() {
                return;
            }
        }
    }
}

/// Takes a request; false when the connection has ended.
async fn take(server: &mut LogServer, request: proto::LogRequest, seat: &Seat, frames: &Frames) -> bool {
    use proto::log_request::Message;
    let id = request.id;
    let now = Now::read().boot;
    let answer = match request.message {
        Some(Message::Open(open)) => match opened(&open) {
            Some(open) => {
                let located = seat.handle.locate(open.attempt).await;
                server.open(id, &open, located.as_ref(), now).map(|frame| to_wire(id, frame))
            }
            None => Some(invalid(id)),
        },
        Some(Message::CreditBytes(bytes)) => {
            server.credit(id, bytes, now);
            None
        }
        Some(Message::Cancel(_)) => {
            server.cancel(id);
            None
        }
        None => Some(invalid(id)),
    };
    match answer {
        Some(frame) => frames.send(frame).await.is_ok(),
        None => true,
    }
}

/// What is asked for, if it makes sense.
fn opened(open: &proto::LogOpen) -> Option<Open> {
    let streams = match v1::LogStream::try_from(open.stream).ok()? {
        v1::LogStream::Unspecified => return None,
        v1::LogStream::Stdout => vec![Stream::Stdout],
        v1::LogStream::Stderr => vec![Stream::Stderr],
        v1::LogStream::Both => vec![Stream::Stdout, Stream::Stderr],
    };
    let from = match open.from {
        None => From::Start,
        Some(proto::log_open::From::Offset(0)) => From::Start,
        Some(proto::log_open::From::Offset(_)) if streams.len() > 1 => return None,
        Some(proto::log_open::From::Offset(offset)) => From::Offset(offset),
        Some(proto::log_open::From::TailBytes(bytes)) => From::TailBytes(bytes),
        Some(proto::log_open::From::TailLines(lines)) => From::TailLines(u64::from(lines)),
    };
    // Attempts are not restarted in place yet, so there is only the first incarnation.
    (open.incarnation == 0).then_some(Open {
        attempt: AttemptHandle(open.attempt),
        streams,
        from,
        follow: open.follow,
        credit: open.credit_bytes,
    })
}

fn invalid(id: u64) -> proto::LogFrame {
    let code = proto::log_error::Code::Invalid.into();
    let error = proto::LogError { code, message: "the request makes no sense".to_owned() };
    proto::LogFrame { id, message: Some(proto::log_frame::Message::Error(error)) }
}

fn to_wire(id: u64, frame: Frame) -> proto::LogFrame {
    use proto::log_frame::Message;
    let word = |stream| match stream {
        Stream::Stdout => v1::LogStream::Stdout.into(),
        Stream::Stderr => v1::LogStream::Stderr.into(),
    };
    let message = match frame {
        Frame::Data { stream, offset, bytes } => {
            Message::Data(proto::LogData { stream: word(stream), offset, data: bytes.into() })
        }
        Frame::Gap { stream, offset, bytes } => {
            Message::Gap(proto::LogGap { stream: word(stream), offset, bytes })
        }
        Frame::End { complete } => Message::End(proto::LogEnd { complete }),
        Frame::Error { code, message } => {
            let code = match code {
                ErrorCode::UnknownAttempt => proto::log_error::Code::UnknownAttempt,
                ErrorCode::Full => proto::log_error::Code::Full,
                ErrorCode::Io => proto::log_error::Code::Io,
            };
            Message::Error(proto::LogError { code: code.into(), message })
        }
    };
    proto::LogFrame { id, message: Some(message) }
}
