//! The client, and how it asks one question of a cluster of which parts may be down.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::{Error, Tried};
use crate::key::RequestKey;
use crate::pool::Pool;
use crate::round::{GivenUp, Options, Passed, Round};
use crate::status::{Elsewhere, Verdict, judge};

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
        let mut asking = Request::new(&self.pool, key);
        loop {
            let endpoint = Arc::clone(asking.round.server());
            let time = self.config().attempt_timeout.min(asking.remaining());
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
            asking.go_on(verdict).await?;
        }
    }
}

/// A request with its clock, its answers so far, and the round that decides.
struct Request<'a> {
    pool: &'a Pool,
    key: Option<RequestKey>,
    began: Instant,
    round: Round<Arc<Endpoint>>,
    /// The latest answer of each server that was asked.
    tried: Vec<Tried>,
}

impl Request<'_> {
    fn new(pool: &Pool, key: Option<RequestKey>) -> Request<'_> {
        let round = Round::new(pool.preferred(), key.is_some());
        Request { pool, key, began: Instant::now(), round, tried: Vec::new() }
    }

    fn remaining(&self) -> Duration {
        self.pool.config().deadline.saturating_sub(self.began.elapsed())
    }

    /// Chooses the next server and waits for its turn, or says why there is none.
    async fn go_on(&mut self, verdict: Verdict) -> Result<(), Error> {
        let pause = match verdict {
            Verdict::Refused(error) => {
                let blind = matches!(*error, Error::Internal(_) | Error::Full(_) | Error::NeverFits(_));
                match self.round.refused(blind) {
                    Ok(()) => return Err(*error),
                    Err(why) => {
                        self.note(error.to_string());
                        Err(why)
                    }
                }
            }
            Verdict::Later { message, after } => match self.round.later(after, self.remaining()) {
                Err(GivenUp::Overloaded) => return Err(Error::Overloaded { message, retry_after: after }),
                pause => {
                    self.note(message);
                    pause
                }
            },
            Verdict::Elsewhere(elsewhere) => self.elsewhere(elsewhere),
        };
        match pause {
            Ok(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            Err(why) => Err(self.given_up(why)),
        }
    }

    fn elsewhere(&mut self, why: Elsewhere) -> Result<Duration, GivenUp> {
        let Elsewhere { answer, leader, no_leader, maybe_applied } = why;
        tracing::debug!(endpoint = self.round.server().name(), answer, "asking another server");
        self.note(answer);
        let options = Options {
            leader: leader.and_then(|address| self.pool.at_address(&address)),
            following: self.pool.after(self.round.server()),
            servers: self.pool.configured().len(),
        };
        let chance = RequestKey::random().bytes()[0];
        self.round.elsewhere(Passed { no_leader, maybe_applied }, options, self.remaining(), chance)
    }

    fn note(&mut self, answer: String) {
        let endpoint = self.round.server().name();
        match self.tried.iter_mut().find(|tried| tried.endpoint == endpoint) {
            Some(tried) => tried.answer = answer,
            None => self.tried.push(Tried { endpoint: endpoint.to_owned(), answer }),
        }
    }

    fn given_up(&mut self, why: GivenUp) -> Error {
        let tried = std::mem::take(&mut self.tried);
        match (why, self.key) {
            (GivenUp::OutcomeUnknown, Some(key)) => Error::OutcomeUnknown { key, tried },
            (GivenUp::NoLeader, _) => Error::NoLeader { tried, waited: self.began.elapsed() },
            (GivenUp::OutcomeUnknown | GivenUp::Unreachable | GivenUp::Overloaded, _) => {
                Error::Unreachable { tried }
            }
        }
    }
}
