//! What a node is to do with an attempt, checked: the server makes these, the agent takes them.

use berth_core::id::{AttemptHandle, RunId};
use berth_core::job_spec::OnDisconnect;
use berth_core::orders;
use berth_core::reason::EndReason;
use berth_core::state::State;
use berth_core::time::Millis;

use super::field::{each, required};
use super::{Error, Fault, reason};
use crate::agent;

pub use berth_core::orders::{Limits, Program};

/// The longest name of an order, in bytes: a run's id, a task's name, an index and a number with dots between.
pub const ORDER_NAME_MAX: usize = 128;

/// What is to become of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The attempt.
    pub attempt: AttemptHandle,
    /// Restarts in place, counted from 0.
    pub incarnation: u32,
    /// Readable, unique on the node, fit for a file name: `<run>.<task>.<index>.<number>`.
    pub name: String,
    /// What it is to do.
    pub intent: Intent,
}

/// What an attempt is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// To run.
    Start(Box<Launch>),
    /// To end, for this reason and with this much time between the request to stop and the kill; or never to start.
    Stop { grace: Millis, reason: EndReason },
}

/// How an attempt is launched. Every variable is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// What it runs.
    pub program: Program,
    /// Environment variables, in order.
    pub env: Vec<(String, String)>,
    /// What it may use.
    pub limits: Limits,
    /// The run's directory on the node, if the task uses it.
    pub run_dir: Option<String>,
    /// How long it may run, by the node's boot clock.
    pub timeout: Option<Millis>,
    /// The time between the request to stop and the kill.
    pub stop_grace: Millis,
    /// What becomes of it while there is no contact to the servers.
    pub on_disconnect: OnDisconnect,
    /// For people, logs and metrics.
    pub labels: Labels,
}

/// Whose attempt it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The tenant's name.
    pub tenant: String,
    /// The job's name.
    pub job: String,
    /// The run.
    pub run: RunId,
    /// The task's name.
    pub task: String,
    /// The task's index.
    pub index: u32,
    /// The attempt's number within the task, from 1.
    pub number: u32,
}

impl Order {
    /// The order for an attempt as it stands in the state.
    ///
    /// # Errors
    /// When the attempt is over or a variable has no value; see [`orders::Error`].
    ///
    /// # Panics
    /// When the attempt is not of this state.
    pub fn resolve(state: &State, attempt: AttemptHandle) -> Result<Order, orders::Error> {
        let order = orders::resolve(state, attempt)?;
        let intent = match order.intent {
            orders::Intent::Stop { reason } => Intent::Stop { grace: order.stop_grace, reason },
            orders::Intent::Start => Intent::Start(Box::new(Launch {
                program: order.program,
                env: order.env,
                limits: order.limits,
                run_dir: order.run_dir,
                timeout: order.timeout,
                stop_grace: order.stop_grace,
                on_disconnect: order.on_disconnect,
                labels: Labels::of(state, attempt),
            })),
        };
        Ok(Order { attempt: order.attempt, incarnation: 0, name: order.name, intent })
    }
}

impl Labels {
    /// The labels of an attempt.
    ///
    /// # Panics
    /// When the attempt is not of this state.
    pub fn of(state: &State, attempt: AttemptHandle) -> Labels {
        let attempt = state.attempt(attempt);
        let task = state.task(attempt.task);
        let step = state.step(task.step);
        let run = state.run(step.run);
        let job = state.job(run.job);
        Labels {
            tenant: state.tenant(job.tenant).name.clone(),
            job: job.name.clone(),
            run: run.id,
            task: state.task_spec(step).name.clone(),
            index: task.index,
            number: attempt.number,
        }
    }
}

/// The order that a message carries.
///
/// # Errors
/// When the name is not fit for a file name or something is missing.
pub fn from_proto(order: agent::Order) -> Result<Order, Error> {
    // It becomes a directory's name: nothing in it may lead elsewhere.
    let fit = !order.name.is_empty()
        && order.name.len() <= ORDER_NAME_MAX
        && !order.name.starts_with('.')
        && order.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_' || c == '-');
    if !fit {
        return Err(Error::at("name", Fault::Wrong("is not fit for a file name")));
    }
    let intent = match required(order.intent, "intent")? {
        agent::order::Intent::Start(launch) => {
            Intent::Start(Box::new(launch_from_proto(launch).map_err(|error| error.inside("start"))?))
        }
        agent::order::Intent::Stop(stop) => Intent::Stop {
            grace: Millis(stop.grace_ms),
            reason: reason::from_proto(required(stop.reason, "stop.reason")?)
                .map_err(|error| error.inside("stop.reason"))?,
        },
    };
    Ok(Order {
        attempt: AttemptHandle(order.attempt),
        incarnation: order.incarnation,
        name: order.name,
        intent,
    })
}

