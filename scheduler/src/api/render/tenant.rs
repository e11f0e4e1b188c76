use berth_core::id::TenantHandle;
use berth_core::state::State;
use berth_proto::v1;

use super::named;

/// A tenant with what it uses.
pub(in crate::api) fn tenant(state: &State, handle: TenantHandle) -> v1::TenantView {
    let tenant = state.tenant(handle);
    let jobs =
        state.index().jobs.range((handle, String::new())..).take_while(|((owner, _), _)| *owner == handle);
    let (jobs, active_runs) = jobs.fold((0, 0), |(jobs, active), (_, job)| {
        (jobs + 1, active + state.index().active_runs_of(*job).count() as u64)
    });
    v1::TenantView {
        name: tenant.name.clone(),
        weight: tenant.weight,
        limit: tenant.limit.iter().map(|(name, amount)| (name.clone(), *amount)).collect(),
        used: named(state, state.index().used_by(handle)),
        grants: tenant.grants,
        jobs,
        active_runs,
    }
}
