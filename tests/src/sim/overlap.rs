//! What ran on the machines: no attempt twice, and no two attempts of one task at a time where that is promised.

use std::collections::BTreeMap;

use berth_core::id::{AttemptHandle, TaskHandle};
use berth_core::job_spec::OnDisconnect;
use berth_core::state::State;
use berth_executors::fake::Lived;

use super::simulation::{EPOCH, Simulation};

/// One life of an attempt, and where.
#[derive(Debug, Clone, Copy)]
struct Life {
    agent: usize,
    lived: Lived,
}

impl Simulation {
    /// Every attempt is started at most once, on one machine. Attempts of a task that stops without contact do not
    /// overlap as long as an agent watches over them; of others, overlaps are counted.
    pub(crate) fn attempts_run_once(&mut self, state: &State) -> Result<(), String> {
        let mut starts: BTreeMap<AttemptHandle, usize> = BTreeMap::new();
        let mut tasks: BTreeMap<TaskHandle, Vec<Life>> = BTreeMap::new();
        for (agent, machine) in self.agents.iter().enumerate() {
            for lived in machine.world.history() {
                *starts.entry(lived.attempt).or_default() += 1;
                let Some(attempt) = state.tables().attempts.get(lived.attempt) else {
                    return Err(format!("{} was started and is not known", lived.attempt));
                };
                // Of a node that was removed the name is forgotten.
                let node = state.tables().nodes.get(attempt.node);
                if node.is_some_and(|node| node.name != machine.name) {
                    return Err(format!("{:?} was started on {}", lived.attempt, machine.name));
                }
                tasks.entry(attempt.task).or_default().push(Life { agent, lived });
            }
        }
        if let Some((attempt, count)) = starts.iter().find(|(_, count)| **count > 1) {
            return Err(format!("{attempt:?} was started {count} times"));
        }
        for (task, mut lives) in tasks {
            lives.sort_by_key(|life| life.lived.started);
            for pair in lives.windows(2) {
                self.may_overlap(state, task, pair[0], pair[1])?;
            }
        }
        Ok(())
    }

    fn may_overlap(
        &mut self,
        state: &State,
        task: TaskHandle,
        first: Life,
        second: Life,
    ) -> Result<(), String> {
        let ended = first.lived.ended.map_or(u64::MAX, |ended| ended.0);
        if ended <= second.lived.started.0 {
            return Ok(());
        }
        self.counts.overlaps += 1;
        let spec = state.task_spec(state.step(state.task(task).step));
        let (from, to) = (first.lived.started.0 - EPOCH, ended.saturating_sub(EPOCH));
        let unwatched = &self.agents[first.agent].unwatched;
        let watched = !unwatched.iter().any(|(gone, back)| *gone < to && *back > from);
        match spec.on_disconnect {
            OnDisconnect::StopAfter(_) if watched => {
                Err(format!("two attempts of {task:?} ran at a time: {first:?} and {second:?}"))
            }
            OnDisconnect::StopAfter(_) | OnDisconnect::Keep => Ok(()),
        }
    }
}