/// The message for an order.
pub fn to_proto(order: &Order) -> agent::Order {
    agent::Order {
        attempt: order.attempt.0,
        incarnation: order.incarnation,
        name: order.name.clone(),
        intent: Some(match &order.intent {
            Intent::Start(launch) => agent::order::Intent::Start(launch_to_proto(launch)),
            Intent::Stop { grace, reason } => agent::order::Intent::Stop(agent::Stop {
                grace_ms: grace.0,
                reason: Some(reason::to_proto(reason)),
            }),
        }),
    }
}

/// The launch that a message carries; agents also keep it in this form on disk.
///
/// # Errors
/// When something is missing.
pub fn launch_from_proto(launch: agent::Launch) -> Result<Launch, Error> {
    let program = match required(launch.program, "program")? {
        agent::launch::Program::Exec(exec) if exec.command.is_empty() => {
            return Err(Error::at("exec.command", Fault::Missing));
        }
        agent::launch::Program::Exec(exec) => Program::Exec { command: exec.command },
        agent::launch::Program::Docker(docker) => {
            Program::Docker { image: docker.image, command: docker.command }
        }
        agent::launch::Program::Fake(fake) => Program::Fake {
            runs_for: Millis(fake.runs_for_ms),
            exit_code: fake.exit_code,
            output: fake.output,
        },
    };
    let limits = required(launch.limits, "limits")?;
    let labels = required(launch.labels, "labels")?;
    Ok(Launch {
        program,
        env: each(launch.env, "env", |variable| Ok((variable.name, variable.value)))?,
        limits: Limits {
            cpu_milli: limits.cpu_milli,
            memory_max: limits.memory_max_bytes,
            pids: limits.pids_max,
        },
        run_dir: (!launch.run_dir.is_empty()).then_some(launch.run_dir),
        timeout: launch.timeout_ms.map(Millis),
        stop_grace: Millis(launch.stop_grace_ms),
        on_disconnect: launch
            .stop_after_disconnect_ms
            .map_or(OnDisconnect::Keep, |span| OnDisconnect::StopAfter(Millis(span))),
        labels: labels_from_proto(labels).map_err(|error| error.inside("labels"))?,
    })
}

/// The message for a launch.
pub fn launch_to_proto(launch: &Launch) -> agent::Launch {
    agent::Launch {
        program: Some(match &launch.program {
            Program::Exec { command } => {
                agent::launch::Program::Exec(agent::ExecLaunch { command: command.clone() })
            }
            Program::Docker { image, command } => agent::launch::Program::Docker(agent::DockerLaunch {
                image: image.clone(),
                command: command.clone(),
            }),
            Program::Fake { runs_for, exit_code, output } => {
                agent::launch::Program::Fake(agent::FakeLaunch {
                    runs_for_ms: runs_for.0,
                    exit_code: *exit_code,
                    output: output.clone(),
                })
            }
        }),
        env: launch
            .env
            .iter()
            .map(|(name, value)| agent::EnvVar { name: name.clone(), value: value.clone() })
            .collect(),
        limits: Some(agent::Limits {
            cpu_milli: launch.limits.cpu_milli,
            memory_max_bytes: launch.limits.memory_max,
            pids_max: launch.limits.pids,
        }),
        run_dir: launch.run_dir.clone().unwrap_or_default(),
        timeout_ms: launch.timeout.map(|span| span.0),
        stop_grace_ms: launch.stop_grace.0,
        stop_after_disconnect_ms: match launch.on_disconnect {
            OnDisconnect::Keep => None,
            OnDisconnect::StopAfter(span) => Some(span.0),
        },
        labels: Some(labels_to_proto(&launch.labels)),
    }
}

fn labels_from_proto(labels: agent::Labels) -> Result<Labels, Error> {
    Ok(Labels {
        tenant: labels.tenant,
        job: labels.job,
        run: labels.run.parse().map_err(|_| Error::at("run", Fault::Wrong("is not the id of a run")))?,
        task: labels.task,
        index: labels.index,
        number: labels.attempt_number,
    })
}

fn labels_to_proto(labels: &Labels) -> agent::Labels {
    agent::Labels {
        tenant: labels.tenant.clone(),
        job: labels.job.clone(),
        run: labels.run.to_string(),
        task: labels.task.clone(),
        index: labels.index,
        attempt_number: labels.number,
    }
}
