use berth_core::id::AttemptHandle;
use berth_core::model::AttemptState;
use berth_core::state::State;
use berth_proto::agent;
use berth_proto::convert::order::{self, Order};

/// The order for an attempt as it stands; none when it is over.
pub(super) fn order_for(state: &State, handle: AttemptHandle) -> Option<agent::Order> {
    let attempt = state.tables().attempts.get(handle)?;
    if let AttemptState::Ended { .. } = attempt.state {
        return None;
    }
    match Order::resolve(state, handle) {
        Ok(resolved) => Some(order::to_proto(&resolved)),
        Err(cause) => {
            // What cannot be ordered is ended when it is placed, by the same function.
            tracing::error!(attempt.id = handle.0, cause = %cause, "an attempt cannot be ordered");
            None
        }
    }
}
