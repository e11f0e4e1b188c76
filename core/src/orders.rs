//! What a node is told to do for an attempt: the program with every variable replaced, its environment and its
//! bounds. Made from the state when the attempt is sent to its node, and never stored.

#[cfg(test)]
mod tests;

use crate::id::AttemptHandle;
use crate::job_spec::{OnDisconnect, ProgramSpec, TaskSpec};
use crate::model::{Attempt, AttemptState, Node, Run, Step, Task};
use crate::reason::EndReason;
use crate::resources::{CPU, MEMORY};
use crate::state::State;
use crate::template::{Element, Template, Variable};
use crate::time::Millis;

/// The most processes and threads of one attempt.
pub const PIDS_MAX: u64 = 512;
/// The longest text that outputs can make of an argument or variable, in bytes: what Linux takes for one.
pub const TEXT_BYTES_MAX: usize = 128 * 1024;
/// The most bytes of all texts of an order that outputs are part of.
pub const ORDER_BYTES_MAX: usize = 1024 * 1024;

/// What a node is told to do for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The attempt.
    pub attempt: AttemptHandle,
    /// Names the attempt for people and fits a file name: `<run>.<task>.<index>.<attempt>`.
    pub name: String,
    /// What it runs.
    pub program: Program,
    /// Its environment: the standard variables, then the spec's in their order.
    pub env: Vec<(String, String)>,
    /// What the kernel holds it to.
    pub limits: Limits,
    /// The run's directory on that node, if it uses it.
    pub run_dir: Option<String>,
    /// How long it may run.
    pub timeout: Option<Millis>,
    /// How long it has between the request to stop and the kill.
    pub stop_grace: Millis,
    /// What its node does with it while it has no contact to the servers.
    pub on_disconnect: OnDisconnect,
    /// Whether it is to run or to stop.
    pub intent: Intent,
}

/// What an attempt runs, with every variable replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A program of the node.
    Exec { command: Vec<String> },
    /// A container; an empty command means the image's own.
    Docker { image: String, command: Vec<String> },
    /// Simulated work of this attempt.
    Fake { runs_for: Millis, exit_code: i32, output: String },
}

/// What the kernel holds an attempt to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Thousandths of a core; `None` when it asks for none.
    pub cpu_milli: Option<u64>,
    /// Bytes of memory past which it is ended; `None` when it asks for none.
    pub memory_max: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
}

/// What is to become of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// It runs.
    Start,
    /// It stops, for this reason.
    Stop { reason: EndReason },
}

/// Why there is no order for an attempt. The text is the cause with which the attempt ends as
/// [`EndReason::StartFailed`]. Only outputs give rise to it: for a task that uses none, and is not over, there always
/// is an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is over.
    #[error("the attempt is over")]
    Over,
    /// A variable names an output that the task did not leave.
    #[error("task `{task}` left no output `{key}`")]
    NoOutput { task: String, key: String },
    /// A variable names a value past the last of an output.
    #[error("output `{key}` of task `{task}` has no value at [{place}]; it has {values} in all")]
    NoValue { task: String, key: String, place: u32, values: usize },
    /// A text is too long for a program to be started with.
    #[error("with its outputs an argument or variable is longer than {TEXT_BYTES_MAX} bytes")]
    TextTooLong,
    /// All texts together are too long.
    #[error("with their outputs arguments and variables are longer than {ORDER_BYTES_MAX} bytes in all")]
    TooLong,
}

/// The order for an attempt.
///
/// # Errors
/// When the attempt is over, or a variable has no value; see [`Error`].
pub fn resolve(state: &State, handle: AttemptHandle) -> Result<Order, Error> {
    let attempt = state.attempt(handle);
    let intent = match &attempt.state {
        AttemptState::Starting | AttemptState::Running => Intent::Start,
        AttemptState::Stopping(reason) => Intent::Stop { reason: reason.clone() },
        AttemptState::Ended { .. } => return Err(Error::Over),
    };
    let mut scene = Scene::of(state, attempt);
    let program = scene.program()?;
    let env = scene.env()?;
    let spec = scene.spec;
    Ok(Order {
        attempt: handle,
        name: scene.name(),
        program,
        env,
        limits: Limits {
            cpu_milli: spec.resources.get(CPU).copied(),
            memory_max: spec.memory_max.or_else(|| spec.resources.get(MEMORY).copied()),
            pids: PIDS_MAX,
        },
        run_dir: spec.uses_run_dir().then(|| scene.run_dir()),
        timeout: spec.timeout,
        stop_grace: spec.stop_grace,
        on_disconnect: spec.on_disconnect,
        intent,
    })
}

/// All that variables can stand for in the templates of one attempt.
struct Scene<'a> {
    state: &'a State,
    attempt: &'a Attempt,
    task: &'a Task,
    step: &'a Step,
    spec: &'a TaskSpec,
    run: &'a Run,
    node: &'a Node,
    tenant: &'a str,
    job: &'a str,
    /// Bytes so far of texts that outputs are part of.
    bytes: usize,
}

