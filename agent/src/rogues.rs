//! What runs on the machine in an executor's care though the journal has no record of it: leftovers of a data directory
//! that was wiped. It gets a while, because its record may be on its way; then it is killed.

use std::collections::BTreeMap;

use berth_core::job_spec::ExecutorKind;
use berth_core::time::Millis;

use crate::clock::Boot;

/// How long a rogue is let live.
pub const KILL_AFTER: Millis = Millis(60_000);

/// The rogues that were seen at the last look, and since when.
#[derive(Debug, Default)]
pub struct Rogues {
    since: BTreeMap<(ExecutorKind, String), Boot>,
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Those that are seen for the first time.
    pub new: Vec<String>,
    /// Those that have been there for too long.
    pub overdue: Vec<String>,
}

impl Rogues {
    /// Takes what one executor sees now, which is all of its kind.
    pub fn look(&mut self, kind: ExecutorKind, names: Vec<String>, now: Boot) -> Look {
        let mut look = Look::default();
        let before = std::mem::take(&mut self.since);
        let (of_kind, others): (BTreeMap<_, _>, _) = before.into_iter().partition(|((of, _), _)| *of == kind);
        self.since = others;
        for name in names {
            let key = (kind, name.clone());
            let since = of_kind.get(&key).copied();
            self.since.insert(key, since.unwrap_or(now));
            match since {
                None => look.new.push(name),
                Some(since) if now.since(since) >= KILL_AFTER => look.overdue.push(name),
                Some(_) => {}
            }
        }
        look
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.since.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXEC: ExecutorKind = ExecutorKind::Exec;

    #[test]
    fn a_rogue_is_told_once_and_killed_when_it_was_there_for_a_minute() {
        let mut rogues = Rogues::default();
        let mut look = |at: u64| rogues.look(EXEC, vec!["a".into()], Boot(at));
        assert_eq!(look(1_000).new, ["a"]);
        assert_eq!(look(60_999), Look::default());
        assert_eq!(look(61_000).overdue, ["a"]);
        assert_eq!(look(71_000).overdue, ["a"], "again, as long as it is there");
    }

    #[test]
    fn one_that_is_gone_in_between_begins_anew() {
        let mut rogues = Rogues::default();
        rogues.look(EXEC, vec!["a".into()], Boot(0));
        rogues.look(EXEC, Vec::new(), Boot(30_000));
        assert!(rogues.is_empty());
        assert_eq!(rogues.look(EXEC, vec!["a".into()], Boot(70_000)).new, ["a"]);
    }

    #[test]
    fn each_executor_speaks_for_its_own_kind() {
        let mut rogues = Rogues::default();
        rogues.look(EXEC, vec!["a".into()], Boot(0));
        assert_eq!(rogues.look(ExecutorKind::Docker, vec!["a".into()], Boot(70_000)).new, ["a"]);
        assert_eq!(rogues.look(EXEC, vec!["a".into()], Boot(70_000)).overdue, ["a"]);
        assert_eq!(rogues.len(), 2);
    }
}
