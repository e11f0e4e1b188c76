//! Requests on their way to the leader: what waits together goes in one call, because a call costs more than what it
//! carries. A request that comes alone goes at once.

use std::sync::Arc;

use berth_proto::peer::forward_answer::Answer;
use berth_proto::peer::{ForwardAnswer, ForwardFailure, ForwardRequest};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use prost::bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{ForwardHandler, MESSAGE_BYTES_MAX, Shared, client};
use crate::raft::backlog::Backlog;

/// Requests that wait for one peer. One more is refused, and so is one that makes them and those under way too long.
pub(super) const REQUESTS_WAITING: usize = 4_096;
/// Bytes of requests that wait or are under way.
const REQUESTS_BYTES_MAX: usize = 64 << 20;
/// Requests in one call, as long as they fit its bytes.
const CALL_REQUESTS_MAX: usize = 256;
/// A call takes nothing more once it is this long; with the longest request it stays under the limit.
const CALL_BYTES: usize = MESSAGE_BYTES_MAX / 4;
/// Calls under way to one peer. While they last, requests gather for the next.
const CALLS_MAX: usize = 8;

/// One request, and who waits for its answer.
pub(super) struct Forwarded {
    request: Bytes,
    asker: Asker,
}

/// Who waits for the answer to a request.
struct Asker {
    reply: oneshot::Sender<Result<Bytes, Status>>,
    _room: Room,
}

/// The bytes of a request count until it is answered.
struct Room {
    taken: Arc<Backlog>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.remove(self.bytes);
    }
}

/// Where requests for one peer wait.
#[derive(Debug, Clone)]
pub(super) struct Requests {
    queue: mpsc::Sender<Forwarded>,
    taken: Arc<Backlog>,
}

impl Requests {
    pub(super) fn new() -> (Requests, mpsc::Receiver<Forwarded>) {
        let (queue, waiting) = mpsc::channel(REQUESTS_WAITING);
        (Requests { queue, taken: Arc::default() }, waiting)
    }

    /// Puts a request in line, and gives where its answer comes; `None` when there is no room. Nobody has seen it then.
    pub(super) fn offer(&self, request: Bytes) -> Option<oneshot::Receiver<Result<Bytes, Status>>> {
        let bytes = request.len();
        if !self.taken.add(bytes, REQUESTS_BYTES_MAX) {
            return None;
        }
        let room = Room { taken: Arc::clone(&self.taken), bytes };
        let (reply, answer) = oneshot::channel();
        match self.queue.try_send(Forwarded { request, asker: Asker { reply, _room: room } }) {
            // When the forwarder is gone, so is the peer, or this member stops: the answer never comes.
            Ok(()) | Err(TrySendError::Closed(_)) => Some(answer),
            Err(TrySendError::Full(_)) => None,
        }
    }
}

/// Sends what is to be forwarded to one peer.
pub(super) struct Forwarder {
    pub(super) shared: Arc<Shared>,
    pub(super) channel: Channel,
    pub(super) waiting: mpsc::Receiver<Forwarded>,
}

impl Forwarder {
    /// Until nobody has anything more to forward.
    pub(super) async fn run(mut self) {
        let mut calls = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = calls.next() => {}
                first = self.waiting.recv(), if calls.len() < CALLS_MAX => {
                    let Some(first) = first else { break };
                    calls.push(self.call(first));
                }
            }
        }
        while calls.next().await.is_some() {}
    }

    /// One call with the first request and all that wait behind it.
    fn call(&mut self, first: Forwarded) -> impl Future<Output = ()> + use<> {
        let (requests, askers) = gather(first, &mut self.waiting);
        let mut client = client(self.channel.clone());
        let identity = Some(self.shared.own.clone());
        async move {
            if requests.is_empty() {
                return;
            }
            let answered = client.forward(ForwardRequest { identity, requests }).await;
            let mut answers = match answered {
                Ok(reply) => reply.into_inner().answers.into_iter().map(result_of).collect(),
                Err(status) => vec![Err(status); askers.len()],
            };
            answers.resize_with(askers.len(), || Err(Status::unknown("the leader left out an answer")));
            for (asker, answer) in askers.into_iter().zip(answers) {
                // Who has stopped waiting is not told.
                let _ = asker.reply.send(answer);
            }
        }
    }
}

