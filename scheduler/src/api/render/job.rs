use berth_core::id::JobHandle;
use berth_core::job_spec::{JobKind, Schedule, When};
use berth_core::model::OutcomeKind;
use berth_core::reason::SkipReason;
use berth_core::state::State;
use berth_core::time::Timestamp;
use berth_proto::convert::job_spec;
use berth_proto::v1;

use super::{run, summary};

/// How many outcomes of due instants are shown.
const OUTCOMES_SHOWN: usize = 20;

/// A job with its latest `runs` runs, and its spec if asked for.
pub(in crate::api) fn job(state: &State, handle: JobHandle, runs: usize, with_spec: bool) -> v1::JobView {
    let job = state.job(handle);
    let spec = state.spec(job.spec);
    v1::JobView {
        tenant: state.tenant(job.tenant).name.clone(),
        name: job.name.clone(),
        version: job.version,
        enabled: job.enabled,
        kind: match spec.kind {
            JobKind::Job => v1::JobKind::Job.into(),
            JobKind::Service => v1::JobKind::Service.into(),
        },
        priority: u32::from(spec.priority),
        schedule: spec.schedule.as_ref().map(job_spec::schedule_to_proto),
        schedule_text: spec.schedule.as_ref().map(schedule_text).unwrap_or_default(),
        next_fire_ms: job.cursor.and_then(|cursor| cursor.next).map(|next| next.0),
        updated_ms: job.updated.0,
        tasks: u32::try_from(spec.tasks.len()).unwrap_or(u32::MAX),
        active_runs: state.index().active_runs_of(handle).count() as u64,
        runs: latest_runs(state, handle, runs),
        spec: with_spec.then(|| job_spec::to_proto(spec)),
        outcomes: if runs > 0 { outcomes(state, handle) } else { Vec::new() },
    }
}

fn latest_runs(state: &State, job: JobHandle, most: usize) -> Vec<v1::RunView> {
    let kept = state.index().runs_of(job).rev().map(|handle| run(state, handle));
    let older = state.index().summaries_of(job).rev().filter_map(|id| {
        let record = state.tables().summaries.get(&id)?;
        Some(summary(state, id, record))
    });
    kept.chain(older).take(most).collect()
}

fn outcomes(state: &State, job: JobHandle) -> Vec<v1::OutcomeView> {
    let of_job = state.tables().outcomes.range((job, Timestamp(0))..=(job, Timestamp::FAR));
    of_job
        .rev()
        .take(OUTCOMES_SHOWN)
        .map(|((_, nominal), outcome)| {
            let (run, skipped) = match outcome.kind {
                OutcomeKind::Run(id) => (id.to_string(), ""),
                OutcomeKind::Skipped(SkipReason::Overlap) => (String::new(), "overlap"),
                OutcomeKind::Skipped(SkipReason::CatchUp) => (String::new(), "catch_up"),
                OutcomeKind::Skipped(SkipReason::Full) => (String::new(), "full"),
                OutcomeKind::Skipped(SkipReason::Superseded) => (String::new(), "superseded"),
            };
            v1::OutcomeView { nominal_ms: nominal.0, run, skipped: skipped.to_owned(), count: outcome.count }
        })
        .collect()
}

fn schedule_text(schedule: &Schedule) -> String {
    match schedule.when {
        When::Every(period) => format!("every {period}"),
        When::At(instant) => format!("at {}", instant.rfc3339()),
    }
}
