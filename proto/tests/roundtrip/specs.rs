use berth_core::code::Code;
use berth_core::job_spec::{JobSpec, SPEC_BYTES_MAX};
use berth_proto::convert::status::of_invalid;
use berth_proto::convert::{Error, Fault, job_spec};
use berth_proto::v1;
use proptest::prelude::*;
use prost::Message;

use crate::values;

proptest! {
    #[test]
    fn a_spec_reads_back_from_its_message(spec in values::spec()) {
        prop_assert_eq!(job_spec::from_proto(job_spec::to_proto(&spec)), Ok(spec));
    }
}

fn task(name: &str, after: Vec<u32>) -> v1::TaskSpec {
    v1::TaskSpec {
        name: name.to_owned(),
        after,
        count: Some(v1::task_spec::Count::Single(v1::Single {})),
        program: Some(v1::task_spec::Program::Exec(v1::ExecProgram {
            command: vec!["/bin/true".to_owned()],
        })),
        retry: Some(v1::Retry { max_attempts: 1, initial_ms: 0, factor_milli: 1000, max_ms: 0 }),
        on_disconnect: Some(v1::OnDisconnect { policy: Some(v1::on_disconnect::Policy::Keep(v1::Keep {})) }),
        ..v1::TaskSpec::default()
    }
}

fn spec() -> v1::JobSpec {
    v1::JobSpec {
        kind: v1::JobKind::Job.into(),
        tenant: "acme".to_owned(),
        name: "words".to_owned(),
        tasks: vec![task("split", vec![]), task("count", vec![0]), task("merge", vec![1])],
        ..v1::JobSpec::default()
    }
}

fn checked(change: impl FnOnce(&mut v1::JobSpec)) -> Result<JobSpec, Error> {
    let mut spec = spec();
    change(&mut spec);
    job_spec::from_proto(spec)
}

fn path_of(change: impl FnOnce(&mut v1::JobSpec)) -> String {
    checked(change).expect_err("it is refused").path
}

#[test]
fn a_fault_is_named_with_the_way_to_its_field() {
    assert!(checked(|_| {}).is_ok());
    assert_eq!(path_of(|spec| spec.tenant = "../acme".to_owned()), "tenant");
    assert_eq!(path_of(|spec| spec.priority = 101), "priority");
    assert_eq!(path_of(|spec| spec.kind = 0), "kind");
    assert_eq!(path_of(|spec| spec.tasks.clear()), "tasks");
    assert_eq!(path_of(|spec| spec.tasks[2].name = "split".to_owned()), "tasks[2].name");
    assert_eq!(
        path_of(|spec| spec.tasks[1].retry.as_mut().unwrap().factor_milli = 1),
        "tasks[1].retry.factor_milli"
    );
    assert_eq!(path_of(|spec| spec.tasks[1].timeout_ms = Some(u64::MAX)), "tasks[1].timeout_ms");
    let every = v1::Schedule { when: Some(v1::schedule::When::EveryMs(10)), overlap: 1 };
    assert_eq!(path_of(|spec| spec.schedule = Some(every)), "schedule.every_ms");
}

/// Arguments that bring the whole message to a length.
fn fill_to(bytes: usize, spec: &mut v1::JobSpec) {
    let Some(v1::task_spec::Program::Exec(program)) = &mut spec.tasks[0].program else {
        panic!("it is exec")
    };
    program.command.extend(vec!["x".repeat(60_000); bytes / 60_000]);
    program.command.push(String::new());
    let place = program.command.len() - 1;
    // The lengths before it grow with it by a byte or two.
    while spec.encoded_len() < bytes {
        let missing = bytes - spec.encoded_len();
        let Some(v1::task_spec::Program::Exec(program)) = &mut spec.tasks[0].program else { return };
        let step = if missing > 8 { missing - 8 } else { 1 };
        program.command[place].push_str(&"y".repeat(step));
    }
}

