//! What a person asks for: a job and its tasks, checked and complete, with every default filled in.
//! The text form lives in the `spec` crate.

use crate::canonical::canonical;
use crate::resources::NamedResources;
use crate::template::{Template, Variable};
use crate::time::{Millis, Timestamp};

/// The most tasks that a job can name.
pub const TASKS_MAX: usize = 5_000;
/// The largest array.
pub const COUNT_MAX: u32 = 1_000_000;
/// The longest argument or value of a variable in a spec, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The longest spec when it is encoded for the log, in bytes.
pub const SPEC_BYTES_MAX: usize = 768 * 1024;

/// Whether a run is expected to end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// Its tasks end.
    Job,
    /// Its tasks go on until they are stopped.
    Service,
}

canonical!(enum JobKind { 1: Job, 2: Service });

/// A job as its owner wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    /// Whether its runs end by themselves.
    pub kind: JobKind,
    /// The owner's name.
    pub tenant: String,
    /// The job's name within the tenant.
    pub name: String,
    /// From 0 to 100; higher goes first within a tenant.
    pub priority: u8,
    /// When it fires by itself.
    pub schedule: Option<Schedule>,
    /// Its tasks, in an order in which every task comes after those it depends on.
    pub tasks: Vec<TaskSpec>,
}

canonical!(JobSpec { 1: kind, 2: tenant, 3: name, 4: priority, 5: schedule, 6: tasks });

/// When a job fires by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The instants.
    pub when: When,
    /// What happens to an instant while an earlier run of the job is active.
    pub overlap: Overlap,
}

canonical!(Schedule { 1: when, 2: overlap });

/// The instants of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Every whole multiple of the period since the Unix epoch; at least a second.
    Every(Millis),
    /// Once.
    At(Timestamp),
}

canonical!(enum When { 1: Every(period), 2: At(instant) });

/// What happens to a due instant while an earlier run of the job is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It is skipped and recorded as such.
    Skip,
    /// It runs beside the earlier one.
    AllowAll,
}

canonical!(enum Overlap { 1: Skip, 2: AllowAll });

/// A named step of every run of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// Its name within the job.
    pub name: String,
    /// Places in [`JobSpec::tasks`], all before this one, of the tasks that must succeed first.
    pub after: Vec<u16>,
    /// How many of it a run has.
    pub count: Count,
    /// What it runs.
    pub program: ProgramSpec,
    /// What it asks for: cpu in thousandths, memory in bytes, others in thousandths.
    pub resources: NamedResources,
    /// Memory in bytes past which the kernel ends it; at least the memory it asks for.
    pub memory_max: Option<u64>,
    /// Environment variables, in the order of the text.
    pub env: Vec<(String, Template)>,
    /// How often and when it is tried again.
    pub retry: Retry,
    /// How long one attempt may run.
    pub timeout: Option<Millis>,
    /// How long it has between the request to stop and the kill.
    pub stop_grace: Millis,
    /// What its node does with it while it has no contact to the servers.
    pub on_disconnect: OnDisconnect,
}

canonical!(TaskSpec {
    1: name,
    2: after,
    3: count,
    4: program,
    5: resources,
    6: memory_max,
    7: env,
    8: retry,
    9: timeout,
    10: stop_grace,
    11: on_disconnect,
});

/// How many of a task a run has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Count {
    /// One, without being an array.
    Single,
    /// That many, from 1 to [`COUNT_MAX`].
    Fixed(u32),
    /// As many as the named output of an earlier task has values; none means none.
    LengthOf {
        /// Place of that task in [`JobSpec::tasks`]; one of `after`, directly or indirectly.
        task: u16,
        /// The output's key.
        key: String,
    },
}

canonical!(enum Count { 1: Single, 2: Fixed(count), 3: LengthOf { 1: task, 2: key } });

/// What a task runs, with its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramSpec {
    /// A program of the node.
    Exec { command: Vec<Template> },
    /// A container; an empty command means the image's own.
    Docker { image: Template, command: Vec<Template> },
    /// Simulated work, on nodes that offer it.
    Fake(FakeProgram),
}

canonical!(enum ProgramSpec { 1: Exec { 1: command }, 2: Docker { 1: image, 2: command }, 3: Fake(program) });

/// Simulated work: attempts 1 to `fail_first` exit with 1, later ones with `exit_code`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeProgram {
    /// How long an attempt runs.
    pub runs_for: Millis,
    /// How many attempts fail first.
    pub fail_first: u32,
    /// The exit code after that.
    pub exit_code: i32,
    /// What it writes to its output file, lines of `key=value`.
    pub output: String,
}

