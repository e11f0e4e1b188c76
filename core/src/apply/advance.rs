use super::Change;
use crate::model::{TaskState, Timer};
use crate::reply::Reply;
use crate::time::Timestamp;

impl Change<'_> {
    /// Does what is due by now, other than fires, as far as this entry has room. What does not fit stays due.
    pub(super) fn advance(&mut self) -> Reply {
        let last = (self.now, Timer::ForgetRequest(crate::id::RequestId(u128::MAX)));
        let due: Vec<(Timestamp, Timer)> = self
            .state
            .tables
            .timers
            .range(..=last)
            .map(|(key, ())| *key)
            .filter(|(_, timer)| !matches!(timer, Timer::Fire(_)))
            .take(self.budget)
            .collect();
        for (instant, timer) in due {
            if !self.spend() {
                break;
            }
            self.disarm(instant, timer);
            self.expire(timer);
        }
        Reply::Done
    }

    fn expire(&mut self, timer: Timer) {
        match timer {
            // Fires are decided by the leader, which knows time zones, and come in as commands.
            Timer::Fire(_) => {}
            Timer::Retry(task) => {
                let due = self.state.tables.tasks.get(task).map(|task| &task.state);
                if let Some(TaskState::Backoff { .. }) = due {
                    self.ready_task(task);
                }
            }
            Timer::Cancel(run) => {
                if self.state.tables.runs.get(run).is_some() {
                    self.sweep_cancelled(run);
                }
            }
            Timer::Evacuate(node) => self.evacuate(node),
            Timer::DrainDeadline(node) => {
                // It may have been armed for an earlier drain.
                let deadline =
                    self.state.tables.nodes.get(node).and_then(|node| node.drain.as_ref()?.deadline);
                if deadline.is_some_and(|deadline| deadline <= self.now) {
                    self.stop_attempts_on(node);
                }
            }
            Timer::StopJob(job) => self.go_on_stopping(job),
            Timer::Collapse(run) => self.collapse_run(run),
            Timer::ForgetRun(run) => self.forget_run(run),
            Timer::ForgetRequest(request) => self.forget_request(request),
        }
    }

    pub(super) fn arm(&mut self, instant: Timestamp, timer: Timer) {
        self.state.tables.timers.insert((instant, timer), ());
    }

    pub(super) fn disarm(&mut self, instant: Timestamp, timer: Timer) {
        self.state.tables.timers.remove(&(instant, timer));
    }
}
