//! How much room the disk below the data directory has, and what is still written when there is little.
//!
//! A log that cannot grow stops its member, and with it whatever shares the disk. So new work is refused while there
//! is still room to finish what was begun, and a leader hands over before its disk is full.

use berth_core::command::Command;

/// With so many bytes free a disk is not full, whatever share of it that is: the log and its snapshots need far less.
const MUCH: u64 = 4 << 30;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Room {
    /// A tenth or more.
    #[default]
    Enough,
    /// Less than a tenth: somebody should see to it.
    Low,
    /// Less than a twentieth: no new work is taken, what was begun may end.
    Scarce,
    /// Less than a fiftieth: nothing is written that can be avoided.
    Exhausted,
}

impl Room {
    /// Judges so many free bytes of so many.
    pub fn of(free: u64, total: u64) -> Room {
        let less_than = |part: u64| free < MUCH && free.saturating_mul(part) < total;
        if less_than(50) {
            Room::Exhausted
        } else if less_than(20) {
            Room::Scarce
        } else if less_than(10) {
            Room::Low
        } else {
            Room::Enough
        }
    }

    /// What an operator should know of it, unless there is enough.
    pub fn alarm(self) -> Option<&'static str> {
        match self {
            Room::Enough => None,
            Room::Low => Some("less than 10 % of the disk are free"),
            Room::Scarce => Some("less than 5 % of the disk are free: no new jobs and runs are taken"),
            Room::Exhausted => Some("less than 2 % of the disk are free: nothing is written any more"),
        }
    }

    /// Whether a command is still taken: what only adds goes first.
    pub fn admits(self, command: &Command) -> bool {
        match command {
            Command::ApplyTenant(_) | Command::Submit(_) => self < Room::Scarce,
            Command::StopJob { .. }
            | Command::CancelRun { .. }
            | Command::RegisterNode(_)
            | Command::LoseNode { .. }
            | Command::DrainNode { .. }
            | Command::RemoveNode { .. }
            | Command::Place(_)
            | Command::Report(_)
            | Command::Fire(_)
            | Command::Advance
            | Command::CheckHash { .. } => self < Room::Exhausted,
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_core::command::Submit;
    use berth_core::id::RunId;

    use super::*;

    #[test]
    fn room_is_judged_by_the_share_that_is_free() {
        for (free, room) in [
            (1000, Room::Enough),
            (100, Room::Enough),
            (99, Room::Low),
            (50, Room::Low),
            (49, Room::Scarce),
            (20, Room::Scarce),
            (19, Room::Exhausted),
            (0, Room::Exhausted),
        ] {
            assert_eq!(Room::of(free, 1000), room, "{free}");
        }
        assert_eq!(Room::of(MUCH, u64::MAX), Room::Enough, "a small share of a very large disk");
        assert_eq!(Room::of(MUCH - 1, MUCH * 100), Room::Exhausted);
    }

    #[test]
    fn new_work_goes_first_and_ends_are_taken_for_longest() {
        let submit = Command::Submit(Submit { tenant: "t".into(), job: "j".into(), spec: None, start: None });
        let cancel = Command::CancelRun { run: RunId(1) };
        let admitted = |command| {
            [Room::Enough, Room::Low, Room::Scarce, Room::Exhausted].map(|room| room.admits(command))
        };
        assert_eq!(admitted(&submit), [true, true, false, false]);
        assert_eq!(admitted(&cancel), [true, true, true, false]);
        assert_eq!(admitted(&Command::Advance), [true, true, true, false]);
    }
}
