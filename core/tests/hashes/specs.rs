use berth_core::job_spec::{
    Count, ExecutorKind, FakeProgram, JobKind, JobSpec, OnDisconnect, Overlap, ProgramSpec, Retry, Schedule,
    TaskSpec, When,
};
use berth_core::template::{PLAIN_VARIABLES, Template};
use berth_core::time::{Millis, Timestamp};

use crate::Hashes;

pub(crate) fn add(hashes: &mut Hashes) {
    hashes.add("job-spec", &a_job());
    hashes.add_all("job-kind", &[JobKind::Job, JobKind::Service]);
    hashes.add("schedule", &Schedule { when: When::Every(Millis(60_000)), overlap: Overlap::AllowAll });
    hashes.add_all("when", &[When::Every(Millis(1000)), When::At(Timestamp(1000))]);
    hashes.add_all("overlap", &[Overlap::Skip, Overlap::AllowAll]);
    hashes.add("task-spec", &a_task("load"));
    let length_of = Count::LengthOf { task: 1, key: "parts".into() };
    hashes.add_all("count", &[Count::Single, Count::Fixed(7), length_of]);
    hashes.add("program exec", &ProgramSpec::Exec { command: vec![template("sleep"), template("1")] });
    hashes.add("program docker", &docker());
    hashes.add("program fake", &ProgramSpec::Fake(a_fake()));
    hashes.add("fake", &a_fake());
    hashes.add_all("executor", &[ExecutorKind::Exec, ExecutorKind::Docker, ExecutorKind::Fake]);
    hashes.add("retry", &a_retry());
    hashes.add_all("on-disconnect", &[OnDisconnect::Keep, OnDisconnect::StopAfter(Millis(5))]);
    for (name, variable) in PLAIN_VARIABLES {
        hashes.add(&format!("variable {name}"), &variable);
    }
    for text in ["plain", "a $${b}", "${run.id}/${tasks.split.outputs.parts}"] {
        hashes.add(&format!("template {text}"), &template(text));
    }
    for element in ["", "[3]", "[index]"] {
        hashes.add(
            &format!("template element {element:?}"),
            &template(&format!("${{tasks.split.outputs.parts{element}}}")),
        );
    }
}

pub(crate) fn a_job() -> JobSpec {
    JobSpec {
        kind: JobKind::Service,
        tenant: "acme".into(),
        name: "orders-nightly".into(),
        priority: 50,
        schedule: Some(Schedule { when: When::At(Timestamp(1_700_000_000_000)), overlap: Overlap::Skip }),
        tasks: vec![a_task("split"), a_task("load")],
    }
}

fn a_task(name: &str) -> TaskSpec {
    TaskSpec {
        name: name.into(),
        after: vec![0, 1],
        count: Count::Fixed(8),
        program: docker(),
        resources: [("cpu".into(), 500), ("memory".into(), 256 << 20)].into(),
        memory_max: Some(1 << 30),
        env: vec![("HOME".into(), template("/tmp")), ("RUN".into(), template("${run.id}"))],
        retry: a_retry(),
        timeout: Some(Millis(1_800_000)),
        stop_grace: Millis(10_000),
        on_disconnect: OnDisconnect::StopAfter(Millis(60_000)),
    }
}

fn docker() -> ProgramSpec {
    ProgramSpec::Docker { image: template("cleaner:3"), command: vec![template("clean"), template("all")] }
}

fn a_fake() -> FakeProgram {
    FakeProgram { runs_for: Millis(10), fail_first: 2, exit_code: -3, output: "parts=1\n".into() }
}

fn a_retry() -> Retry {
    Retry { max_attempts: 3, initial: Millis(10_000), factor_milli: 2000, max: Millis(300_000) }
}

fn template(text: &str) -> Template {
    Template::parse(text).expect("it is well formed")
}
