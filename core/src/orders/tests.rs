use super::*;
use crate::apply::tests::house::{House, a_job, a_node, a_task};
use crate::command::{Command, Registration};
use crate::id::{RunHandle, TaskHandle};
use crate::job_spec::{Count, ExecutorKind, FakeProgram};

/// A node on which everything can run.
fn node() -> Registration {
    let mut node = a_node("n1");
    let offer = node.facts.executors[&ExecutorKind::Fake].clone();
    node.facts.executors.insert(ExecutorKind::Exec, offer.clone());
    node.facts.executors.insert(ExecutorKind::Docker, offer);
    node.facts.run_dirs = "/srv/berth/runs".into();
    node
}

fn exec(name: &str, after: &[u16], command: &[&str]) -> TaskSpec {
    let command = command.iter().map(|text| Template::parse(text).unwrap()).collect();
    TaskSpec { program: ProgramSpec::Exec { command }, ..a_task(name, after) }
}

struct Scenario {
    house: House,
    run: RunHandle,
}

impl Scenario {
    fn of(tasks: Vec<TaskSpec>) -> Scenario {
        let mut house = House::new();
        house.ask(Command::RegisterNode(node()));
        let run = house.run(a_job("count", tasks));
        Scenario { house, run }
    }

    fn task(&self, place: u16, index: u32) -> TaskHandle {
        self.house.task(self.run, place, index)
    }

    fn start(&mut self, place: u16, index: u32) -> AttemptHandle {
        let node = self.house.state.node_named("n1").unwrap();
        self.house.place(self.task(place, index), node).unwrap()
    }

    fn done(&mut self, place: u16, index: u32, output: &str) {
        let attempt = self.start(place, index);
        self.house.end_with_output(attempt, EndReason::Succeeded, output);
    }

    fn order(&mut self, place: u16, index: u32) -> Result<Order, Error> {
        let attempt = self.start(place, index);
        resolve(&self.house.state, attempt)
    }

