use std::collections::BTreeMap;

use berth_core::command::NodeReport;
use berth_core::time::Millis;

use super::ConnectionId;

/// The most reports of one agent that wait. An agent has one under way at most times.
const WAITING_MAX: usize = 8;

/// Reports that the log had no room for. They are proposed again in the order in which the agent made them, so those
/// of an agent wait for its first one.
#[derive(Debug, Default)]
pub(super) struct Delayed {
    waiting: BTreeMap<ConnectionId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    until: Millis,
    reports: Vec<NodeReport>,
}

impl Delayed {
    /// True when reports of this agent wait.
    pub(super) fn holds(&self, connection: ConnectionId) -> bool {
        self.waiting.contains_key(&connection)
    }

    /// Lets a report wait until then, or as long as those before it do; false when too many wait.
    pub(super) fn push(&mut self, connection: ConnectionId, report: NodeReport, until: Millis) -> bool {
        let waiting =
            self.waiting.entry(connection).or_insert_with(|| Waiting { until, reports: Vec::new() });
        let room = waiting.reports.len() < WAITING_MAX;
        if room {
            waiting.reports.push(report);
        }
        room
    }

    /// Takes out what has waited long enough.
    pub(super) fn due(&mut self, now: Millis) -> Vec<(ConnectionId, NodeReport)> {
        let mut due = Vec::new();
        self.waiting.retain(|connection, waiting| {
            let over = waiting.until <= now;
            if over {
                due.extend(waiting.reports.drain(..).map(|report| (*connection, report)));
            }
            !over
        });
        due
    }

    /// Forgets what waits of an agent whose connection has ended.
    pub(super) fn drop(&mut self, connection: ConnectionId) {
        self.waiting.remove(&connection);
    }
}
