//! Carrying out what reconciliation found to be done.

use std::path::{Component, Path, PathBuf};

use berth_core::command::AttemptUpdate;
use berth_core::id::AttemptHandle;
use berth_core::job_spec::OnDisconnect;
use berth_core::model::Usage;
use berth_core::reason::EndReason;
use berth_core::time::Millis;
use berth_executors::executor;

use super::{Output, Supervisor, attempt_dir};
use crate::attempts::{Attempt, Forgotten, kind_of};
use crate::clock::Now;
use crate::disk::Disk;
use crate::journal::{self, State, StopCause};
use crate::message::{Intent, Launch, Order, Program};
use crate::reconcile::{Action, grace_of};

/// The longest grace when the agent ends and takes its attempts with it.
const GRACE_AT_END: Millis = Millis(5_000);

impl<D: Disk> Supervisor<D> {
    /// Does the actions in order, except that all starts come last: their specs are made durable together.
    pub(super) fn act(
        &mut self,
        actions: Vec<Action>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), journal::Error> {
        let mut starts = Vec::new();
        for action in actions {
            match action {
                Action::Start(order) => starts.push(order),
                Action::RefuseStart { attempt, name } => {
                    let cause = "there was an attempt with this identity on the node before";
                    self.end_unstarted(attempt, name, None, EndReason::StartFailed(cause.into()), now);
                }
                Action::Stop { attempt, grace, cause } => self.stop(attempt, grace, cause, out)?,
                Action::Abandon { attempt } => {
                    let grace = grace_of(&self.attempts, attempt);
                    self.attempts.update(attempt, |attempt| attempt.unwanted = true);
                    self.reports.withdraw(attempt);
                    self.stop(attempt, grace, StopCause::Ordered, out)?;
                }
                Action::ReportNeverStarted { attempt, name, reason } => {
                    self.end_unstarted(attempt, name, None, reason, now);
                }
                Action::ReportAgain { attempt } => {
                    let end = self.attempts.get(attempt).and_then(|attempt| attempt.end.clone());
                    if let Some(end) = end {
                        self.reports.push(attempt, end);
                    }
                }
                Action::Forget { attempt } => self.forget(attempt, now, out)?,
            }
        }
        self.start(starts, now, out)
    }

