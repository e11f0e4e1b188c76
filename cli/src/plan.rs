//! What a spec would change of the job as it is registered, for people and programs.

use berth_core::job_spec::{Count, JobKind, JobSpec, Overlap, Schedule, TaskSpec, When};
use serde_json::{Value, json};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    sign: Sign,
    /// `schedule`, `tasks.merge`, `tasks.merge.exec`.
    field: String,
    /// Before and after, where they are short.
    values: Option<(String, String)>,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Added,
    Removed,
    Changed,
}

impl Change {
    fn new(sign: Sign, field: impl Into<String>) -> Change {
        Change { sign, field: field.into(), values: None }
    }

    fn of(field: &str, before: String, after: String) -> Option<Change> {
        let sign = Sign::Changed;
        (before != after).then(|| Change { sign, field: field.to_owned(), values: Some((before, after)) })
    }

    /// `~ priority: 50 -> 80`
    pub(crate) fn line(&self) -> String {
        let sign = match self.sign {
            Sign::Added => '+',
            Sign::Removed => '-',
            Sign::Changed => '~',
        };
        let values =
            self.values.as_ref().map(|(before, after)| format!(": {before} -> {after}")).unwrap_or_default();
        berth_spec::escape(&format!("{sign} {}{values}", self.field))
    }

    pub(crate) fn to_json(&self) -> Value {
        let what = match self.sign {
            Sign::Added => "added",
            Sign::Removed => "removed",
            Sign::Changed => "changed",
        };
        let (before, after) = self.values.clone().unzip();
        json!({ "field": self.field, "what": what, "before": before, "after": after })
    }
}

/// All differences, those of the job before those of its tasks. None where only the order of tasks differs.
pub(crate) fn changes(before: &JobSpec, after: &JobSpec) -> Vec<Change> {
    let mut changes: Vec<Change> = [
        Change::of("kind", kind(before.kind), kind(after.kind)),
        Change::of("priority", before.priority.to_string(), after.priority.to_string()),
        Change::of("schedule", schedule(before.schedule.as_ref()), schedule(after.schedule.as_ref())),
    ]
    .into_iter()
    .flatten()
    .collect();
    for task in &after.tasks {
        match before.task(&task.name) {
            None => changes.push(Change::new(Sign::Added, format!("tasks.{}", task.name))),
            Some((_, old)) => changes.extend(
                changed_fields((before, old), (after, task))
                    .into_iter()
                    .map(|field| Change::new(Sign::Changed, format!("tasks.{}.{field}", task.name))),
            ),
        }
    }
    let gone = before.tasks.iter().filter(|task| after.task(&task.name).is_none());
    changes.extend(gone.map(|task| Change::new(Sign::Removed, format!("tasks.{}", task.name))));
    changes
}

fn schedule(schedule: Option<&Schedule>) -> String {
    let Some(Schedule { when, overlap }) = schedule else { return "on request".to_owned() };
    let when = match when {
        When::Every(every) => format!("every {every}"),
        When::At(at) => format!("at {}", at.rfc3339()),
    };
    let overlap = match overlap {
        Overlap::Skip => "skip",
        Overlap::AllowAll => "allow_all",
    };
    format!("{when}, overlap {overlap}")
}

fn kind(kind: JobKind) -> String {
    match kind {
        JobKind::Job => "Job".to_owned(),
        JobKind::Service => "Service".to_owned(),
    }
}

/// The fields of a task that differ, by their names in specs.
fn changed_fields(
    (before, old): (&JobSpec, &TaskSpec),
    (after, new): (&JobSpec, &TaskSpec),
) -> Vec<&'static str> {
    // Tasks are named by their places in the job, which say nothing across two versions.
    let name = |job: &JobSpec, place: u16| job.tasks.get(usize::from(place)).map(|task| task.name.clone());
    let after_names = |job: &JobSpec, task: &TaskSpec| {
        let mut names: Vec<_> = task.after.iter().map(|&place| name(job, place)).collect();
        names.sort();
        names
    };
    let count = |job: &JobSpec, task: &TaskSpec| match &task.count {
        Count::Single => "single".to_owned(),
        Count::Fixed(size) => size.to_string(),
        Count::LengthOf { task, key } => format!("{key} of {:?}", name(job, *task)),
    };
    let executor = if old.executor() == new.executor() { new.executor().word() } else { "executor" };
    [
        ("after", after_names(before, old) != after_names(after, new)),
        ("count", count(before, old) != count(after, new)),
        (executor, old.program != new.program),
        ("resources", (&old.resources, old.memory_max) != (&new.resources, new.memory_max)),
        ("env", old.env != new.env),
        ("retry", old.retry != new.retry),
        ("timeout", old.timeout != new.timeout),
        ("stop_grace", old.stop_grace != new.stop_grace),
        ("on_disconnect", old.on_disconnect != new.on_disconnect),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
apiVersion: berth/v1
kind: Job
name: orders
tenant: acme
tasks:
  - name: split
    exec: { command: ["a"] }
    resources: { cpu: 100m, memory: 32Mi }
  - name: old
    exec: { command: ["b"] }
    resources: { cpu: 100m, memory: 32Mi }
"#;
    const AFTER: &str = r#"
apiVersion: berth/v1
kind: Job
name: orders
tenant: acme
priority: 80
schedule: { every: 10m, overlap: skip }
tasks:
  - name: split
    exec: { command: ["c"] }
    resources: { cpu: 200m, memory: 32Mi }
    timeout: 5m
  - name: merge
    after: [split]
    exec: { command: ["d"] }
    resources: { cpu: 100m, memory: 32Mi }
"#;

    fn job(text: &str) -> JobSpec {
        berth_spec::parse(text.as_bytes(), "test").map_err(|report| report.render(false)).unwrap().job
    }

    #[test]
    fn a_plan_names_what_would_change_and_nothing_else() {
        let lines: Vec<String> = changes(&job(BEFORE), &job(AFTER)).iter().map(Change::line).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        ~ priority: 50 -> 80
        ~ schedule: on request -> every 10m, overlap skip
        ~ tasks.split.exec
        ~ tasks.split.resources
        ~ tasks.split.timeout
        + tasks.merge
        - tasks.old
        ");
        assert_eq!(changes(&job(AFTER), &job(AFTER)), []);
    }
}