impl<'a> Scene<'a> {
    fn of(state: &'a State, attempt: &'a Attempt) -> Scene<'a> {
        let task = state.task(attempt.task);
        let step = state.step(task.step);
        let run = state.run(step.run);
        let job = state.job(run.job);
        Scene {
            state,
            attempt,
            task,
            step,
            spec: state.task_spec(step),
            run,
            node: state.node(attempt.node),
            tenant: &state.tenant(job.tenant).name,
            job: &job.name,
            bytes: 0,
        }
    }

    fn name(&self) -> String {
        let run = self.run.id.to_string();
        format!("{}.{}.{}.{}", &run[..10], self.spec.name, self.task.index, self.attempt.number)
    }

    fn run_dir(&self) -> String {
        format!("{}/{}", self.node.facts.run_dirs.trim_end_matches('/'), self.run.id)
    }

    fn program(&mut self) -> Result<Program, Error> {
        match &self.spec.program {
            ProgramSpec::Exec { command } => Ok(Program::Exec { command: self.render_all(command)? }),
            ProgramSpec::Docker { image, command } => {
                Ok(Program::Docker { image: self.render(image)?, command: self.render_all(command)? })
            }
            ProgramSpec::Fake(fake) => Ok(Program::Fake {
                runs_for: fake.runs_for,
                exit_code: if self.attempt.number <= fake.fail_first { 1 } else { fake.exit_code },
                output: fake.output.clone(),
            }),
        }
    }

    fn env(&mut self) -> Result<Vec<(String, String)>, Error> {
        let mut env: Vec<(String, String)> = [
            ("BERTH_TENANT", self.tenant.to_owned()),
            ("BERTH_JOB", self.job.to_owned()),
            ("BERTH_RUN_ID", self.run.id.to_string()),
            ("BERTH_NOMINAL", self.run.nominal.rfc3339()),
            ("BERTH_TASK", self.spec.name.clone()),
            ("BERTH_TASK_INDEX", self.task.index.to_string()),
            ("BERTH_TASK_COUNT", self.step.size.to_string()),
            ("BERTH_ATTEMPT", self.attempt.number.to_string()),
            ("BERTH_NODE", self.node.name.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if self.spec.uses_run_dir() {
            env.push(("BERTH_RUN_DIR".to_owned(), self.run_dir()));
        }
        let standard = env.len();
        for (name, template) in &self.spec.env {
            // Programs rely on the standard variables, so a spec cannot replace them.
            if !env[..standard].iter().any(|(known, _)| known == name) {
                env.push((name.clone(), self.render(template)?));
            }
        }
        Ok(env)
    }

    fn render_all(&mut self, templates: &[Template]) -> Result<Vec<String>, Error> {
        templates.iter().map(|template| self.render(template)).collect()
    }

    fn render(&mut self, template: &Template) -> Result<String, Error> {
        let text = template.render(|variable| self.value(variable))?;
        if !template.variables().any(|variable| matches!(variable, Variable::Output { .. })) {
            return Ok(text);
        }
        self.bytes += text.len();
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::TextTooLong);
        }
        if self.bytes > ORDER_BYTES_MAX {
            return Err(Error::TooLong);
        }
        Ok(text)
    }

    fn value(&self, variable: &Variable) -> Result<String, Error> {
        Ok(match variable {
            Variable::Tenant => self.tenant.to_owned(),
            Variable::JobName => self.job.to_owned(),
            Variable::RunId => self.run.id.to_string(),
            Variable::RunDir => self.run_dir(),
            Variable::RunNominal => self.run.nominal.rfc3339(),
            Variable::TaskName => self.spec.name.clone(),
            Variable::TaskIndex => self.task.index.to_string(),
            Variable::TaskCount => self.step.size.to_string(),
            Variable::Attempt => self.attempt.number.to_string(),
            Variable::NodeName => self.node.name.clone(),
            Variable::Output { task, key, element } => self.output(task, key, *element)?,
        })
    }

    /// What an earlier task of the run left, over all its indexes in order.
    fn output(&self, task: &str, key: &str, element: Element) -> Result<String, Error> {
        let missing = || Error::NoOutput { task: task.to_owned(), key: key.to_owned() };
        let (place, _) = self.state.spec(self.run.spec).task(task).ok_or_else(missing)?;
        let source = self.state.step(self.run.step(place));
        let mut values = self.state.outputs_of(source).flat_map(|outputs| outputs.values(key));
        let at = match element {
            Element::All => {
                // An array that turned out empty has no task that could have left anything.
                let Some(first) = values.next() else {
                    return if source.size == 0 { Ok(String::new()) } else { Err(missing()) };
                };
                let mut text = first.clone();
                for value in values {
                    text.push(' ');
                    text.push_str(value);
                    // A run may have left megabytes; no more is copied than can be used.
                    if text.len() > TEXT_BYTES_MAX {
                        return Err(Error::TextTooLong);
                    }
                }
                return Ok(text);
            }
            Element::At(at) => at,
            Element::OwnIndex => self.task.index,
        };
        let skipped = usize::try_from(at).unwrap_or(usize::MAX);
        if let Some(value) = values.nth(skipped) {
            return Ok(value.clone());
        }
        match self.state.outputs_of(source).map(|outputs| outputs.values(key).len()).sum() {
            0 => Err(missing()),
            values => Err(Error::NoValue { task: task.to_owned(), key: key.to_owned(), place: at, values }),
        }
    }
}
