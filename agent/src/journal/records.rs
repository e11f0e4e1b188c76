//! The journal's small text files.

use berth_core::id::{ClusterId, JournalId, NodeEpoch};
use berth_core::time::Timestamp;
use berth_shim::record::{Error, Fields, Record};

use crate::clock::Boot;
use crate::message::Known;

/// The file `journal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: JournalId,
    pub(super) known: Known,
}

/// The file `reported`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reported(pub(super) u64);

/// The file `forgotten`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forgotten(pub(super) Timestamp);

/// The file `state`: how far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// Since when its program runs, by both clocks.
    pub started: Option<(Timestamp, Boot)>,
    /// Why it was asked to stop, if it was.
    pub stop: Option<StopCause>,
}

/// Why the agent asked an attempt to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopCause {
    /// The server said so, or does not name the attempt any more.
    Ordered,
    /// It ran for longer than it may.
    TimedOut,
    /// There was no contact to the servers for longer than it may run without.
    Disconnected,
    /// The agent ends and takes its attempts with it.
    AgentEnds,
}

impl StopCause {
    const ALL: [StopCause; 4] =
        [StopCause::Ordered, StopCause::TimedOut, StopCause::Disconnected, StopCause::AgentEnds];

    fn word(self) -> &'static str {
        match self {
            StopCause::Ordered => "ordered",
            StopCause::TimedOut => "timed_out",
            StopCause::Disconnected => "disconnected",
            StopCause::AgentEnds => "agent_ends",
        }
    }
}

impl Record for Head {
    const KIND: &'static str = "journal";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.put("id", self.id);
        fields.put_some("cluster", self.known.cluster);
        fields.put("cluster_epoch", self.known.cluster_epoch);
        fields.put("term", self.known.term);
        fields.put("epoch", self.known.epoch.0);
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, Error> {
        let known = Known {
            cluster: fields.get::<ClusterId>("cluster")?,
            cluster_epoch: fields.need("cluster_epoch")?,
            term: fields.need("term")?,
            epoch: NodeEpoch(fields.need("epoch")?),
        };
        Ok(Head { id: fields.need("id")?, known })
    }
}

impl Record for Reported {
    const KIND: &'static str = "reported";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.put("up_to", self.0);
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, Error> {
        Ok(Reported(fields.need("up_to")?))
    }
}

impl Record for Forgotten {
    const KIND: &'static str = "forgotten";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.put("at", self.0.0);
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, Error> {
        Ok(Forgotten(Timestamp(fields.need("at")?)))
    }
}

impl Record for State {
    const KIND: &'static str = "state";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        if let Some((wall, boot)) = self.started {
            fields.put("started", wall.0);
            fields.put("started_boot", boot.0);
        }
        fields.put_some("stop", self.stop.map(StopCause::word));
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, Error> {
        let started = match fields.get("started")? {
            Some(wall) => Some((Timestamp(wall), Boot(fields.need("started_boot")?))),
            None => None,
        };
        let word = fields.get::<String>("stop")?;
        let stop = word.and_then(|word| StopCause::ALL.into_iter().find(|cause| cause.word() == word));
        Ok(State { started, stop })
    }
}
