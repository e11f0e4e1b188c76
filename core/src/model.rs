//! The records of the state: what is known about tenants, jobs, runs, steps, tasks, attempts and nodes.

mod attempt;
mod job;
mod node;
mod output;
mod run;
mod task;
mod tenant;
mod timer;
mod usage;

pub use attempt::{Attempt, AttemptState, Previous};
pub use job::{Cursor, Job, Outcome, OutcomeKind, SpecRecord, Stopping};
pub use node::{Drain, ExecutorOffer, Isolation, Node, NodeFacts, NodeState};
pub use output::{OUTPUT_BYTES_MAX, Outputs, RUN_OUTPUT_BYTES_MAX};
pub use run::{Files, Run, RunCause, RunState, RunSummary, Step, StepState};
pub use task::{Task, TaskState};
pub use tenant::{RequestClass, Tenant};
pub use timer::Timer;
pub use usage::Usage;

#[cfg(test)]
mod tests {
    use crate::model::{Attempt, Task, Timer};
    use crate::time::Timestamp;

    #[test]
    fn records_of_which_there_are_millions_stay_small() {
        assert_eq!(size_of::<Option<Task>>(), 48);
        assert_eq!(size_of::<Option<Attempt>>(), 80);
        assert_eq!(size_of::<(Timestamp, Timer)>(), 32);
    }
}