/// One question in a call of its own, past all that waits.
pub(super) async fn ask(shared: &Shared, channel: Channel, question: Bytes) -> Result<Bytes, Status> {
    let request = ForwardRequest { identity: Some(shared.own.clone()), requests: vec![question] };
    let reply = client(channel).forward(request).await?.into_inner();
    let answer = reply.answers.into_iter().next();
    result_of(answer.ok_or_else(|| Status::unknown("the member left out its answer"))?)
}

/// The requests of one call, and who waits for each answer. Whoever has stopped waiting has tried again by now, or has
/// told that the outcome is unknown; the leader is spared what would only be done late.
fn gather(first: Forwarded, waiting: &mut mpsc::Receiver<Forwarded>) -> (Vec<Bytes>, Vec<Asker>) {
    let (mut requests, mut askers, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(first);
    while let Some(Forwarded { request, asker }) = next {
        if !asker.reply.is_closed() {
            bytes += request.len();
            requests.push(request);
            askers.push(asker);
        }
        let room = bytes < CALL_BYTES && requests.len() < CALL_REQUESTS_MAX;
        next = if room { waiting.try_recv().ok() } else { None };
    }
    (requests, askers)
}

/// Answers the requests of one call, all at the same time.
pub(super) async fn answer(handler: &dyn ForwardHandler, requests: Vec<Bytes>) -> Vec<ForwardAnswer> {
    let answers = requests.into_iter().map(|request| async move {
        let answer = match handler.forward(request).await {
            Ok(reply) => Answer::Reply(reply),
            Err(status) => Answer::Failure(ForwardFailure {
                code: status.code().into(),
                message: status.message().to_owned(),
                details: Bytes::copy_from_slice(status.details()),
            }),
        };
        ForwardAnswer { answer: Some(answer) }
    });
    join_all(answers).await
}

fn result_of(answer: ForwardAnswer) -> Result<Bytes, Status> {
    match answer.answer {
        Some(Answer::Reply(reply)) => Ok(reply),
        Some(Answer::Failure(ForwardFailure { code, message, details })) => {
            Err(Status::with_details(Code::from_i32(code), message, details))
        }
        None => Err(Status::unknown("the leader's answer cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_carries_what_waits_and_nothing_whose_asker_has_gone() {
        let (requests, mut waiting) = Requests::new();
        let mut patient = Vec::new();
        for (request, stays) in [("a", false), ("b", true), ("c", false), ("d", true), ("e", false)] {
            let answer = requests.offer(Bytes::from_static(request.as_bytes())).unwrap();
            if stays {
                patient.push(answer);
            }
        }
        let first = waiting.recv().await.unwrap();
        let (call, askers) = gather(first, &mut waiting);
        assert_eq!((call, askers.len()), (vec![Bytes::from_static(b"b"), Bytes::from_static(b"d")], 2));
        drop(requests.offer(Bytes::from_static(b"f")));
        let last = waiting.recv().await.unwrap();
        assert!(gather(last, &mut waiting).0.is_empty(), "nobody waits for this call");
    }

    #[tokio::test]
    async fn what_does_not_fit_a_call_waits_for_the_next() {
        let (requests, mut waiting) = Requests::new();
        let _answers: Vec<_> =
            (0..=CALL_REQUESTS_MAX).map(|_| requests.offer(Bytes::new()).unwrap()).collect();
        let first = waiting.recv().await.unwrap();
        let (call, _askers) = gather(first, &mut waiting);
        assert_eq!((call.len(), waiting.len()), (CALL_REQUESTS_MAX, 1));
    }

    #[tokio::test]
    async fn requests_that_would_take_too_much_room_are_refused_until_others_are_answered() {
        let (requests, mut waiting) = Requests::new();
        let large = Bytes::from(vec![0; 1 << 20]);
        let most = REQUESTS_BYTES_MAX >> 20;
        let answers: Vec<_> = (0..most).map(|_| requests.offer(large.clone()).unwrap()).collect();
        assert!(requests.offer(large.clone()).is_none());
        let first = waiting.recv().await.unwrap();
        let (_, askers) = gather(first, &mut waiting);
        assert!(requests.offer(large.clone()).is_none(), "those under way count too");
        drop(askers);
        assert!(requests.offer(large).is_some());
        drop(answers);

        let (requests, _waiting) = Requests::new();
        let answers: Vec<_> = (0..REQUESTS_WAITING).map(|_| requests.offer(Bytes::new()).unwrap()).collect();
        assert!(requests.offer(Bytes::new()).is_none());
        drop(answers);
    }
}
