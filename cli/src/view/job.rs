//! Jobs.

use berth_client::api::{JobView, OutcomeView};

use crate::table::{Table, facts};
use crate::view::run;
use crate::{units, words};

pub(crate) fn list(jobs: &[JobView], now_ms: u64) -> String {
    let mut table =
        Table::new(["JOB", "VERSION", "STATE", "SCHEDULE", "NEXT", "ACTIVE", "UPDATED"]).right([1, 5]);
    for job in jobs {
        table.row([
            format!("{}/{}", job.tenant, job.name),
            job.version.to_string(),
            state(job).to_owned(),
            schedule(job),
            job.next_fire_ms.map_or_else(|| "-".to_owned(), |at| units::relative(now_ms, at)),
            job.active_runs.to_string(),
            units::relative(now_ms, job.updated_ms),
        ]);
    }
    table.render()
}

pub(crate) fn show(job: &JobView, now_ms: u64) -> String {
    let next = job.next_fire_ms.map(|at| format!("{} ({})", units::instant(at), units::relative(now_ms, at)));
    let mut text = facts([
        ("job", format!("{}/{}", job.tenant, job.name)),
        ("version", job.version.to_string()),
        ("kind", words::job_kind(job.kind()).to_owned()),
        ("state", state(job).to_owned()),
        ("priority", job.priority.to_string()),
        ("schedule", schedule(job)),
        ("next", next.unwrap_or_default()),
        ("tasks", job.tasks.to_string()),
        (
            "updated",
            format!("{} ({})", units::instant(job.updated_ms), units::relative(now_ms, job.updated_ms)),
        ),
    ]);
    if !job.runs.is_empty() {
        text.push('\n');
        text.push_str(&run::list(&job.runs, now_ms));
    }
    if !job.outcomes.is_empty() {
        text.push('\n');
        text.push_str(&outcomes(&job.outcomes));
    }
    text
}

fn outcomes(outcomes: &[OutcomeView]) -> String {
    let mut table = Table::new(["DUE", "OUTCOME"]);
    for due in outcomes {
        let more = if due.count > 1 { format!(", {} instants", due.count) } else { String::new() };
        let outcome = if due.run.is_empty() {
            format!("skipped: {}{more}", due.skipped)
        } else {
            format!("run {}", due.run)
        };
        table.row([units::instant(due.nominal_ms), outcome]);
    }
    table.render()
}

fn state(job: &JobView) -> &'static str {
    if job.enabled { "enabled" } else { "stopped" }
}

fn schedule(job: &JobView) -> String {
    if job.schedule_text.is_empty() { "on request".to_owned() } else { job.schedule_text.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_shows_its_schedule_and_what_became_of_due_instants() {
        let now = 1_785_499_439_000;
        let due = |nominal_ms, run: &str, skipped: &str, count| OutcomeView {
            nominal_ms,
            run: run.into(),
            skipped: skipped.into(),
            count,
        };
        let job = JobView {
            tenant: "acme".into(),
            name: "nightly".into(),
            version: 4,
            enabled: true,
            kind: 1,
            priority: 50,
            schedule_text: "every 10m".into(),
            next_fire_ms: Some(now + 361_000),
            updated_ms: now - 7_200_000,
            tasks: 3,
            active_runs: 1,
            outcomes: vec![
                due(now - 239_000, "3kd9f2m7q0xw4vbn8zr5h1tjye", "", 1),
                due(now - 839_000, "", "overlap", 2),
            ],
            ..JobView::default()
        };
        insta::assert_snapshot!(format!("{}\n{}", list(std::slice::from_ref(&job), now), show(&job, now)), @r"
        JOB           VERSION  STATE    SCHEDULE   NEXT   ACTIVE  UPDATED
        acme/nightly        4  enabled  every 10m  in 6m       1  2h ago

        job       acme/nightly
        version   4
        kind      job
        state     enabled
        priority  50
        schedule  every 10m
        next      2026-07-31T12:10:00Z (in 6m)
        tasks     3
        updated   2026-07-31T10:03:59Z (2h ago)

        DUE                   OUTCOME
        2026-07-31T12:00:00Z  run 3kd9f2m7q0xw4vbn8zr5h1tjye
        2026-07-31T11:50:00Z  skipped: overlap, 2 instants
        ");
    }
}
