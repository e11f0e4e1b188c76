//! What this cluster has against a spec, beyond what its text tells.

use berth_core::code::Code;
use berth_core::explain::{self, Misfit, Obstacle};
use berth_core::id::TenantHandle;
use berth_core::job_spec::{JobSpec, When};
use berth_core::resources;
use berth_core::state::State;
use berth_proto::convert::status::detail;
use berth_proto::v1::{ErrorCode, ErrorDetail, FieldViolation, Severity};

use crate::clock_watch;

/// What becomes of a task whose executor no node of today offers.
const WAITS: &str = "it will wait until a node that can take it joins";

/// All of it, and whether submitting the spec would change anything.
pub(crate) fn violations(state: &State, spec: &JobSpec) -> (Vec<FieldViolation>, bool) {
    let Some(tenant) = state.tenant_named(&spec.tenant) else {
        let message = format!("tenant `{}` is not found or not visible to you", spec.tenant);
        let help = "an operator adds tenants with `berth tenant apply`";
        return (vec![violation("tenant".into(), Code::NotVisible, message, help, Severity::Error)], true);
    };
    let misfits = explain::misfits(state, spec);
    let mut violations = queued(state, tenant, spec, &misfits);
    violations.extend(misfits.iter().map(never_fits));
    if let Some(When::At(instant)) = spec.schedule.as_ref().map(|schedule| schedule.when)
        && instant <= clock_watch::now().wall
    {
        let message = format!("{} is over: the schedule never fires", instant.rfc3339());
        let help = "give a later instant";
        violations.push(violation(
            "schedule.at".into(),
            Code::ScheduleRange,
            message,
            help,
            Severity::Warning,
        ));
    }
    let known = state.job_named(tenant, &spec.name).map(|job| state.job(job));
    let changes = known.is_none_or(|job| !job.enabled || **state.spec(job.spec) != *spec);
    (violations, changes)
}

/// Refuses a spec of which a task is larger than every node. Limits are left to the state machine, which knows them
/// exactly; nodes come and go, so that they are asked for once, by the leader, and not whenever a log is replayed.
pub(crate) fn refusal(state: &State, spec: &JobSpec) -> Option<ErrorDetail> {
    let too_large = |misfit: &Misfit| matches!(misfit.obstacle, Obstacle::Nodes(_));
    let misfits: Vec<Misfit> = explain::misfits(state, spec).into_iter().filter(too_large).collect();
    let violations = misfits.iter().map(never_fits).collect();
    let message = misfits.first()?.to_string();
    Some(ErrorDetail { violations, ..detail(ErrorCode::NeverFits, message) })
}

fn never_fits(misfit: &Misfit) -> FieldViolation {
    let (field, severity, help) = match &misfit.obstacle {
        Obstacle::Limit { resource, .. } => {
            (format!("resources.{resource}"), Severity::Error, "ask for less, or have the limit raised")
        }
        Obstacle::Nodes(_) => ("resources".to_owned(), Severity::Error, "ask for less, or add a larger node"),
        Obstacle::Executor(kind) => (kind.word().to_owned(), Severity::Warning, WAITS),
    };
    violation(format!("tasks[{}].{field}", misfit.task), Code::NeverFits, misfit.to_string(), help, severity)
}

/// The first tasks of the spec for which their tenant's limit has no room now.
fn queued(state: &State, owner: TenantHandle, spec: &JobSpec, misfits: &[Misfit]) -> Vec<FieldViolation> {
    let (tenant, used) = (state.tenant(owner), state.index().used_by(owner));
    let mut queued = Vec::new();
    for (place, task) in (0u16..).zip(&spec.tasks) {
        if !task.after.is_empty() || misfits.iter().any(|misfit| misfit.task == place) {
            continue;
        }
        for (name, &asked) in &task.resources {
            let used = state.index().resources.get(name).map_or(0, |handle| used.get(*handle));
            let Some(&limit) = tenant.limit.get(name).filter(|&&limit| used.saturating_add(asked) > limit)
            else {
                continue;
            };
            let amount = |amount| resources::display(name, amount);
            let line = match explain::ahead(state, owner, spec.priority) {
                0 => "first in line".to_owned(),
                1 => "behind 1 task of the tenant".to_owned(),
                ahead => format!("behind {ahead} tasks of the tenant"),
            };
            let message = format!(
                "task {} is accepted and queued {line}: tenant {} uses {} of its {} {name}, and it asks for {}",
                task.name,
                tenant.name,
                amount(used),
                amount(limit),
                amount(asked)
            );
            let help = "it starts when running tasks of the tenant have ended, or the limit is raised";
            let path = format!("tasks[{place}].resources.{name}");
            queued.push(violation(path, Code::QuotaQueued, message, help, Severity::Warning));
        }
    }
    queued
}

fn violation(path: String, code: Code, message: String, help: &str, severity: Severity) -> FieldViolation {
    FieldViolation { path, code: code.to_string(), message, help: help.to_owned(), severity: severity.into() }
}