    /// Takes attempts on and starts them. An agent that ends takes on nothing more.
    fn start(&mut self, orders: Vec<Order>, now: Now, out: &mut Vec<Output>) -> Result<(), journal::Error> {
        if orders.is_empty() || self.stopping {
            return Ok(());
        }
        let mut taken = Vec::with_capacity(orders.len());
        for order in orders {
            let Intent::Start(launch) = &order.intent else { continue };
            match self.unfit(launch) {
                None => taken.push(order),
                Some(cause) => {
                    let (reason, launch) = (EndReason::StartFailed(cause.into()), Some(launch.clone()));
                    self.end_unstarted(order.attempt, order.name, launch, reason, now);
                }
            }
        }
        let orders: Vec<&Order> = taken.iter().collect();
        match self.journal.take_on(&orders) {
            Ok(()) => {}
            Err(journal::Error::Write { source, .. }) if journal::is_shortage(&source) => {
                let cause = match journal::is_full(&source) {
                    true => "the disk of the node is full",
                    false => "the agent of the node has no file descriptors left",
                };
                for order in taken {
                    // What was written of it must not look like an attempt that was started.
                    if let Err(error) = self.journal.remove(&order.name) {
                        // The next agent finds it without a trace of a start, and reports an end that is known.
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(
                            attempt = order.name,
                            error,
                            "an order that was not taken on stays on the disk"
                        );
                    }
                    let reason = EndReason::StartFailed(cause.into());
                    self.end_unstarted(order.attempt, order.name, None, reason, now);
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        for order in taken {
            let Intent::Start(launch) = order.intent else { continue };
            let boot_id = &self.config.boot_id;
            let executor_launch = executor_launch(&self.config, boot_id, order.attempt, &order.name, &launch);
            out.push(Output::Start { kind: kind_of(&launch.program), launch: Box::new(executor_launch) });
            self.started += 1;
            let attempt = Attempt {
                name: order.name,
                launch: Some(launch),
                kept: true,
                state: State::default(),
                stopping: false,
                unwanted: false,
                end: None,
            };
            self.attempts.insert(order.attempt, attempt);
        }
        // Before a leash is looked at, by the next agent or by a supervisor: until now nobody may have needed this.
        self.note_contact()
    }

    /// Why this node cannot run it, whatever the server thinks.
    fn unfit(&self, launch: &Launch) -> Option<String> {
        let kind = kind_of(&launch.program);
        if !self.config.kinds.contains(&kind) {
            return Some(format!("the node has no {} executor", kind.word()));
        }
        let run_dir = Path::new(launch.run_dir.as_deref()?);
        let named = run_dir.strip_prefix(&self.config.run_dirs).ok().and_then(|rest| {
            let mut parts = rest.components();
            let first = parts.next()?;
            (parts.next().is_none() && matches!(first, Component::Normal(_))).then_some(())
        });
        match named {
            Some(()) => None,
            None => Some(format!("the run's directory {} is not one of this node's", run_dir.display())),
        }
    }

    /// Notes and reports the end of an attempt of which nothing was ever given to an executor.
    fn end_unstarted(
        &mut self,
        handle: AttemptHandle,
        name: String,
        launch: Option<Box<Launch>>,
        reason: EndReason,
        now: Now,
    ) {
        let end = AttemptUpdate::Ended {
            reason,
            started: None,
            at: now.wall,
            output: Vec::new(),
            usage: Usage::default(),
        };
        self.reports.push(handle, end.clone());
        let attempt = Attempt {
            name,
            launch,
            kept: false,
            state: State::default(),
            stopping: false,
            unwanted: false,
            end: Some(end),
        };
        self.attempts.insert(handle, attempt);
    }

    /// Asks an attempt to stop. The cause of the first request is the one that counts.
    fn stop(
        &mut self,
        handle: AttemptHandle,
        grace: Millis,
        cause: StopCause,
        out: &mut Vec<Output>,
    ) -> Result<(), journal::Error> {
        let Some(attempt) = self.attempts.get(handle).filter(|attempt| attempt.is_live()) else {
            return Ok(());
        };
        let (name, mut state) = (attempt.name.clone(), attempt.state);
        if state.stop.is_none() {
            state.stop = Some(cause);
            self.journal.note_state(&name, &state)?;
        }
        let attempt = self.attempts.update(handle, |attempt| {
            attempt.state = state;
            attempt.stopping = true;
        });
        if let Some(kind) = attempt.and_then(Attempt::kind) {
            out.push(Output::Stop { kind, attempt: handle, grace });
        }
        Ok(())
    }

    pub(super) fn stop_all(&mut self, out: &mut Vec<Output>) -> Result<(), journal::Error> {
        self.stopping = true;
        let live: Vec<AttemptHandle> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.is_live() && !attempt.stopping)
            .map(|(handle, _)| handle)
            .collect();
        for attempt in live {
            let grace = grace_of(&self.attempts, attempt).min(GRACE_AT_END);
            self.stop(attempt, grace, StopCause::AgentEnds, out)?;
        }
        Ok(())
    }

    /// Drops an attempt that is over; its logs stay a while.
    pub(super) fn forget(
        &mut self,
        handle: AttemptHandle,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), journal::Error> {
        let Some(attempt) = self.attempts.take(handle) else { return Ok(()) };
        self.reports.withdraw(handle);
        let Some(kind) = attempt.kind().filter(|_| attempt.kept) else { return Ok(()) };
        self.journal.note_forgotten(&attempt.name, now.wall)?;
        out.push(Output::Remove { kind, attempt: handle });
        self.attempts.insert_forgotten(handle, Forgotten { name: attempt.name, kind, at: now.wall });
        Ok(())
    }
}

/// What an executor is told of an attempt that was taken on in the boot `boot_id` of this machine.
pub(super) fn executor_launch(
    config: &super::Config,
    boot_id: &str,
    attempt: AttemptHandle,
    name: &str,
    launch: &Launch,
) -> executor::Launch {
    executor::Launch {
        attempt,
        name: name.to_owned(),
        dir: attempt_dir(config, name),
        boot_id: boot_id.to_owned(),
        program: match launch.program.clone() {
            Program::Exec { command } => executor::Program::Exec { command },
            Program::Docker { image, command } => executor::Program::Docker { image, command },
            Program::Fake { runs_for, exit_code, output } => {
                executor::Program::Fake { runs_for, exit_code, output }
            }
        },
        env: launch.env.clone(),
        run_dir: launch.run_dir.as_ref().map(PathBuf::from),
        limits: executor::Limits {
            cpu_milli: launch.limits.cpu_milli.unwrap_or(0),
            memory_max: launch.limits.memory_max,
            pids_max: launch.limits.pids,
        },
        leash: match launch.on_disconnect {
            OnDisconnect::Keep => None,
            OnDisconnect::StopAfter(span) => Some(executor::Leash {
                span,
                grace: launch.stop_grace,
                contact: config.data_dir.join(journal::CONTACT),
            }),
        },
    }
}
