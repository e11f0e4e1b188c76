//! What people and programs are shown: the state's records as messages of the public API. Pure.

mod event;
mod job;
mod node;
mod run;
mod task;
mod tenant;

pub(super) use event::run_event;
pub(super) use job::job;
pub(super) use node::node;
pub(super) use run::{run, run_with_steps, step, summary};
pub(super) use task::task;
pub(super) use tenant::tenant;

use berth_core::resources::Resources;
use berth_core::state::State;
use std::collections::BTreeMap;

/// Amounts by name.
fn named(state: &State, resources: &Resources) -> BTreeMap<String, u64> {
    resources.iter().map(|(resource, amount)| (state.resource_name(resource).to_owned(), amount)).collect()
}
