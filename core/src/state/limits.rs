use crate::command::TRANSITIONS_MAX;
use crate::job_spec::COUNT_MAX;

/// Bounds of the state machine. Every member has the same; only tests choose others, to reach them sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Changes of one entry.
    pub(crate) transitions: usize,
    /// Tasks of one array.
    pub(crate) array: u32,
    /// Runs that are not over.
    pub(crate) active_runs: usize,
    /// Steps, tasks and attempts of all runs that are known in full. Beyond half of it ended runs are known in full for
    /// a shorter time; beyond all of it there are no new runs.
    pub(crate) records: usize,
    /// Summaries of runs that a job keeps.
    pub(crate) summaries_of_job: usize,
    /// Summaries that the cluster keeps.
    pub(crate) summaries: usize,
    /// Outcomes of due instants that a job keeps.
    pub(crate) outcomes_of_job: usize,
    /// Answers to keyed requests that are kept.
    pub(crate) requests: usize,
    /// Names of resources; they are never forgotten.
    pub(crate) resources: usize,
    /// Request classes; they are never forgotten.
    pub(crate) classes: usize,
}

impl Limits {
    pub(crate) const PRODUCT: Limits = Limits {
        transitions: TRANSITIONS_MAX,
        array: COUNT_MAX,
        active_runs: 500_000,
        records: 10_000_000,
        summaries_of_job: 100,
        summaries: 1_000_000,
        outcomes_of_job: 1_000,
        requests: 1_000_000,
        resources: 10_000,
        classes: 200_000,
    };
}
