//! A state with its log, for tests: every command goes through `apply`, and every state is checked.

use std::sync::Arc;

use crate::apply::apply;
use crate::command::{
    AttemptReport, AttemptUpdate, Command, Envelope, FORMAT, NodeReport, Origin, Placement, Registration,
    Submit,
};
use crate::due;
use crate::id::{
    AttemptHandle, EntryId, JournalId, NodeHandle, RequestId, RunHandle, StepHandle, TaskHandle,
};
use crate::invariants;
use crate::job_spec::{
    Count, FakeProgram, JobKind, JobSpec, OnDisconnect, Overlap, ProgramSpec, Retry, Schedule, TaskSpec, When,
};
use crate::model::{ExecutorOffer, NodeFacts, RunState};
use crate::reason::EndReason;
use crate::reply::{Applied, Reply};
use crate::state::{DEFAULT_TENANT, State};
use crate::time::{Millis, Timestamp};

pub(crate) struct House {
    pub(crate) state: State,
    pub(crate) index: u64,
    pub(crate) now: Timestamp,
}

impl House {
    pub(crate) fn new() -> House {
        House { state: State::new(), index: 0, now: Timestamp(1_000_000) }
    }

    pub(crate) fn ask(&mut self, command: Command) -> Reply {
        self.apply(None, command).reply
    }

    pub(crate) fn apply(&mut self, request: Option<RequestId>, command: Command) -> Applied {
        self.apply_as("ann", request, command)
    }

    pub(crate) fn apply_as(&mut self, actor: &str, request: Option<RequestId>, command: Command) -> Applied {
        self.index += 1;
        let envelope = Envelope {
            format: FORMAT,
            feature_level: 1,
            cluster_epoch: 1,
            term: 1,
            time: self.now,
            request,
            actor: actor.into(),
            origin: Origin::Client,
            command,
        };
        let before = self.state.clone();
        let applied = apply(&mut self.state, EntryId { term: 1, index: self.index }, envelope);
        invariants::check(&self.state).unwrap();
        invariants::check_step(&before, &self.state).unwrap();
        applied
    }

    pub(crate) fn pass(&mut self, span: Millis) {
        self.now = self.now + span;
    }

    pub(crate) fn advance(&mut self) {
        self.ask(Command::Advance);
    }

    pub(crate) fn node(&mut self, name: &str) -> NodeHandle {
        match self.ask(Command::RegisterNode(a_node(name))) {
            Reply::Registered { node, .. } => node,
            other => panic!("{other:?}"),
        }
    }

    /// Advances until nothing is due.
    pub(crate) fn advance_all(&mut self) {
        for _ in 0..10_000 {
            if !due::advance_needed(&self.state, self.now) {
                return;
            }
            self.advance();
        }
        panic!("what is due does not end: {:?}", self.state.tables().timers.iter().next());
    }

    /// The state is written to a snapshot and read again.
    pub(crate) fn restore(&mut self) {
        let limits = self.state.limits;
        self.state = State::from_tables(self.state.tables().clone());
        self.state.limits = limits;
    }

