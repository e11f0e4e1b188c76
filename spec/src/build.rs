//! From fields without a mistake to the job that `core` knows.

use berth_core::job_spec::{
    Count, FakeProgram, JobSpec, OnDisconnect, ProgramSpec, Retry, Schedule, TaskSpec, When,
};
use berth_core::resources::{CPU, MEMORY, NamedResources};
use berth_core::template::Template;

use crate::check::Graph;
use crate::fields::{FakeFields, JobFields, ResourceFields, RetryFields, ScheduleFields, TaskFields};
use crate::shape::command::Command;
use crate::shape::count::CountShape;

/// The job; `None` when a field is missing or wrong, which was noted when it was read.
pub(crate) fn job(fields: &JobFields, graph: &Graph) -> Option<JobSpec> {
    let tasks = &fields.tasks.value()?.tasks;
    // Where each task of the text stands in the job.
    let mut places = vec![0u16; tasks.len()];
    for (place, &task) in (0u16..).zip(graph.order()) {
        places[task] = place;
    }
    Some(JobSpec {
        kind: fields.kind.value()?.0,
        tenant: fields.tenant.value()?.0.clone(),
        name: fields.name.value()?.0.clone(),
        priority: u8::try_from(fields.priority.value()?.0).ok()?,
        schedule: match fields.schedule.good() {
            Some(at) => Some(schedule(&at.value)?),
            None => None,
        },
        tasks: graph
            .order()
            .iter()
            .map(|&at| task(&tasks[at].value, at, graph, &places))
            .collect::<Option<Vec<TaskSpec>>>()?,
    })
}

fn schedule(fields: &ScheduleFields) -> Option<Schedule> {
    let when = match (fields.every.value(), fields.at.value()) {
        (Some(every), None) => When::Every(every.0),
        (None, Some(at)) => When::At(at.0),
        _ => return None,
    };
    Some(Schedule { when, overlap: fields.overlap.value()?.0 })
}

fn task(fields: &TaskFields, at: usize, graph: &Graph, places: &[u16]) -> Option<TaskSpec> {
    let count = match fields.count.value() {
        None => Count::Single,
        Some(CountShape::Fixed(count)) => Count::Fixed(*count),
        Some(CountShape::LengthOf { task, key }) => {
            Count::LengthOf { task: places[graph.place(task)?], key: key.clone() }
        }
    };
    let env = fields.env.value().map_or(&[][..], |env| env.0.as_slice());
    Some(TaskSpec {
        name: fields.name.value()?.0.clone(),
        after: graph.after(at).map(|before| places[before]).collect(),
        count,
        program: program(fields)?,
        resources: resources(fields.resources.value()?)?,
        memory_max: fields.resources.value()?.memory_max.value().map(|memory| memory.0),
        env: env.iter().map(|(name, value)| (name.clone(), value.value.0.clone())).collect(),
        retry: match fields.retry.value() {
            Some(fields) => retry(fields)?,
            None => Retry::default(),
        },
        timeout: fields.timeout.value().map(|timeout| timeout.0),
        stop_grace: fields.stop_grace.value()?.0,
        on_disconnect: fields.on_disconnect.value().map_or(OnDisconnect::Keep, |shape| shape.0),
    })
}

fn program(fields: &TaskFields) -> Option<ProgramSpec> {
    if let Some(exec) = fields.exec.value() {
        return Some(ProgramSpec::Exec { command: command(exec.command.value()?) });
    }
    if let Some(docker) = fields.docker.value() {
        let image = docker.image.value()?.0.clone();
        return Some(ProgramSpec::Docker {
            image,
            command: docker.command.value().map(command).unwrap_or_default(),
        });
    }
    fake(fields.fake.value()?).map(ProgramSpec::Fake)
}

fn command(command: &Command) -> Vec<Template> {
    command.0.iter().map(|argument| argument.value.0.0.clone()).collect()
}

fn fake(fields: &FakeFields) -> Option<FakeProgram> {
    Some(FakeProgram {
        runs_for: fields.runs_for.value()?.0,
        fail_first: u32::try_from(fields.fail_first.value()?.0).ok()?,
        exit_code: i32::try_from(fields.exit_code.value()?.0).ok()?,
        output: fields.output.value().map(|output| output.0.clone()).unwrap_or_default(),
    })
}

fn resources(fields: &ResourceFields) -> Option<NamedResources> {
    let mut resources = NamedResources::new();
    resources.insert(CPU.to_owned(), fields.cpu.value()?.0);
    resources.insert(MEMORY.to_owned(), fields.memory.value()?.0);
    for (name, amount) in &fields.others {
        resources.insert(name.clone(), amount.value.0);
    }
    Some(resources)
}

fn retry(fields: &RetryFields) -> Option<Retry> {
    let backoff = fields.backoff.value()?;
    Some(Retry {
        max_attempts: u32::try_from(fields.max_attempts.value()?.0).ok()?,
        initial: backoff.initial.value()?.0,
        factor_milli: backoff.factor.value()?.0,
        max: backoff.max.value()?.0,
    })
}
