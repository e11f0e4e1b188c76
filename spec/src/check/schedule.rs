//! A schedule has exactly one way to name its instants.

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::fields::ScheduleFields;
use crate::reader::{At, Reader, Slot};

/// Notes a schedule with both `every` and `at`, or with neither.
pub(super) fn check(schedule: &At<ScheduleFields>, reader: &mut Reader<'_>) {
    let fields = &schedule.value;
    let found = match (&fields.every, &fields.at) {
        (Slot::Good(every), Slot::Good(at)) => {
            let (first, second) = (every.key.min(at.key), every.key.max(at.key));
            Diagnostic::new(Code::Schedule, second, "a schedule has either `every` or `at`, not both")
                .related(first, "the other one")
                .help("remove one of them; two schedules need two jobs")
        }
        (Slot::Absent, Slot::Absent) if !fields.doubtful && !fields.refused() => {
            Diagnostic::new(Code::Schedule, schedule.key, "the schedule names no instants")
                .help("write `every: 10m` or `at: \"2026-12-01T02:00:00Z\"`")
        }
        _ => return,
    };
    reader.note(found.at_path(schedule.path.clone()));
}

impl ScheduleFields {
    /// A way to name instants was refused, so that it does not help to say that there is none.
    fn refused(&self) -> bool {
        matches!(self.cron, Slot::Bad)
    }
}
