use berth_core::id::NodeHandle;
use berth_core::model::NodeState;
use berth_core::state::State;
use berth_proto::convert::facts;
use berth_proto::v1;

use super::named;

/// A node with what it holds.
pub(in crate::api) fn node(state: &State, handle: NodeHandle) -> v1::NodeView {
    let node = state.node(handle);
    let (node_state, lost_ms) = match node.state {
        NodeState::Ready => (v1::NodeState::Ready, None),
        NodeState::Lost { at } => (v1::NodeState::Lost, Some(at.0)),
    };
    v1::NodeView {
        name: node.name.clone(),
        state: node_state.into(),
        lost_ms,
        drain: node.drain.as_ref().map(|drain| v1::DrainView {
            by: drain.by.clone(),
            since_ms: drain.since.0,
            deadline_ms: drain.deadline.map(|deadline| deadline.0),
        }),
        epoch: node.epoch.0,
        facts: Some(facts::to_proto(&node.facts)),
        used: named(state, state.index().used_on(handle)),
        attempts: state.index().attempts_on(handle).count() as u64,
    }
}
