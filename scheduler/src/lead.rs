//! Runs a [`Leader`] for as long as this member leads: feeds it views, time and what agents say, and does what it
//! asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use berth_core::id::{ClusterId, EntryId};
use berth_core::reply::Applied;
use berth_core::time::Millis;
use berth_daemon::tasks::Tasks;
use berth_proto::agent;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::leader::{Config, ConnectionId, Input, Leader, NotApplied, Now, Output, Ticket};
use crate::log::{Log, Request};

/// Between looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// Inputs that wait for the leader; whoever has more to say waits.
const INPUTS_MAX: usize = 4_096;
/// Messages that wait for one agent; one that reads no faster is cut off and dials again.
const MESSAGES_MAX: usize = 1_024;

/// Where agents' connections come in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connections {
    inputs: mpsc::Sender<Arrival>,
    next: Arc<AtomicU64>,
}

/// One agent's connection.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    inputs: mpsc::Sender<Arrival>,
    /// What the agent is told; it ends when the leader has closed the connection.
    pub messages: mpsc::Receiver<agent::ToAgent>,
}

#[derive(Debug)]
enum Arrival {
    Opened(ConnectionId, mpsc::Sender<agent::ToAgent>),
    Message(ConnectionId, Box<agent::FromAgent>),
    Closed(ConnectionId),
}

impl Connections {
    /// A new connection.
    pub async fn open(&self) -> Connection {
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, messages) = mpsc::channel(MESSAGES_MAX);
        // When the loop is gone the sender is dropped with the arrival, and the connection ends at once.
        let _ = self.inputs.send(Arrival::Opened(id, sender)).await;
        Connection { id, inputs: self.inputs.clone(), messages }
    }
}

impl Connection {
    /// A way to hand on what the agent says.
    pub fn speaker(&self) -> Speaker {
        Speaker { id: self.id, inputs: self.inputs.clone() }
    }
}

/// Hands on what one agent says.
#[derive(Debug)]
pub struct Speaker {
    id: ConnectionId,
    inputs: mpsc::Sender<Arrival>,
}

impl Speaker {
    /// Hands on a message; waits while the leader has too much to do. False when the server stops.
    pub async fn say(&self, message: agent::FromAgent) -> bool {
        self.inputs.send(Arrival::Message(self.id, Box::new(message))).await.is_ok()
    }

    /// The agent says nothing more.
    pub async fn close(self) {
        // When the loop is gone, so is the connection.
        let _ = self.inputs.send(Arrival::Closed(self.id)).await;
    }
}

/// Leads whenever this member is elected.
#[derive(Debug)]
pub struct Lead {
    config: Config,
    cluster: ClusterId,
    log: Log,
    tasks: Tasks,
    arrivals: mpsc::Receiver<Arrival>,
    /// What came in between the election and the first look at it.
    early: Vec<Arrival>,
    agents: BTreeMap<ConnectionId, mpsc::Sender<agent::ToAgent>>,
    started: Instant,
}

/// What became of a proposal.
type Outcome = (Ticket, Result<(EntryId, Arc<Applied>), NotApplied>);
/// Proposals under way: one a duty and those of agents' reports. They are put to the log in the order in which they
/// were made, because a later report of an agent says that the earlier ones are applied.
type Proposals = FuturesUnordered<BoxFuture<'static, Outcome>>;

impl Lead {
    /// The loop, and where connections come in.
    pub fn new(config: Config, cluster: ClusterId, log: Log, tasks: Tasks) -> (Lead, Connections) {
        let (inputs, arrivals) = mpsc::channel(INPUTS_MAX);
        let lead = Lead {
            config,
            cluster,
            log,
            tasks,
            arrivals,
            early: Vec::new(),
            agents: BTreeMap::new(),
            started: Instant::now(),
        };
        (lead, Connections { inputs, next: Arc::new(AtomicU64::new(1)) })
    }

