use std::collections::BTreeSet;

use berth_core::job_spec::{
    COUNT_MAX, Count, FakeProgram, OnDisconnect, ProgramSpec, Retry, TASKS_MAX, TaskSpec,
};
use berth_core::model::OUTPUT_BYTES_MAX;
use berth_core::name::Named;
use berth_core::resources::MEMORY;
use berth_core::template::Template;
use berth_core::time::Millis;

use super::SPAN_MS_MAX;
use crate::convert::facts::resources_from_proto;
use crate::convert::field::{each, name, narrow, required, text, within};
use crate::convert::{Error, Fault};
use crate::v1;

/// The longest name of an environment variable, in bytes.
const ENV_NAME_MAX: usize = 256;

pub(super) fn from_proto(task: v1::TaskSpec, place: u16) -> Result<TaskSpec, Error> {
    name(&task.name, Named::Ours, "name")?;
    let after = each(task.after, "after", |before| earlier(before, place, ""))?;
    let mut seen = BTreeSet::new();
    if let Some(at) = after.iter().position(|before| !seen.insert(*before)) {
        return Err(Error::whole(Fault::Twice(after[at].to_string())).element(at).inside("after"));
    }
    let resources = resources_from_proto(task.resources, "resources")?;
    if let Some(max) = task.memory_max_bytes {
        within(max, resources.get(MEMORY).copied().unwrap_or(1), u64::MAX, "memory_max_bytes")?;
    }
    Ok(TaskSpec {
        name: task.name,
        after,
        count: count_from_proto(required(task.count, "count")?, place)?,
        program: program_from_proto(required(task.program, "program")?)?,
        resources,
        memory_max: task.memory_max_bytes,
        env: env_from_proto(task.env)?,
        retry: retry_from_proto(required(task.retry, "retry")?).map_err(|error| error.inside("retry"))?,
        timeout: task.timeout_ms.map(|span| span_of(span, 1, "timeout_ms")).transpose()?,
        stop_grace: span_of(task.stop_grace_ms, 0, "stop_grace_ms")?,
        on_disconnect: disconnect_from_proto(required(task.on_disconnect, "on_disconnect")?)
            .map_err(|error| error.inside("on_disconnect"))?,
    })
}

pub(super) fn to_proto(task: &TaskSpec) -> v1::TaskSpec {
    v1::TaskSpec {
        name: task.name.clone(),
        after: task.after.iter().copied().map(u32::from).collect(),
        count: Some(match &task.count {
            Count::Single => v1::task_spec::Count::Single(v1::Single {}),
            Count::Fixed(count) => v1::task_spec::Count::Fixed(*count),
            Count::LengthOf { task, key } => {
                v1::task_spec::Count::LengthOf(v1::LengthOf { task: u32::from(*task), key: key.clone() })
            }
        }),
        program: Some(program_to_proto(&task.program)),
        resources: task.resources.clone(),
        memory_max_bytes: task.memory_max,
        env: task
            .env
            .iter()
            .map(|(name, value)| v1::EnvTemplate { name: name.clone(), value: value.to_string() })
            .collect(),
        retry: Some(v1::Retry {
            max_attempts: task.retry.max_attempts,
            initial_ms: task.retry.initial.0,
            factor_milli: task.retry.factor_milli,
            max_ms: task.retry.max.0,
        }),
        timeout_ms: task.timeout.map(|Millis(span)| span),
        stop_grace_ms: task.stop_grace.0,
        on_disconnect: Some(v1::OnDisconnect {
            policy: Some(match task.on_disconnect {
                OnDisconnect::Keep => v1::on_disconnect::Policy::Keep(v1::Keep {}),
                OnDisconnect::StopAfter(Millis(span)) => v1::on_disconnect::Policy::StopAfterMs(span),
            }),
        }),
    }
}

/// A place of a task before `place`.
fn earlier(before: u32, place: u16, field: &str) -> Result<u16, Error> {
    let before: u16 = narrow(before, u32::try_from(TASKS_MAX).unwrap_or(u32::MAX), field)?;
    if before < place {
        Ok(before)
    } else {
        Err(Error::at(field, Fault::Wrong("is not a place before this task's")))
    }
}

fn count_from_proto(count: v1::task_spec::Count, place: u16) -> Result<Count, Error> {
    Ok(match count {
        v1::task_spec::Count::Single(v1::Single {}) => Count::Single,
        v1::task_spec::Count::Fixed(count) => {
            within(u64::from(count), 1, u64::from(COUNT_MAX), "fixed")?;
            Count::Fixed(count)
        }
        v1::task_spec::Count::LengthOf(of) => {
            let task = earlier(of.task, place, "length_of.task")?;
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if of.key.is_empty() || !of.key.chars().all(word) {
                return Err(Error::at("length_of.key", Fault::Wrong("is not the key of an output")));
            }
            Count::LengthOf { task, key: of.key }
        }
    })
}