#[test]
fn a_spec_has_at_most_the_bytes_that_an_entry_of_the_log_takes() {
    let is = |spec: &v1::JobSpec| spec.encoded_len();
    assert!(
        checked(|spec| {
            fill_to(SPEC_BYTES_MAX, spec);
            assert_eq!(is(spec), SPEC_BYTES_MAX);
        })
        .is_ok()
    );
    let error = checked(|spec| fill_to(SPEC_BYTES_MAX + 1, spec)).unwrap_err();
    assert_eq!(error.fault, Fault::SpecTooLarge { is: SPEC_BYTES_MAX + 1 });
    let detail = of_invalid(&error.inside("spec"));
    assert_eq!(detail.code, Code::TooLarge.as_str());
    assert_eq!(detail.violations[0].code, Code::TooLarge.as_str());
    assert!(detail.message.contains("786433 bytes") && !detail.violations[0].help.is_empty(), "{detail:?}");
}

#[test]
fn a_client_may_not_stop_what_is_in_full_contact_and_an_older_log_stays_readable() {
    let spec = |span| {
        let mut spec = spec();
        let policy = Some(v1::on_disconnect::Policy::StopAfterMs(span));
        spec.tasks[1].on_disconnect = Some(v1::OnDisconnect { policy });
        spec
    };
    assert!(job_spec::from_client(spec(5_000)).is_ok());
    let error = job_spec::from_client(spec(4_999)).unwrap_err();
    assert_eq!(error.path, "tasks[1].on_disconnect.stop_after_ms");
    assert!(job_spec::from_proto(spec(0)).is_ok());
}

#[test]
fn names_follow_the_rule_of_what_they_name() {
    assert_eq!(path_of(|spec| spec.tenant = "Acme".to_owned()), "tenant");
    assert_eq!(path_of(|spec| spec.name = "a.b".to_owned()), "name");
    assert_eq!(path_of(|spec| spec.tasks[0].name = "Split".to_owned()), "tasks[0].name");
    let dotted = checked(|spec| spec.tasks[0].resources = [("gpu.a100".to_owned(), 1)].into());
    assert!(dotted.is_ok());
}

#[test]
fn a_task_comes_only_after_earlier_ones_and_once_each() {
    assert_eq!(path_of(|spec| spec.tasks[1].after = vec![1]), "tasks[1].after[0]");
    assert_eq!(path_of(|spec| spec.tasks[1].after = vec![2]), "tasks[1].after[0]");
    assert_eq!(path_of(|spec| spec.tasks[1].after = vec![70_000]), "tasks[1].after[0]");
    assert_eq!(path_of(|spec| spec.tasks[2].after = vec![0, 0]), "tasks[2].after[1]");
}

#[test]
fn an_array_is_sized_only_by_a_task_that_it_comes_after() {
    let length_of =
        |task| Some(v1::task_spec::Count::LengthOf(v1::LengthOf { task, key: "parts".to_owned() }));
    assert!(checked(|spec| spec.tasks[2].count = length_of(0)).is_ok(), "indirectly is enough");
    assert_eq!(path_of(|spec| spec.tasks[1].count = length_of(2)), "tasks[1].length_of.task");
    let apart = |spec: &mut v1::JobSpec| {
        spec.tasks[2].after = vec![];
        spec.tasks[2].count = length_of(0);
    };
    assert_eq!(path_of(apart), "tasks[2].length_of.task");
}

#[test]
fn a_template_uses_only_outputs_that_are_there() {
    let uses = |text: &str| v1::EnvTemplate { name: "PARTS".to_owned(), value: text.to_owned() };
    assert!(checked(|spec| spec.tasks[2].env = vec![uses("${tasks.split.outputs.parts}")]).is_ok());
    assert_eq!(path_of(|spec| spec.tasks[0].env = vec![uses("${tasks.merge.outputs.parts}")]), "tasks[0]");
    let error = checked(|spec| spec.tasks[0].env = vec![uses("${run.idd}")]).unwrap_err();
    assert_eq!(error.path, "tasks[0].env[0].value");
    assert!(matches!(error.fault, Fault::Template(_)), "{error}");
}
