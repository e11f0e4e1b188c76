use super::*;
use crate::apply::tests::house::{House, a_job, a_node, a_task, every};
use crate::command::{Command, DrainOrder, Registration, TenantSpec};
use crate::id::RunHandle;
use crate::job_spec::{Count, ExecutorKind, JobSpec, Overlap, ProgramSpec, Retry, TaskSpec};
use crate::model::ExecutorOffer;
use crate::reason::EndReason;
use crate::template::Template;
use crate::time::Millis;

fn cpu(milli: u64, task: TaskSpec) -> TaskSpec {
    TaskSpec { resources: [("cpu".into(), milli)].into(), ..task }
}

fn docker(task: TaskSpec) -> TaskSpec {
    let program = ProgramSpec::Docker { image: Template::literal("i"), command: vec![] };
    TaskSpec { program, ..task }
}

fn with_files(task: TaskSpec) -> TaskSpec {
    TaskSpec { env: vec![("DIR".into(), Template::parse("${run.dir}").unwrap())], ..task }
}

fn add(house: &mut House, registration: Registration) {
    house.ask(Command::RegisterNode(registration));
}

fn add_docker(house: &mut House, name: &str, ready: bool) {
    let mut node = a_node(name);
    let detail = if ready { "docker 27" } else { "the engine does not answer" }.into();
    node.facts
        .executors
        .insert(ExecutorKind::Docker, ExecutorOffer { ready, detail, ..ExecutorOffer::default() });
    add(house, node);
}

fn lose(house: &mut House, name: &str) {
    let node = house.state.node_named(name).unwrap();
    let epoch = house.state.node(node).epoch;
    house.ask(Command::LoseNode { node, epoch });
}

/// Puts a task of so much cpu on a node.
fn occupy(house: &mut House, name: &str, milli: u64) {
    let run = house.run(a_job(&format!("on-{name}"), vec![cpu(milli, a_task("a", &[]))]));
    let node = house.state.node_named(name).unwrap();
    house.place(house.task(run, 0, 0), node).unwrap();
}

fn waits(house: &House, run: RunHandle, place: u16) -> String {
    let reason = step_waits(&house.state, house.step(run, place)).expect("it waits");
    format!("{}: {reason}", reason.word())
}

#[test]
fn a_step_that_comes_after_others_names_those_that_have_not_succeeded() {
    let mut house = House::new();
    let node = house.node("n1");
    let tasks = vec![a_task("split", &[]), a_task("fetch", &[]), a_task("merge", &[0, 1])];
    let run = house.run(a_job("j", tasks));
    insta::assert_snapshot!(waits(&house, run, 2), @"dependency: comes after split, fetch");
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    assert_eq!(step_waits(&house.state, house.step(run, 0)), None, "it runs");
    house.end(attempt, EndReason::Succeeded);
    insta::assert_snapshot!(waits(&house, run, 2), @"dependency: comes after fetch");
}

#[test]
fn c19_a_task_over_quota_names_tenant_resource_used_and_limit() {
    let mut house = House::new();
    let node = house.node("n1");
    let limit = [("cpu".to_owned(), 2500)].into();
    house.ask(Command::ApplyTenant(TenantSpec { name: "acme".into(), weight: 1, limit }));
    let task = TaskSpec { count: Count::Fixed(3), ..a_task("a", &[]) };
    let run = house.run(JobSpec { tenant: "acme".into(), ..a_job("j", vec![task]) });
    for index in 0..2 {
        house.place(house.task(run, 0, index), node).unwrap();
    }
    insta::assert_snapshot!(waits(&house, run, 0), @"quota: tenant acme uses 2 of its 2500m cpu; it asks for 1");
    let third = task_waits(&house.state, house.task(run, 0, 2)).unwrap();
    assert_eq!(third.word(), "quota");
    assert_eq!(task_waits(&house.state, house.task(run, 0, 1)), None);
}

