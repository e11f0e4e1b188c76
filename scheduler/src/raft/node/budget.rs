//! The room for proposals without an answer, taken before one is queued.

use std::sync::Arc;

use crate::raft::backlog::Backlog;
use crate::raft::config::Settings;

/// What is refused first when much is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// New work. Leaves a quarter of the room to the others.
    Submission,
    /// Whatever else clients ask for, such as to cancel. Leaves an eighth.
    Control,
    /// Reports of agents and what the leader proposes by itself: they end work, and so make room.
    Urgent,
}

/// Counts proposals from before they are queued until they are answered.
#[derive(Debug)]
pub(super) struct Budget {
    count: Backlog,
    bytes: Backlog,
    count_max: usize,
    bytes_max: usize,
}

/// Room that one proposal has; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            count: Backlog::default(),
            bytes: Backlog::default(),
            count_max: settings.unanswered_max,
            bytes_max: settings.unanswered_bytes_max,
        })
    }

    /// Room for a proposal of this length, if there is.
    pub(super) fn take(self: &Arc<Self>, class: Class, bytes: usize) -> Option<Taken> {
        let share = |all: usize| match class {
            Class::Submission => all - all / 4,
            Class::Control => all - all / 8,
            Class::Urgent => all,
        };
        if !self.count.add(1, share(self.count_max)) {
            return None;
        }
        if !self.bytes.add(bytes, share(self.bytes_max)) {
            self.count.remove(1);
            return None;
        }
        Some(Taken { budget: Arc::clone(self), bytes })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.budget.count.remove(1);
        self.budget.bytes.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(unanswered_max: usize, unanswered_bytes_max: usize) -> Arc<Budget> {
        Budget::new(&Settings { unanswered_max, unanswered_bytes_max, ..Settings::default() })
    }

    #[test]
    fn new_work_leaves_room_to_other_requests_and_those_to_agents_and_the_leader() {
        let budget = budget(8, 1_000);
        let taken: Vec<_> = (0..6).map(|_| budget.take(Class::Submission, 1).unwrap()).collect();
        assert!(budget.take(Class::Submission, 1).is_none());
        let control = budget.take(Class::Control, 1).unwrap();
        assert!(budget.take(Class::Control, 1).is_none());
        let urgent = budget.take(Class::Urgent, 1).unwrap();
        assert!(budget.take(Class::Urgent, 1).is_none());
        drop((taken, control, urgent));
        assert!(budget.take(Class::Submission, 1).is_some());
    }

    #[test]
    fn bytes_count_as_well_and_a_refusal_takes_nothing() {
        let budget = budget(8, 1_000);
        let taken = budget.take(Class::Submission, 750).unwrap();
        for _ in 0..100 {
            assert!(budget.take(Class::Submission, 1).is_none());
        }
        assert!(budget.take(Class::Urgent, 251).is_none());
        let urgent = budget.take(Class::Urgent, 250).unwrap();
        drop(taken);
        drop(urgent);
        assert!(budget.take(Class::Submission, 750).is_some());
    }
}