fn program_from_proto(program: v1::task_spec::Program) -> Result<ProgramSpec, Error> {
    match program {
        v1::task_spec::Program::Exec(exec) => {
            if exec.command.is_empty() {
                return Err(Error::at("exec.command", Fault::Missing));
            }
            let command = each(exec.command, "command", |text| template(&text, ""))
                .map_err(|error| error.inside("exec"))?;
            Ok(ProgramSpec::Exec { command })
        }
        v1::task_spec::Program::Docker(docker) => {
            if docker.image.is_empty() {
                return Err(Error::at("docker.image", Fault::Missing));
            }
            let image = template(&docker.image, "docker.image")?;
            let command = each(docker.command, "command", |text| template(&text, ""))
                .map_err(|error| error.inside("docker"))?;
            Ok(ProgramSpec::Docker { image, command })
        }
        v1::task_spec::Program::Fake(fake) => {
            text(&fake.output, OUTPUT_BYTES_MAX, "fake.output")?;
            Ok(ProgramSpec::Fake(FakeProgram {
                runs_for: span_of(fake.runs_for_ms, 0, "fake.runs_for_ms")?,
                fail_first: fake.fail_first,
                exit_code: fake.exit_code,
                output: fake.output,
            }))
        }
    }
}

fn program_to_proto(program: &ProgramSpec) -> v1::task_spec::Program {
    let texts = |command: &[Template]| command.iter().map(Template::to_string).collect();
    match program {
        ProgramSpec::Exec { command } => {
            v1::task_spec::Program::Exec(v1::ExecProgram { command: texts(command) })
        }
        ProgramSpec::Docker { image, command } => v1::task_spec::Program::Docker(v1::DockerProgram {
            image: image.to_string(),
            command: texts(command),
        }),
        ProgramSpec::Fake(fake) => v1::task_spec::Program::Fake(v1::FakeProgram {
            runs_for_ms: fake.runs_for.0,
            fail_first: fake.fail_first,
            exit_code: fake.exit_code,
            output: fake.output.clone(),
        }),
    }
}

fn env_from_proto(env: Vec<v1::EnvTemplate>) -> Result<Vec<(String, Template)>, Error> {
    let pairs = each(env, "env", |variable| {
        text(&variable.name, ENV_NAME_MAX, "name")?;
        if variable.name.is_empty() || variable.name.contains(['=', '\0']) {
            return Err(Error::at("name", Fault::Wrong("is not the name of an environment variable")));
        }
        let value = template(&variable.value, "value")?;
        Ok((variable.name, value))
    })?;
    let mut seen = BTreeSet::new();
    match pairs.iter().enumerate().find(|(_, (name, _))| !seen.insert(name)) {
        Some((at, (name, _))) => Err(Error::at("name", Fault::Twice(name.clone())).element(at).inside("env")),
        None => Ok(pairs),
    }
}

fn retry_from_proto(retry: v1::Retry) -> Result<Retry, Error> {
    within(u64::from(retry.max_attempts), 1, u64::from(u32::MAX), "max_attempts")?;
    within(u64::from(retry.factor_milli), 1000, u64::from(u32::MAX), "factor_milli")?;
    Ok(Retry {
        max_attempts: retry.max_attempts,
        initial: span_of(retry.initial_ms, 0, "initial_ms")?,
        factor_milli: retry.factor_milli,
        max: span_of(retry.max_ms, 0, "max_ms")?,
    })
}

fn disconnect_from_proto(policy: v1::OnDisconnect) -> Result<OnDisconnect, Error> {
    match required(policy.policy, "policy")? {
        v1::on_disconnect::Policy::Keep(v1::Keep {}) => Ok(OnDisconnect::Keep),
        v1::on_disconnect::Policy::StopAfterMs(span) => {
            span_of(span, 0, "stop_after_ms").map(OnDisconnect::StopAfter)
        }
    }
}

fn span_of(span: u64, min: u64, field: &str) -> Result<Millis, Error> {
    within(span, min, SPAN_MS_MAX, field).map(Millis)
}

fn template(text: &str, field: &str) -> Result<Template, Error> {
    if text.contains('\0') {
        return Err(Error::at(field, Fault::Wrong("has a zero byte")));
    }
    Template::parse(text).map_err(|error| Error::at(field, Fault::Template(error)))
}
