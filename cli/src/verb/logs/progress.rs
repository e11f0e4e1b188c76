//! Which attempts of one task are still to be shown.

use std::collections::VecDeque;

use berth_client::api::TaskView;

/// How far a task is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) task: TaskView,
    /// The latest attempt that is read, was read or is to be; 0 for none.
    pub(super) latest: u32,
    /// The attempt that is read, or was read last.
    pub(super) before: Option<u32>,
    pub(super) next: VecDeque<u32>,
    /// It is being read, or waits for a stream.
    pub(super) busy: bool,
}

impl Progress {
    /// Notes the attempts that have started and are not read yet: of a task that is met first with several the latest,
    /// from then on each. `only` leaves out all others. True when the task has to be queued for a stream.
    pub(super) fn take(&mut self, task: TaskView, only: Option<u32>) -> bool {
        let met_first = self.task.name.is_empty();
        let started: Vec<u32> = task
            .attempts
            .iter()
            .filter(|attempt| attempt.started_ms.is_some() && only.is_none_or(|only| only == attempt.number))
            .map(|attempt| attempt.number)
            .collect();
        if met_first {
            self.latest = started.last().map_or(0, |last| last.saturating_sub(1));
        }
        self.task = task;
        for number in started {
            if number > self.latest {
                self.latest = number;
                self.next.push_back(number);
            }
        }
        let queued = !self.busy && !self.next.is_empty();
        self.busy |= queued;
        queued
    }
}

#[cfg(test)]
mod tests {
    use berth_client::api::AttemptView;

    use super::*;

    fn task(started: &[bool]) -> TaskView {
        let attempt = |(number, started): (u32, &bool)| AttemptView {
            number,
            started_ms: started.then_some(1),
            ..AttemptView::default()
        };
        TaskView {
            name: "load".into(),
            attempts: (1..).zip(started).map(attempt).collect(),
            ..TaskView::default()
        }
    }

    #[test]
    fn a_task_that_is_met_first_is_read_from_its_latest_attempt_and_then_over_each_retry() {
        let mut progress = Progress::default();
        assert!(progress.take(task(&[true, true]), None));
        assert_eq!(progress.next, [2]);
        // The third never ran, so that it wrote nothing; the next ones wait until the second is read.
        assert!(!progress.take(task(&[true, true, false, true]), None));
        assert!(!progress.take(task(&[true, true, false, true, true]), None));
        assert_eq!(progress.next, [2, 4, 5]);
    }

    #[test]
    fn a_task_that_has_not_started_is_read_from_its_first_attempt() {
        let mut progress = Progress::default();
        assert!(!progress.take(task(&[false]), None));
        assert!(progress.take(task(&[true]), None));
        assert_eq!(progress.next, [1]);
    }

    #[test]
    fn one_attempt_alone_is_read_when_it_is_asked_for() {
        let mut progress = Progress::default();
        assert!(progress.take(task(&[true, true, true]), Some(2)));
        assert_eq!(progress.next, [2]);
    }
}
