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
    granted: BTreeMap<NodeHandle, Lease>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: NodeEpoch,
    until: Millis,
}

impl Leases {
    pub(super) fn new(span: Millis, state: &State, now: Millis) -> Leases {
        let mut leases = Leases { span, granted: BTreeMap::new() };
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

    /// The node is known to be gone.
    pub(super) fn drop(&mut self, node: NodeHandle) {
        self.granted.remove(&node);
    }

    pub(super) fn holds(&self, node: NodeHandle, now: Millis) -> bool {
        self.granted.get(&node).is_some_and(|lease| lease.until > now)
    }

    /// The nodes whose lease has run out.
    pub(super) fn expired(&self, now: Millis) -> impl Iterator<Item = (NodeHandle, NodeEpoch)> + '_ {
        self.granted
            .iter()
            .filter(move |(_, lease)| lease.until <= now)
            .map(|(node, lease)| (*node, lease.epoch))
    }
}