    /// Runs until the server stops.
    pub async fn run(mut self) {
        let stop = self.tasks.token();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                term = elected(&self.log) => self.lead(term).await,
                arrival = self.arrivals.recv() => match arrival {
                    // Elected a moment ago: it is served as soon as the leader stands.
                    Some(arrival) if self.log.leads() => self.early.push(arrival),
                    // Nobody is served here: with what waits for it dropped, the agent asks elsewhere.
                    Some(_) => self.early.clear(),
                    None => return,
                },
            }
        }
    }

    /// Leads one term.
    async fn lead(&mut self, term: u64) {
        tracing::info!(term, "leading");
        let mut views = self.log.views();
        let mut leader = Leader::new(self.config, self.cluster, term, views.latest(), self.now());
        let mut status = self.log.node().status();
        let mut proposals = Proposals::new();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let stop = self.tasks.token();
        for arrival in std::mem::take(&mut self.early) {
            let input = self.admit(arrival);
            self.hand_in(&mut leader, input, &mut proposals);
        }
        loop {
            // In no order: however much is applied, what agents say and the clock get their turn.
            let input = tokio::select! {
                () = stop.cancelled() => break,
                changed = status.wait_for(|status| status.leader_ready_term != Some(term)) => {
                    drop(changed);
                    break;
                }
                Some((ticket, outcome)) = proposals.next() => Input::Outcome(ticket, outcome),
                view = views.changed() => match view {
                    Some(view) => Input::View(view),
                    None => break,
                },
                arrival = self.arrivals.recv() => match arrival {
                    Some(arrival) => self.admit(arrival),
                    None => break,
                },
                _ = tick.tick() => {
                    self.hear_all(&mut leader, &mut proposals);
                    Input::Tick
                }
            };
            self.hand_in(&mut leader, input, &mut proposals);
        }
        // The agents find whoever leads now.
        self.agents.clear();
        tracing::info!(term, "no longer leading");
    }

    /// Hands in what agents have said by now, so that none is blamed for a silence that was the server's.
    fn hear_all(&mut self, leader: &mut Leader, proposals: &mut Proposals) {
        for _ in 0..self.arrivals.len() {
            let Ok(arrival) = self.arrivals.try_recv() else { return };
            let input = self.admit(arrival);
            self.hand_in(leader, input, proposals);
        }
    }

    fn hand_in(&mut self, leader: &mut Leader, input: Input, proposals: &mut Proposals) {
        for output in leader.handle(input, self.now()) {
            self.perform(leader.term(), output, proposals);
        }
    }

    fn admit(&mut self, arrival: Arrival) -> Input {
        match arrival {
            Arrival::Opened(id, sender) => {
                self.agents.insert(id, sender);
                Input::Opened(id)
            }
            Arrival::Message(id, message) => Input::Message(id, message),
            Arrival::Closed(id) => {
                self.agents.remove(&id);
                Input::Closed(id)
            }
        }
    }

    fn perform(&mut self, term: u64, output: Output, proposals: &mut Proposals) {
        match output {
            Output::Propose(ticket, command, asker) => {
                let (actor, origin) = asker.identity();
                let request = Request { key: None, actor, origin, command: *command };
                proposals.push(self.propose(term, ticket, request));
            }
            Output::Send(id, message) => {
                let cut = self.agents.get(&id).is_some_and(|agent| agent.try_send(*message).is_err());
                if cut {
                    tracing::warn!(connection = id.0, "an agent does not read: its connection is cut");
                    self.agents.remove(&id);
                }
            }
            Output::Close(id) => {
                self.agents.remove(&id);
            }
        }
    }

    fn propose(&self, term: u64, ticket: Ticket, request: Request) -> BoxFuture<'static, Outcome> {
        let log = self.log.clone();
        Box::pin(async move {
            let outcome = log.propose(term, request).await.map_err(NotApplied::from);
            (ticket, outcome)
        })
    }

    fn now(&self) -> Now {
        let steady = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let reading = self.log.time();
        let holds_fires = reading.doubt.is_some_and(|doubt| doubt.holds_fires());
        Now { time: reading.time, steady: Millis(steady), holds_fires }
    }
}

/// Waits until this member leads and has applied the first entry of its term; gives the term.
async fn elected(log: &Log) -> u64 {
    let mut status = log.node().status();
    loop {
        let ready = status.wait_for(|status| status.leader_ready_term.is_some()).await;
        match ready.ok().and_then(|status| status.leader_ready_term) {
            Some(term) => return term,
            // The member has ended; the server stops soon.
            None => std::future::pending().await,
        }
    }
}