#[test]
fn p6_a_task_without_a_place_counts_the_nodes_by_what_they_lack() {
    let mut house = House::new();
    let run = house.run(a_job("j", vec![docker(cpu(500, a_task("a", &[])))]));
    insta::assert_snapshot!(waits(&house, run, 0), @"placement: the cluster has no nodes");
    house.node("n1");
    lose(&mut house, "n1");
    house.node("n2");
    add_docker(&mut house, "n3", true);
    occupy(&mut house, "n3", 3800);
    insta::assert_snapshot!(
        waits(&house, run, 0),
        @"placement: 3 nodes: 1 lost, 1 lacks docker, 1 has 200m of 500m cpu free"
    );
    add_docker(&mut house, "n4", true);
    occupy(&mut house, "n4", 3600);
    add_docker(&mut house, "n5", false);
    house.node("n6");
    house.ask(Command::DrainNode { node: "n6".into(), drain: Some(DrainOrder { stop_after: None }) });
    insta::assert_snapshot!(
        waits(&house, run, 0),
        @"placement: 6 nodes: 1 lost, 1 draining, 1 lacks docker, 1 cannot use docker now (the engine does not answer), 2 have at most 400m of 500m cpu free"
    );
    add_docker(&mut house, "n7", true);
    insta::assert_snapshot!(
        waits(&house, run, 0),
        @"placement: node n7 has room; its turn comes with one of the next placement passes"
    );
}

#[test]
fn a_task_that_is_too_large_for_some_nodes_says_so() {
    let mut house = House::new();
    let mut large = a_node("n1");
    large.facts.capacity.insert("cpu".into(), 8000);
    add(&mut house, large);
    house.node("n2");
    occupy(&mut house, "n1", 3000);
    let run = house.run(a_job("j", vec![cpu(6000, a_task("a", &[]))]));
    insta::assert_snapshot!(
        waits(&house, run, 0),
        @"placement: 2 nodes: 1 has 4 of 6 cpu in all, 1 has 5 of 6 cpu free"
    );
}

#[test]
fn a_task_that_never_fits_names_the_largest_node() {
    let mut house = House::new();
    house.node("n1");
    let run = house.run(a_job("j", vec![cpu(8000, a_task("a", &[]))]));
    insta::assert_snapshot!(
        waits(&house, run, 0),
        @"placement: never fits: it asks for 8 cpu and the largest node has 4"
    );
    let mut task = a_task("a", &[]);
    task.resources.insert("gpu".into(), 1000);
    let run = house.run(a_job("k", vec![task]));
    insta::assert_snapshot!(
        waits(&house, run, 0),
        @"placement: never fits: it asks for 1 gpu and no node has any"
    );
    let mut thin = a_node("n2");
    thin.facts.capacity = [("cpu".into(), 16_000), ("memory".into(), 1 << 30)].into();
    add(&mut house, thin);
    let mut task = cpu(8000, a_task("a", &[]));
    task.resources.insert("memory".into(), 2 << 30);
    let run = house.run(a_job("l", vec![task]));
    insta::assert_snapshot!(
        waits(&house, run, 0),
        @"placement: never fits: no node has 8 cpu and 2Gi memory together"
    );
}

#[test]
fn a_run_that_is_bound_to_a_node_by_its_files_names_it() {
    let mut house = House::new();
    let node = house.node("n1");
    house.node("n2");
    let tasks = vec![with_files(a_task("a", &[])), with_files(cpu(3500, a_task("b", &[])))];
    let run = house.run(a_job("j", tasks));
    house.place(house.task(run, 0, 0), node).unwrap();
    insta::assert_snapshot!(
        waits(&house, run, 1),
        @"placement: its files are on node n1, which is full: 3 of 3500m cpu free"
    );
    lose(&mut house, "n1");
    insta::assert_snapshot!(waits(&house, run, 1), @"placement: its files are on node n1, which is lost");
}

#[test]
fn a_run_on_a_shared_directory_counts_the_nodes_without_it() {
    let mut house = House::new();
    let mut shared = a_node("n1");
    shared.facts.shared = Some("nfs".into());
    add(&mut house, shared);
    house.node("n2");
    house.node("n3");
    let tasks = vec![with_files(a_task("a", &[])), with_files(cpu(3500, a_task("b", &[])))];
    let run = house.run(a_job("j", tasks));
    let node = house.state.node_named("n1").unwrap();
    house.place(house.task(run, 0, 0), node).unwrap();
    insta::assert_snapshot!(
        waits(&house, run, 1),
        @"placement: 3 nodes: 2 lack the shared directory nfs of its files, 1 has 3 of 3500m cpu free"
    );
}

