use std::sync::Arc;

use berth_core::command::{
    AttemptReport, AttemptUpdate, Command, NodeReport, Placement, Registration, Submit, TenantSpec,
};
use berth_core::id::{JournalId, NodeEpoch, NodeHandle, RequestId, TaskHandle};
use berth_core::job_spec::{
    Count, ExecutorKind, FakeProgram, JobKind, JobSpec, OnDisconnect, ProgramSpec, Retry, TaskSpec,
};
use berth_core::model::{ExecutorOffer, NodeFacts};
use berth_core::state::State;
use berth_core::time::Millis;

use super::{NODES, Size, TASKS_A_JOB};

const TENANTS: u32 = 10;
/// How long a task waits for a retry: longer than any phase takes, so that nothing is due by accident.
pub(super) const BACKOFF: Millis = Millis::from_secs(600);

/// The clients and agents: they know which task is where and make the commands.
pub(super) struct Fleet {
    size: Size,
    pub(super) seats: Vec<Seat>,
    random: u64,
}

/// A node and its tasks. Its tasks are of many jobs, so that a report touches the tables all over.
pub(super) struct Seat {
    sequence: u64,
    pub(super) ready: Vec<u32>,
    pub(super) running: Vec<u32>,
}

impl Fleet {
    /// Everything it will hold is allocated and touched here, so that it is no part of what is measured.
    pub(super) fn new(size: Size) -> Fleet {
        let room = (size.tasks() / NODES + 1) * 2;
        let touched = || {
            let mut list: Vec<u32> = (0..room).collect();
            list.clear();
            list
        };
        let seats = (0..NODES).map(|_| Seat { sequence: 0, ready: touched(), running: touched() }).collect();
        Fleet { size, seats, random: 0x9e37_79b9_7f4a_7c15 }
    }

    pub(super) fn tasks(&self) -> u32 {
        self.size.tasks()
    }

    /// A number below `bound`, the same in every run (xorshift64, Marsaglia 2003).
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % bound as u64).expect("less than a usize")
    }

    /// The node that a task always goes to.
    pub(super) fn home(task: u32) -> u32 {
        task % NODES
    }

    pub(super) fn tenants(&self) -> Vec<(Option<RequestId>, Command)> {
        (0..TENANTS)
            .map(|tenant| {
                let limit = [("cpu".to_owned(), u64::MAX / 2)].into();
                (
                    None,
                    Command::ApplyTenant(TenantSpec { name: format!("tenant-{tenant}"), weight: 1, limit }),
                )
            })
            .collect()
    }

    pub(super) fn registrations(&self) -> Vec<(Option<RequestId>, Command)> {
        let offer = ExecutorOffer { ready: true, detail: "simulated".into(), ..ExecutorOffer::default() };
        let facts = NodeFacts {
            capacity: [("cpu".to_owned(), 1 << 32), ("memory".to_owned(), 1 << 50)].into(),
            executors: [(ExecutorKind::Fake, offer)].into(),
            ..NodeFacts::default()
        };
        (0..NODES)
            .map(|node| {
                let name = format!("node-{node}");
                let journal = JournalId(node.into());
                (None, Command::RegisterNode(Registration { name, journal, facts: facts.clone() }))
            })
            .collect()
    }

    pub(super) fn submissions(&self) -> impl Iterator<Item = (Option<RequestId>, Command)> + use<> {
        (0..self.size.jobs).map(|job| {
            let tenant = format!("tenant-{}", job % TENANTS);
            let name = format!("job-{job}");
            let spec = Some(Arc::new(a_job(&tenant, &name)));
            let key = RequestId(u128::from(job) + 1);
            (Some(key), Command::Submit(Submit { tenant, job: name, spec, start: Some(key) }))
        })
    }

    pub(super) fn place(tasks: &[u32], state: &State) -> Command {
        let placement = |&task: &u32| {
            let node = NodeHandle(Fleet::home(task));
            Placement { task: TaskHandle(task.into()), node, epoch: epoch(state, node) }
        };
        Command::Place(tasks.iter().map(placement).collect())
    }

    /// A node's report about the latest attempts of its tasks.
    pub(super) fn report(
        &mut self,
        state: &State,
        node: u32,
        tasks: &[u32],
        update: &dyn Fn() -> AttemptUpdate,
    ) -> Command {
        let seat = &mut self.seats[node as usize];
        let handle = NodeHandle(node);
        let reports = tasks.iter().map(|&task| {
            seat.sequence += 1;
            let attempt = state.task(TaskHandle(task.into())).latest;
            AttemptReport { sequence: seat.sequence, attempt, update: update() }
        });
        Command::Report(NodeReport {
            reports: reports.collect(),
            node: handle,
            epoch: epoch(state, handle),
            journal: JournalId(node.into()),
        })
    }
}

fn epoch(state: &State, node: NodeHandle) -> NodeEpoch {
    state.node(node).epoch
}

fn a_job(tenant: &str, name: &str) -> JobSpec {
    let task = TaskSpec {
        name: "work".into(),
        after: Vec::new(),
        count: Count::Fixed(TASKS_A_JOB),
        program: ProgramSpec::Fake(FakeProgram {
            runs_for: Millis(10),
            fail_first: 0,
            exit_code: 0,
            output: String::new(),
        }),
        resources: [("cpu".into(), 100), ("memory".into(), 64 << 20)].into(),
        memory_max: None,
        env: Vec::new(),
        retry: Retry { max_attempts: 1_000_000, initial: BACKOFF, factor_milli: 1000, max: BACKOFF },
        timeout: None,
        stop_grace: Millis::from_secs(10),
        on_disconnect: OnDisconnect::Keep,
    };
    JobSpec {
        kind: JobKind::Job,
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        priority: 50,
        schedule: None,
        tasks: vec![task],
    }
}