    /// The cause with which an attempt ends that cannot be ordered.
    fn failure(&mut self, place: u16, index: u32) -> String {
        let attempt = self.start(place, index);
        match &self.house.state.attempt(attempt).state {
            AttemptState::Ended { reason, .. } => reason.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn command(&mut self, place: u16, index: u32) -> Vec<String> {
        match self.order(place, index).unwrap().program {
            Program::Exec { command } => command,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_variable_is_replaced() {
    let plain = crate::template::PLAIN_VARIABLES.map(|(name, _)| format!("{name}=${{{name}}}"));
    let command: Vec<&str> = plain.iter().map(String::as_str).collect();
    let mut scenario = Scenario::of(vec![exec("split", &[], &command)]);
    let id = scenario.house.state.run(scenario.run).id.to_string();
    let command = scenario.command(0, 0).join("\n").replace(&id, "RUN");
    insta::assert_snapshot!(command, @"
    tenant=default
    job.name=count
    run.id=RUN
    run.dir=/srv/berth/runs/RUN
    run.nominal=1970-01-01T00:16:40Z
    task.name=split
    task.index=0
    task.count=1
    attempt=1
    node.name=n1
    ");
}

#[test]
fn an_order_carries_the_standard_variables_before_the_specs_own() {
    let mut task = exec("split", &[], &["ls", "${run.dir}"]);
    task.env = vec![
        ("MINE".into(), Template::parse("i${task.index}").unwrap()),
        ("BERTH_TASK".into(), Template::literal("forged")),
    ];
    task.resources.insert("memory".into(), 1 << 20);
    let mut scenario = Scenario::of(vec![task]);
    let id = scenario.house.state.run(scenario.run).id.to_string();
    let order = scenario.order(0, 0).unwrap();
    let env: Vec<String> = order.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    insta::assert_snapshot!(env.join("\n").replace(&id, "RUN"), @"
    BERTH_TENANT=default
    BERTH_JOB=count
    BERTH_RUN_ID=RUN
    BERTH_NOMINAL=1970-01-01T00:16:40Z
    BERTH_TASK=split
    BERTH_TASK_INDEX=0
    BERTH_TASK_COUNT=1
    BERTH_ATTEMPT=1
    BERTH_NODE=n1
    BERTH_RUN_DIR=/srv/berth/runs/RUN
    MINE=i0
    ");
    assert_eq!(order.name, format!("{}.split.0.1", &id[..10]));
    assert_eq!(order.run_dir, Some(format!("/srv/berth/runs/{id}")));
    assert_eq!(order.limits, Limits { cpu_milli: Some(1000), memory_max: Some(1 << 20), pids: 512 });
    assert_eq!(order.intent, Intent::Start);
}

#[test]
fn outputs_of_an_array_are_taken_in_the_order_of_its_indexes() {
    let split = TaskSpec { count: Count::Fixed(2), ..exec("split", &[], &["s"]) };
    let merge = exec("merge", &[0], &["${tasks.split.outputs.part}", "${tasks.split.outputs.part[2]}"]);
    let each = TaskSpec {
        count: Count::LengthOf { task: 0, key: "part".into() },
        ..exec("each", &[0], &["${tasks.split.outputs.part[index]}"])
    };
    let mut scenario = Scenario::of(vec![split, merge, each]);
    scenario.done(0, 0, "part=a\npart=b\n");
    scenario.done(0, 1, "part=c\nother=x\n");
    assert_eq!(scenario.command(1, 0), ["a b c", "c"]);
    for (index, part) in (0..).zip(["a", "b", "c"]) {
        let attempt = scenario.start(2, index);
        let order = resolve(&scenario.house.state, attempt).unwrap();
        assert_eq!(order.program, Program::Exec { command: vec![part.into()] });
        scenario.house.end(attempt, EndReason::Succeeded);
    }
}

#[test]
fn an_output_that_was_not_left_is_named() {
    let command = ["${tasks.split.outputs.missing}"];
    let mut scenario = Scenario::of(vec![exec("split", &[], &["s"]), exec("merge", &[0], &command)]);
    scenario.done(0, 0, "part=a\n");
    assert_eq!(scenario.failure(1, 0), "start_failed(task `split` left no output `missing`)");

    let command = ["${tasks.split.outputs.part[1]}"];
    let mut scenario = Scenario::of(vec![exec("split", &[], &["s"]), exec("merge", &[0], &command)]);
    scenario.done(0, 0, "part=a\n");
    assert_eq!(
        scenario.failure(1, 0),
        "start_failed(output `part` of task `split` has no value at [1]; it has 1 in all)"
    );
}

#[test]
fn an_empty_array_leaves_empty_outputs() {
    let none =
        TaskSpec { count: Count::LengthOf { task: 0, key: "part".into() }, ..exec("none", &[0], &["n"]) };
    let merge = exec("merge", &[1], &["[${tasks.none.outputs.sum}]"]);
    let mut scenario = Scenario::of(vec![exec("split", &[], &["s"]), none, merge]);
    scenario.done(0, 0, "");
    assert_eq!(scenario.command(2, 0), ["[]"]);
}

#[test]
fn a_text_that_no_program_can_take_is_refused() {
    let long = format!("part={}\n", "x".repeat(60_000));
    let split = TaskSpec { count: Count::Fixed(3), ..exec("split", &[], &["s"]) };
    let mut scenario = Scenario::of(vec![split, exec("merge", &[0], &["${tasks.split.outputs.part}"])]);
    for index in 0..3 {
        scenario.done(0, index, &long);
    }
    assert_eq!(
        scenario.failure(1, 0),
        "start_failed(with its outputs an argument or variable is longer than 131072 bytes)"
    );
}

#[test]
fn simulated_work_fails_as_often_as_it_was_told_to() {
    let fake = FakeProgram { runs_for: Millis(5), fail_first: 1, exit_code: 0, output: "a=1\n".into() };
    let task = TaskSpec { program: ProgramSpec::Fake(fake), ..a_task("a", &[]) };
    let mut scenario = Scenario::of(vec![task]);
    let exit = |order: Order| match order.program {
        Program::Fake { exit_code, .. } => exit_code,
        other => panic!("{other:?}"),
    };
    let first = scenario.start(0, 0);
    assert_eq!(exit(resolve(&scenario.house.state, first).unwrap()), 1);
    scenario.house.end(first, EndReason::NodeLost);
    assert_eq!(exit(scenario.order(0, 0).unwrap()), 0);
}

#[test]
fn an_attempt_that_is_to_stop_is_told_why_and_one_that_is_over_has_no_order() {
    let mut scenario = Scenario::of(vec![exec("a", &[], &["a"])]);
    let attempt = scenario.start(0, 0);
    let run = scenario.house.state.run(scenario.run).id;
    scenario.house.ask(Command::CancelRun { run });
    let reason = EndReason::Cancelled("ann".into());
    let order = resolve(&scenario.house.state, attempt).unwrap();
    assert_eq!(order.intent, Intent::Stop { reason: reason.clone() });
    scenario.house.end(attempt, reason);
    assert_eq!(resolve(&scenario.house.state, attempt), Err(Error::Over));
}