    /// Registers and starts a job; gives the run.
    pub(crate) fn run(&mut self, spec: JobSpec) -> RunHandle {
        let key = RequestId(u128::from(self.index) + 1);
        match self.ask(submit(spec, Some(key))) {
            Reply::Submitted { run: Some(id), .. } => self.state.run_with_id(id).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn step(&self, run: RunHandle, place: u16) -> StepHandle {
        self.state.run(run).step(place)
    }

    pub(crate) fn task(&self, run: RunHandle, place: u16, index: u32) -> TaskHandle {
        self.state.step(self.step(run, place)).task(index)
    }

    pub(crate) fn place(&mut self, task: TaskHandle, node: NodeHandle) -> Option<AttemptHandle> {
        let epoch = self.state.tables().nodes.get(node).map(|node| node.epoch).unwrap_or_default();
        match self.ask(Command::Place(vec![Placement { task, node, epoch }])) {
            Reply::Placed { refused } if refused.is_empty() => Some(self.state.task(task).latest),
            Reply::Placed { .. } => None,
            other => panic!("{other:?}"),
        }
    }

    /// The attempt's node reports about it, under its next number.
    pub(crate) fn report(&mut self, attempt: AttemptHandle, update: AttemptUpdate) -> Reply {
        let node = self.state.attempt(attempt).node;
        let sequence = self.state.node(node).reported + 1;
        self.report_all(node, vec![AttemptReport { sequence, attempt, update }])
    }

    /// A node reports as its last registration allows.
    pub(crate) fn report_all(&mut self, node: NodeHandle, reports: Vec<AttemptReport>) -> Reply {
        let record = self.state.node(node);
        let (epoch, journal) = (record.epoch, record.journal);
        self.ask(Command::Report(NodeReport { node, epoch, journal, reports }))
    }

    pub(crate) fn end(&mut self, attempt: AttemptHandle, reason: EndReason) {
        self.end_with_output(attempt, reason, "");
    }

    pub(crate) fn end_with_output(&mut self, attempt: AttemptHandle, reason: EndReason, output: &str) {
        let at = self.now;
        self.report(
            attempt,
            AttemptUpdate::Ended {
                reason,
                started: Some(at),
                at,
                output: output.into(),
                usage: crate::model::Usage::default(),
            },
        );
    }

    pub(crate) fn end_of(&self, run: RunHandle) -> Option<EndReason> {
        match &self.state.run(run).state {
            RunState::Ended { reason, .. } => Some(reason.clone()),
            RunState::Active | RunState::Cancelling { .. } => None,
        }
    }
}

pub(crate) fn submit(spec: JobSpec, start: Option<RequestId>) -> Command {
    Command::Submit(Submit {
        tenant: spec.tenant.clone(),
        job: spec.name.clone(),
        spec: Some(Arc::new(spec)),
        start,
    })
}

/// A node with room for four tasks of [`a_task`].
pub(crate) fn a_node(name: &str) -> Registration {
    let offer = ExecutorOffer { ready: true, detail: "simulated".into(), ..ExecutorOffer::default() };
    Registration {
        name: name.into(),
        journal: JournalId(1),
        facts: NodeFacts {
            capacity: [("cpu".into(), 4000), ("memory".into(), 4 << 30)].into(),
            executors: [(crate::job_spec::ExecutorKind::Fake, offer)].into(),
            ..NodeFacts::default()
        },
    }
}

pub(crate) fn a_task(name: &str, after: &[u16]) -> TaskSpec {
    TaskSpec {
        name: name.into(),
        after: after.to_vec(),
        count: Count::Single,
        program: ProgramSpec::Fake(FakeProgram {
            runs_for: Millis(10),
            fail_first: 0,
            exit_code: 0,
            output: String::new(),
        }),
        resources: [("cpu".into(), 1000)].into(),
        memory_max: None,
        env: Vec::new(),
        retry: Retry::default(),
        timeout: None,
        stop_grace: Millis::from_secs(10),
        on_disconnect: OnDisconnect::Keep,
    }
}

pub(crate) fn a_job(name: &str, tasks: Vec<TaskSpec>) -> JobSpec {
    JobSpec {
        kind: JobKind::Job,
        tenant: DEFAULT_TENANT.into(),
        name: name.into(),
        priority: 50,
        schedule: None,
        tasks,
    }
}

pub(crate) fn every(period: Millis, overlap: Overlap) -> Option<Schedule> {
    Some(Schedule { when: When::Every(period), overlap })
}

impl House {
    /// True while an attempt was not asked to stop.
    pub(crate) fn may_be_stopped(&self, attempt: AttemptHandle) -> bool {
        use crate::model::AttemptState;
        matches!(self.state.attempt(attempt).state, AttemptState::Starting | AttemptState::Running)
    }
}
