//! Virtual time: what happens next.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use berth_agent::session::SessionId;
use berth_core::time::Timestamp;
use raft::eraftpb::Message;

use super::client::Answer;
use super::faults::Fault;

/// The number of a process: what was meant for an earlier one does not reach a later one.
pub(crate) type Life = u64;

#[derive(Debug)]
pub(crate) enum Event {
    /// A tick of consensus.
    RaftTick {
        server: u64,
        life: Life,
    },
    /// A tick of the leader's duties.
    LeadTick {
        server: u64,
        life: Life,
    },
    /// The leader's shell has something to do.
    LeadTurn {
        server: u64,
        life: Life,
    },
    /// The log's disk is done.
    Written {
        server: u64,
        life: Life,
    },
    Apply {
        server: u64,
        life: Life,
    },
    Build {
        server: u64,
        life: Life,
    },
    Fetch {
        server: u64,
        life: Life,
    },
    Raft {
        from: u64,
        to: u64,
        life: Life,
        message: Box<Message>,
    },
    /// A server asks its peers what time it is.
    ClockRound {
        server: u64,
        life: Life,
    },
    /// A peer was asked at `sent` and says what its wall clock shows.
    ClockAnswer {
        server: u64,
        life: Life,
        peer: u64,
        sent: u64,
        wall: Timestamp,
    },
    /// A server's wall clock is put right.
    ClockIsRight {
        server: u64,
    },
    RestartServer {
        server: u64,
        life: Life,
    },
    /// A server that was doomed to lose power at its next writes, and had none.
    CrashServer {
        server: u64,
        life: Life,
    },
    /// An agent's dial reaches a server.
    Dialed {
        agent: usize,
        life: Life,
        session: SessionId,
        server: u64,
    },
    /// Something an agent said reaches the server's end of the connection.
    Up(u64),
    /// Something the server said reaches the agent's end.
    Down(u64),
    AgentTick {
        agent: usize,
        life: Life,
    },
    /// The agent hears of what its executor told.
    AgentEvents {
        agent: usize,
        life: Life,
    },
    /// Simulated work ends.
    WorkEnds {
        agent: usize,
    },
    RestartAgent {
        agent: usize,
        life: Life,
    },
    /// The client thinks of something to ask.
    ClientThinks,
    /// The client sends, for the so-manieth time.
    ClientSends {
        request: usize,
        try_number: u32,
        server: u64,
    },
    /// A request reaches a server.
    Asked {
        request: usize,
        try_number: u32,
        server: u64,
    },
    Answered {
        request: usize,
        try_number: u32,
        server: u64,
        answer: Answer,
    },
    ClientWaited {
        request: usize,
        try_number: u32,
    },
    Fault(Fault),
    /// A cut of the network heals.
    Heal(u64),
    /// The end of the chaos.
    Quiet,
    /// A look whether everything is over.
    Look,
}

impl Event {
    /// The server that has to be awake for it.
    pub(crate) fn server(&self) -> Option<u64> {
        match self {
            Event::RaftTick { server, .. }
            | Event::LeadTick { server, .. }
            | Event::LeadTurn { server, .. }
            | Event::Written { server, .. }
            | Event::Apply { server, .. }
            | Event::Build { server, .. }
            | Event::Fetch { server, .. }
            | Event::ClockRound { server, .. }
            | Event::ClockAnswer { server, .. }
            | Event::Raft { to: server, .. }
            | Event::Dialed { server, .. }
            | Event::Asked { server, .. } => Some(*server),
            Event::RestartServer { .. }
            | Event::ClockIsRight { .. }
            | Event::CrashServer { .. }
            | Event::Up(_)
            | Event::Down(_)
            | Event::AgentTick { .. }
            | Event::AgentEvents { .. }
            | Event::WorkEnds { .. }
            | Event::RestartAgent { .. }
            | Event::ClientThinks
            | Event::ClientSends { .. }
            | Event::Answered { .. }
            | Event::ClientWaited { .. }
            | Event::Fault(_)
            | Event::Heal(_)
            | Event::Quiet
            | Event::Look => None,
        }
    }

    /// The agent that has to be awake for it.
    pub(crate) fn agent(&self) -> Option<usize> {
        match self {
            Event::AgentTick { agent, .. } | Event::AgentEvents { agent, .. } => Some(*agent),
            _ => None,
        }
    }

    /// Tells the kinds apart in the trace.
    pub(crate) fn word(&self) -> u64 {
        match self {
            Event::RaftTick { server, .. } => 100 + server,
            Event::LeadTick { server, .. } => 200 + server,
            Event::LeadTurn { server, .. } => 300 + server,
            Event::Written { server, .. } => 400 + server,
            Event::Apply { server, .. } => 500 + server,
            Event::Build { server, .. } => 600 + server,
            Event::Fetch { server, .. } => 700 + server,
            Event::Raft { from, to, message, .. } => {
                800 + from + 10 * to + (message.index << 32) + (message.term << 16) + (message.commit << 48)
            }
            Event::ClockRound { server, .. } => 720 + server,
            Event::ClockAnswer { server, peer, sent, .. } => 740 + server + 10 * peer + (sent << 32),
            Event::ClockIsRight { server } => 790 + server,
            Event::RestartServer { server, .. } => 900 + server,
            Event::CrashServer { server, .. } => 1_000 + server,
            Event::Dialed { server, session, .. } => 1_100 + server + (session.0 << 32),
            Event::Up(connection) => 1_200 + (connection << 32),
            Event::Down(connection) => 1_300 + (connection << 32),
            Event::AgentTick { life, .. } => 1_400 + (life << 32),
            Event::AgentEvents { life, .. } => 1_500 + (life << 32),
            Event::WorkEnds { .. } => 1_600,
            Event::RestartAgent { life, .. } => 1_700 + (life << 32),
            Event::ClientThinks => 1_800,
            Event::ClientSends { try_number, .. } => 1_900 + (u64::from(*try_number) << 32),
            Event::Asked { server, .. } => 2_000 + server,
            Event::Answered { server, answer, .. } => 2_100 + server + (answer.word() << 16),
            Event::ClientWaited { .. } => 2_200,
            Event::Fault(_) => 2_300,
            Event::Heal(cut) => 2_400 + (cut << 32),
            Event::Quiet => 2_500,
            Event::Look => 2_600,
        }
    }
}

#[derive(Debug)]
struct Entry {
    at: u64,
    order: u64,
    event: Event,
}

/// What happens when. Of what happens at one moment, the first that was planned comes first.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    entries: BinaryHeap<Entry>,
    planned: u64,
}

impl Agenda {
    pub(crate) fn plan(&mut self, at: u64, event: Event) {
        self.planned += 1;
        self.entries.push(Entry { at, order: self.planned, event });
    }

    pub(crate) fn next(&mut self) -> Option<(u64, Event)> {
        self.entries.pop().map(|entry| (entry.at, entry.event))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The heap gives the greatest first; the earliest is to come first.
    fn cmp(&self, other: &Entry) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}
