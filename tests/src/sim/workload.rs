//! Jobs as the simulated users write them.

use std::sync::Arc;

use berth_core::job_spec::{
    Count, FakeProgram, JobKind, JobSpec, OnDisconnect, Overlap, ProgramSpec, Retry, STOP_AFTER_MIN,
    Schedule, TaskSpec, When,
};
use berth_core::resources::CPU;
use berth_core::time::Millis;

use super::random::Random;

/// The tenants.
pub(crate) const TENANTS: [&str; 3] = ["default", "acme", "umbra"];
/// The most cpu that one task asks for; no tenant's limit is lower.
pub(crate) const CPU_MAX: u64 = 2_000;
/// Names of jobs that are started by hand, for each tenant.
const JOBS: u64 = 12;
/// Names of jobs with a schedule, for each tenant.
const SCHEDULES: u64 = 2;

/// The name of one of the jobs that are started by hand.
pub(crate) fn job_name(random: &mut Random) -> String {
    format!("job-{}", random.below(JOBS))
}

/// A job of several tasks in a graph, with arrays, failures and retries.
pub(crate) fn job(random: &mut Random, tenant: &str, name: &str) -> Arc<JobSpec> {
    let count = random.pick(&[1, 1, 2, 3, 4]);
    let mut tasks: Vec<TaskSpec> = Vec::new();
    for place in 0..count {
        let mut after: Vec<u16> = (0..place).filter(|_| random.chance(500)).collect();
        let counts_of_other = tasks.iter().position(leaves_parts).filter(|_| random.chance(500));
        let size = match counts_of_other.and_then(|at| u16::try_from(at).ok()) {
            Some(task) => {
                if !after.contains(&task) {
                    after.push(task);
                    after.sort_unstable();
                }
                Count::LengthOf { task, key: "part".to_owned() }
            }
            None if random.chance(300) => Count::Fixed(u32::try_from(random.between(1, 6)).unwrap_or(1)),
            None => Count::Single,
        };
        tasks.push(task(random, &format!("task-{place}"), after, size));
    }
    Arc::new(spec(tenant, name, None, tasks))
}

/// A job that fires every one to five seconds.
pub(crate) fn scheduled(random: &mut Random, tenant: &str) -> Arc<JobSpec> {
    let name = format!("every-{}", random.below(SCHEDULES));
    let period = Millis(random.pick(&[1_000, 1_500, 2_000, 2_500, 3_000, 5_000]));
    let overlap = random.pick(&[Overlap::Skip, Overlap::Skip, Overlap::AllowAll]);
    let schedule = Schedule { when: When::Every(period), overlap };
    let mut short = task(random, "tick", Vec::new(), Count::Single);
    if let ProgramSpec::Fake(fake) = &mut short.program {
        fake.runs_for = Millis(random.between(20, 600));
    }
    short.resources = [(CPU.to_owned(), 250)].into();
    Arc::new(spec(tenant, &name, Some(schedule), vec![short]))
}

fn spec(tenant: &str, name: &str, schedule: Option<Schedule>, tasks: Vec<TaskSpec>) -> JobSpec {
    JobSpec {
        kind: JobKind::Job,
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        priority: 50,
        schedule,
        tasks,
    }
}

fn task(random: &mut Random, name: &str, after: Vec<u16>, count: Count) -> TaskSpec {
    let runs_for = match random.chance(100) {
        true => random.between(3_000, 9_000),
        false => random.between(20, 2_000),
    };
    let fails = random.chance(150);
    let parts = random.below(5);
    let output: String = match random.chance(400) {
        true => (0..parts).map(|part| format!("part=p{part}\n")).collect(),
        false => String::new(),
    };
    let program = FakeProgram {
        runs_for: Millis(runs_for),
        fail_first: if random.chance(250) { 1 } else { 0 },
        exit_code: if fails { 3 } else { 0 },
        output,
    };
    let on_disconnect = match random.chance(500) {
        true => OnDisconnect::StopAfter(Millis(random.between(STOP_AFTER_MIN.0, 9_000))),
        false => OnDisconnect::Keep,
    };
    TaskSpec {
        name: name.to_owned(),
        after,
        count,
        program: ProgramSpec::Fake(program),
        resources: [(CPU.to_owned(), random.pick(&[250, 500, 1_000, CPU_MAX]))].into(),
        memory_max: None,
        env: Vec::new(),
        retry: Retry {
            max_attempts: random.pick(&[1, 2, 3]),
            initial: Millis(random.between(100, 1_500)),
            factor_milli: 2_000,
            max: Millis(5_000),
        },
        timeout: random.chance(200).then(|| Millis(random.between(300, 2_500))),
        stop_grace: Millis(random.between(0, 1_000)),
        on_disconnect,
    }
}

fn leaves_parts(task: &TaskSpec) -> bool {
    matches!(&task.program, ProgramSpec::Fake(fake) if !fake.output.is_empty())
}
