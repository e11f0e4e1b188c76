//! The client, and how it asks one question of a cluster of which parts may be down.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::backoff::Backoff;
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::{Error, Tried};
use crate::key::RequestKey;
use crate::pool::Pool;
use crate::status::{Elsewhere, Verdict, judge};

/// How often in a row a named leader is followed before the round over all servers goes on.
const HINTS_MAX: u32 = 2;

/// A connection to a cluster. Cheap to clone; clones share their connections.
///
/// ```no_run
/// # async fn example() -> Result<(), berth_client::Error> {
/// use berth_client::{Client, Config};
///
/// let client = Client::connect(Config::new(["10.0.0.1:7070", "10.0.0.2:7070", "10.0.0.3:7070"]))?;
/// for node in client.nodes().collect().await? {
///     println!("{} runs {} tasks", node.name, node.attempts);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    pool: Arc<Pool>,
    stale_ok: bool,
}

impl Client {
    /// Checks the addresses; connects at the first request. Requests have to be made within a tokio runtime with time
    /// and I/O enabled.
    ///
    /// # Errors
    /// [`Error::Endpoint`] when an address is none, or when there is none.
    pub fn connect(config: Config) -> Result<Client, Error> {
        Ok(Client { pool: Arc::new(Pool::new(config)?), stale_ok: false })
    }

    /// The same client with reads that any member answers from what it has, even without a leader.
    #[must_use]
    pub fn reading_stale(&self) -> Client {
        Client { pool: Arc::clone(&self.pool), stale_ok: true }
    }

    /// How it was configured.
    pub fn config(&self) -> &Config {
        self.pool.config()
    }

    /// Whether reads ask the leader.
    pub(crate) fn stale_ok(&self) -> bool {
        self.stale_ok
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Asks until there is an answer or the deadline has passed; for requests that change nothing.
    pub(crate) async fn read<R, F, A>(&self, request: F) -> Result<R, Error>
    where
        F: Fn(Channel) -> A,
        A: Future<Output = Result<Response<R>, Status>>,
    {
        self.ask(None, request).await.map(|(reply, _)| reply)
    }

    /// The same for requests that carry `key`.
    pub(crate) async fn write<R, F, A>(&self, key: RequestKey, request: F) -> Result<R, Error>
    where
        F: Fn(Channel) -> A,
        A: Future<Output = Result<Response<R>, Status>>,
    {
        self.ask(Some(key), request).await.map(|(reply, _)| reply)
    }

    /// Asks server after server, and says which one answered.
    pub(crate) async fn ask<R, F, A>(
        &self,
        key: Option<RequestKey>,
        request: F,
    ) -> Result<(R, Arc<Endpoint>), Error>
    where
        F: Fn(Channel) -> A,
        A: Future<Output = Result<Response<R>, Status>>,
    {
        let mut round = Round::new(&self.pool, key);
        loop {
            let endpoint = Arc::clone(&round.endpoint);
            let time = self.config().attempt_timeout.min(round.remaining());
            let verdict = match tokio::time::timeout(time, request(endpoint.channel())).await {
                Ok(Ok(reply)) => {
                    self.pool.prefer(&endpoint);
                    return Ok((reply.into_inner(), endpoint));
                }
                Ok(Err(status)) => judge(&status),
                Err(_) => Verdict::Elsewhere(Elsewhere {
                    answer: format!("no answer within {} ms", time.as_millis()),
                    leader: None,
                    no_leader: false,
                    maybe_applied: true,
                }),
            };
            round.go_on(verdict).await?;
        }
    }
}

/// The way of one request over the servers.
struct Round<'a> {
    pool: &'a Pool,
    key: Option<RequestKey>,
    began: Instant,
    endpoint: Arc<Endpoint>,
    /// The latest answer of each server that was asked.
    tried: Vec<Tried>,
    /// Asked since the last pause.
    asked: usize,
    hints: u32,
    backoff: Backoff,
    no_leader: bool,
    maybe_applied: bool,
}

impl Round<'_> {
    fn new(pool: &Pool, key: Option<RequestKey>) -> Round<'_> {
        Round {
            pool,
            key,
            began: Instant::now(),
            endpoint: pool.preferred(),
            tried: Vec::new(),
            asked: 0,
            hints: 0,
            backoff: Backoff::new(),
            no_leader: false,
            maybe_applied: false,
        }
    }

    fn remaining(&self) -> Duration {
        self.pool.config().deadline.saturating_sub(self.began.elapsed())
    }

    /// Chooses the next server and waits for its turn, or says why there is none.
    async fn go_on(&mut self, verdict: Verdict) -> Result<(), Error> {
        match verdict {
            // A fault of this server says nothing of what became of an earlier try, and neither does what is refused
            // before it comes to the log. Every other refusal does: a request that was applied gets its first answer
            // again.
            Verdict::Refused(error)
                if self.left_in_doubt()
                    && matches!(*error, Error::Internal(_) | Error::Full(_) | Error::NeverFits(_)) =>
            {
                self.note(error.to_string());
                Err(self.give_up())
            }
            Verdict::Refused(error) => Err(*error),
            Verdict::Later { message, after } => {
                if after >= self.remaining() {
                    if self.left_in_doubt() {
                        self.note(message);
                        return Err(self.give_up());
                    }
                    return Err(Error::Overloaded { message, retry_after: after });
                }
                tokio::time::sleep(after).await;
                Ok(())
            }
            Verdict::Elsewhere(elsewhere) => self.elsewhere(elsewhere).await,
        }
    }

    async fn elsewhere(&mut self, why: Elsewhere) -> Result<(), Error> {
        tracing::debug!(endpoint = self.endpoint.name(), answer = why.answer, "asking another server");
        self.asked += 1;
        self.no_leader |= why.no_leader;
        self.maybe_applied |= why.maybe_applied;
        self.note(why.answer);
        let hinted = why.leader.and_then(|address| self.pool.at_address(&address));
        match hinted.filter(|leader| self.hints < HINTS_MAX && !Arc::ptr_eq(leader, &self.endpoint)) {
            Some(leader) => {
                self.hints += 1;
                self.endpoint = leader;
            }
            None => self.endpoint = self.pool.after(&self.endpoint),
        }
        if self.asked >= self.pool.configured().len() {
            let pause = self.backoff.pause();
            if pause >= self.remaining() {
                return Err(self.give_up());
            }
            tokio::time::sleep(pause).await;
            self.asked = 0;
            self.hints = 0;
        }
        if self.remaining().is_zero() { Err(self.give_up()) } else { Ok(()) }
    }

    /// An earlier try of this write may have been applied.
    fn left_in_doubt(&self) -> bool {
        self.key.is_some() && self.maybe_applied
    }

    fn note(&mut self, answer: String) {
        let endpoint = self.endpoint.name();
        match self.tried.iter_mut().find(|tried| tried.endpoint == endpoint) {
            Some(tried) => tried.answer = answer,
            None => self.tried.push(Tried { endpoint: endpoint.to_owned(), answer }),
        }
    }

    fn give_up(&mut self) -> Error {
        let tried = std::mem::take(&mut self.tried);
        match self.key {
            Some(key) if self.maybe_applied => Error::OutcomeUnknown { key, tried },
            _ if self.no_leader => Error::NoLeader { tried, waited: self.began.elapsed() },
            _ => Error::Unreachable { tried },
        }
    }
}