#[test]
fn a_failed_task_says_when_it_is_tried_again_and_a_job_when_it_fires() {
    let mut house = House::new();
    let node = house.node("n1");
    let retry = Retry { max_attempts: 2, ..Retry::default() };
    let run = house.run(a_job("j", vec![TaskSpec { retry, ..a_task("a", &[]) }]));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end(attempt, EndReason::FailedExit(1));
    insta::assert_snapshot!(waits(&house, run, 0), @"retry: tried again at 1970-01-01T00:16:50Z");
    assert_eq!(task_waits(&house.state, house.task(run, 0, 0)).unwrap().word(), "retry");

    let scheduled = JobSpec {
        schedule: every(Millis::from_secs(600), Overlap::Skip),
        ..a_job("timed", vec![a_task("a", &[])])
    };
    house.ask(crate::apply::tests::house::submit(scheduled, None));
    let tenant = house.state.tenant_named("default").unwrap();
    let job = |name| house.state.job_named(tenant, name).unwrap();
    let fire = job_waits(&house.state, job("timed")).unwrap();
    insta::assert_snapshot!(fire, @"fires at 1970-01-01T00:20:00Z");
    assert_eq!(job_waits(&house.state, job("j")), None);
}

#[test]
fn a_new_task_comes_after_the_waiting_ones_of_its_tenant_that_matter_as_much() {
    let mut house = House::new();
    let node = house.node("n1");
    let tenant = house.state.tenant_named("default").unwrap();
    let array = TaskSpec { count: Count::Fixed(5), ..a_task("a", &[]) };
    let run = house.run(JobSpec { priority: 50, ..a_job("usual", vec![array]) });
    house.run(JobSpec { priority: 90, ..a_job("urgent", vec![a_task("a", &[])]) });
    house.run(JobSpec { priority: 10, ..a_job("idle", vec![a_task("a", &[])]) });
    let ahead_of = |house: &House| [10, 50, 90, 100].map(|priority| ahead(&house.state, tenant, priority));
    assert_eq!(ahead_of(&house), [7, 6, 1, 0]);
    house.place(house.task(run, 0, 0), node).unwrap();
    assert_eq!(ahead_of(&house), [6, 5, 1, 0], "one that runs is in no line");
}

#[test]
fn what_can_never_be_placed_is_told_before_it_is_submitted() {
    let mut house = House::new();
    let limit = [("memory".to_owned(), 512 << 20)].into();
    house.ask(Command::ApplyTenant(TenantSpec { name: "acme".into(), weight: 1, limit }));
    let mut hungry = a_task("hungry", &[]);
    hungry.resources.insert("memory".into(), 1 << 30);
    let mut graphic = a_task("graphic", &[]);
    graphic.resources.insert("gpu".into(), 2000);
    let tasks = vec![
        a_task("fine", &[]),
        hungry,
        cpu(64_000, a_task("wide", &[])),
        graphic,
        docker(a_task("boxed", &[])),
    ];
    let spec = JobSpec { tenant: "acme".into(), ..a_job("j", tasks) };
    assert_eq!(misfits(&house.state, &spec).len(), 1, "without nodes only limits count");
    house.node("n1");
    let texts: Vec<String> = misfits(&house.state, &spec)
        .iter()
        .map(|misfit| format!("{} {misfit}", if misfit.refuses() { "error" } else { "warning" }))
        .collect();
    insta::assert_snapshot!(texts.join("\n"), @"
    error task hungry never fits: it asks for 1Gi memory and the limit of tenant acme is 512Mi
    error task wide never fits: it asks for 64 cpu and the largest node has 4
    error task graphic never fits: it asks for 2 gpu and no node has any
    warning task boxed never fits: no node offers docker
    ");
}