canonical!(FakeProgram { 1: runs_for, 2: fail_first, 3: exit_code, 4: output });

/// The kinds of executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExecutorKind {
    /// A process in a cgroup.
    Exec,
    /// A container of the Docker engine.
    Docker,
    /// Simulated work.
    Fake,
}

canonical!(enum ExecutorKind { 1: Exec, 2: Docker, 3: Fake });

/// How often and when a task is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least 1. Attempts lost with their node or preempted do not count.
    pub max_attempts: u32,
    /// The wait before the second attempt.
    pub initial: Millis,
    /// By what the wait grows each time, in thousandths; at least 1000.
    pub factor_milli: u32,
    /// The longest wait.
    pub max: Millis,
}

canonical!(Retry { 1: max_attempts, 2: initial, 3: factor_milli, 4: max });

/// What a node does with an attempt while it has no contact to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It goes on, also when the servers give up its node and start another attempt elsewhere.
    Keep,
    /// It is stopped after this long, which new specs have to be at least [`STOP_AFTER_MIN`]. The servers start another
    /// attempt only when it must be gone.
    StopAfter(Millis),
}

/// The shortest time without contact after which an attempt can be stopped: the lease of a node. A node in full contact
/// has not been heard of for a heartbeat and its way, and that is no reason to stop anything.
pub const STOP_AFTER_MIN: Millis = Millis(5_000);

canonical!(enum OnDisconnect { 1: Keep, 2: StopAfter(span) });

impl When {
    /// The first instant after `after`; `None` when nothing follows.
    pub fn next_after(self, after: Timestamp) -> Option<Timestamp> {
        match self {
            When::Every(Millis(period)) => {
                let passed = after.0 / period.max(1);
                passed.checked_add(1)?.checked_mul(period.max(1)).map(Timestamp)
            }
            When::At(instant) => (instant > after).then_some(instant),
        }
    }

    /// The last of the instants after `after` and up to `until`, and how many they are; `None` when there is none.
    pub fn last_of(self, after: Timestamp, until: Timestamp) -> Option<(Timestamp, u64)> {
        match self {
            When::Every(Millis(period)) => {
                let (before, last) = (after.0 / period.max(1), until.0 / period.max(1));
                (last > before).then(|| (Timestamp(last * period), last - before))
            }
            When::At(instant) => (after < instant && instant <= until).then_some((instant, 1)),
        }
    }
}

impl JobSpec {
    /// The task with that name and its place.
    pub fn task(&self, name: &str) -> Option<(u16, &TaskSpec)> {
        (0u16..).zip(&self.tasks).find(|(_, task)| task.name == name)
    }
}

impl TaskSpec {
    /// The kind of executor it needs.
    pub fn executor(&self) -> ExecutorKind {
        match &self.program {
            ProgramSpec::Exec { .. } => ExecutorKind::Exec,
            ProgramSpec::Docker { .. } => ExecutorKind::Docker,
            ProgramSpec::Fake(_) => ExecutorKind::Fake,
        }
    }

    /// Every template in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let (image, command) = match &self.program {
            ProgramSpec::Exec { command } => (None, command.as_slice()),
            ProgramSpec::Docker { image, command } => (Some(image), command.as_slice()),
            ProgramSpec::Fake(_) => (None, &[][..]),
        };
        image.into_iter().chain(command).chain(self.env.iter().map(|(_, value)| value))
    }

    /// True when it uses what earlier tasks left.
    pub fn uses_outputs(&self) -> bool {
        self.templates().flat_map(Template::variables).any(|v| matches!(v, Variable::Output { .. }))
    }

    /// True when it uses `${run.dir}`.
    pub fn uses_run_dir(&self) -> bool {
        self.templates().flat_map(Template::variables).any(|v| *v == Variable::RunDir)
    }
}

impl Retry {
    /// The wait after that many attempts that count (from 1).
    pub fn backoff(&self, attempts: u32) -> Millis {
        let mut wait = self.initial.0;
        for _ in 1..attempts {
            if wait >= self.max.0 {
                break;
            }
            wait = wait.saturating_mul(u64::from(self.factor_milli)) / 1000;
        }
        Millis(wait.min(self.max.0))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            max_attempts: 1,
            initial: Millis::from_secs(10),
            factor_milli: 2000,
            max: Millis::from_secs(300),
        }
    }
}

impl ExecutorKind {
    /// Its name in specs and tables.
    pub fn word(self) -> &'static str {
        match self {
            ExecutorKind::Exec => "exec",
            ExecutorKind::Docker => "docker",
            ExecutorKind::Fake => "fake",
        }
    }
}
