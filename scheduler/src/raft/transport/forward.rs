//! Requests on their way to the leader: what waits together goes in one call, because a call costs more than what it
//! carries. A request that comes alone goes at once.

use std::sync::Arc;

use berth_proto::peer::forward_answer::Answer;
use berth_proto::peer::{ForwardAnswer, ForwardFailure, ForwardRequest};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use prost::bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{ForwardHandler, MESSAGE_BYTES_MAX, Shared, client};

/// Requests that wait for one peer; whoever has more waits.
pub(super) const REQUESTS_WAITING: usize = 4_096;
/// Requests in one call, as long as they fit its bytes.
const CALL_REQUESTS_MAX: usize = 256;
/// A call takes nothing more once it is this long; with the longest request it stays under the limit.
const CALL_BYTES: usize = MESSAGE_BYTES_MAX / 4;
/// Calls under way to one peer. While they last, requests gather for the next.
const CALLS_MAX: usize = 8;

/// One request, and who waits for its answer.
pub(super) struct Forwarded {
    pub(super) request: Bytes,
    pub(super) reply: Asker,
}

type Asker = oneshot::Sender<Result<Bytes, Status>>;

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
                let _ = asker.send(answer);
            }
        }
    }
}

/// The requests of one call, and who waits for each answer. Whoever has stopped waiting has tried again by now, or has
/// told that the outcome is unknown; the leader is spared what would only be done late.
fn gather(first: Forwarded, waiting: &mut mpsc::Receiver<Forwarded>) -> (Vec<Bytes>, Vec<Asker>) {
    let (mut requests, mut askers, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(first);
    while let Some(Forwarded { request, reply }) = next {
        if !reply.is_closed() {
            bytes += request.len();
            requests.push(request);
            askers.push(reply);
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
        let (queue, mut waiting) = mpsc::channel(16);
        let mut patient = Vec::new();
        let mut ask = |request: &'static str, stays: bool| {
            let (reply, answer) = oneshot::channel();
            if stays {
                patient.push(answer);
            }
            Forwarded { request: Bytes::from_static(request.as_bytes()), reply }
        };
        for (request, stays) in [("b", true), ("c", false), ("d", true)] {
            queue.send(ask(request, stays)).await.unwrap();
        }
        let (requests, askers) = gather(ask("a", false), &mut waiting);
        assert_eq!((requests, askers.len()), (vec![Bytes::from_static(b"b"), Bytes::from_static(b"d")], 2));
        let (requests, _) = gather(ask("e", false), &mut waiting);
        assert!(requests.is_empty(), "nobody waits for this call");
    }

    #[tokio::test]
    async fn what_does_not_fit_a_call_waits_for_the_next() {
        let (queue, mut waiting) = mpsc::channel(CALL_REQUESTS_MAX);
        let mut answers = Vec::new();
        let mut ask = || {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            Forwarded { request: Bytes::new(), reply }
        };
        for _ in 0..CALL_REQUESTS_MAX {
            queue.send(ask()).await.unwrap();
        }
        let (requests, _askers) = gather(ask(), &mut waiting);
        assert_eq!((requests.len(), waiting.len()), (CALL_REQUESTS_MAX, 1));
    }
}
