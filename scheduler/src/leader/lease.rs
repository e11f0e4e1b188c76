use std::collections::BTreeMap;

use berth_core::id::{NodeEpoch, NodeHandle};
use berth_core::model::NodeState;
use berth_core::state::State;
use berth_core::time::Millis;

/// Until when each node is believed to be there, on the leader's monotonic clock. Soft: a new leader gives every
/// node a full lease before it declares any of them lost.
#[derive(Debug)]
pub(super) struct Leases {
    span: Millis,
    /// All that agents had said by then is taken in. A lease is judged by this and not by the clock: a heartbeat that
    /// waits to be read is no silence.
    judged: Millis,
    granted: BTreeMap<NodeHandle, Lease>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: NodeEpoch,
    until: Millis,
}

impl Leases {
    pub(super) fn new(span: Millis, state: &State, now: Millis) -> Leases {
        let mut leases = Leases { span, judged: now, granted: BTreeMap::new() };
        for (node, record) in state.tables().nodes.iter() {
            if record.state == NodeState::Ready {
                leases.renew(node, record.epoch, now);
            }
        }
        leases
    }

    /// The node was heard of, under that registration; what is said under an earlier one than the lease's is late.
    pub(super) fn renew(&mut self, node: NodeHandle, epoch: NodeEpoch, now: Millis) {
        if self.granted.get(&node).is_none_or(|lease| lease.epoch <= epoch) {
            self.granted.insert(node, Lease { epoch, until: Millis(now.0 + self.span.0) });
        }
    }

    /// All that agents had said by `now` is taken in.
    pub(super) fn judge(&mut self, now: Millis) {
        self.judged = now;
    }

    /// The leader heard nobody for `gap`, by its own fault: that time counts against no node.
    pub(super) fn extend(&mut self, gap: Millis) {
        for lease in self.granted.values_mut() {
            lease.until = Millis(lease.until.0 + gap.0);
        }
    }

    /// Goes by a state of which the events are not all known: who is there has a lease, nobody else does.
    pub(super) fn reconcile(&mut self, state: &State, now: Millis) {
        let there =
            |node| state.tables().nodes.get(node).is_some_and(|record| record.state == NodeState::Ready);
        self.granted.retain(|node, _| there(*node));
        for (node, record) in state.tables().nodes.iter() {
            let known = self.granted.get(&node).is_some_and(|lease| lease.epoch >= record.epoch);
            if record.state == NodeState::Ready && !known {
                self.renew(node, record.epoch, now);
            }
        }
    }

    /// The node is known to be gone.
    pub(super) fn drop(&mut self, node: NodeHandle) {
        self.granted.remove(&node);
    }

    pub(super) fn holds(&self, node: NodeHandle, now: Millis) -> bool {
        self.granted.get(&node).is_some_and(|lease| lease.until > now)
    }

    /// The first node whose lease had run out when it was judged last.
    pub(super) fn expired(&self) -> Option<(NodeHandle, NodeEpoch)> {
        let over = |lease: &Lease| lease.until <= self.judged;
        self.granted.iter().find(|(_, lease)| over(lease)).map(|(node, lease)| (*node, lease.epoch))
    }
}
