//! A leader without threads, clocks or sockets: the test applies what it proposes and reads what it sends.

use std::collections::VecDeque;

use berth_core::command::{Origin, Submit};
use berth_core::id::{EntryId, RequestId};
use berth_core::job_spec::{
    Count, ExecutorKind, FakeProgram, JobKind, JobSpec, OnDisconnect, Overlap, ProgramSpec, Retry, Schedule,
    TaskSpec, When,
};
use berth_core::model::{ExecutorOffer, NodeFacts, NodeState};
use berth_core::time::Timestamp;
use berth_proto::agent::{from_agent, refused::Code, to_agent};
use berth_proto::convert::{envelope, facts};

use super::*;
use crate::log::Request;
use crate::machine::Machine;
use crate::raft::machine::StateMachine;

const CLUSTER: ClusterId = ClusterId(77);
const BUSY: NotApplied = NotApplied::Busy { retry_after: Millis(50) };

struct House {
    machine: Machine,
    view: View,
    index: u64,
    now: Now,
    leader: Leader,
    sent: Vec<(ConnectionId, agent::ToAgent)>,
    closed: Vec<ConnectionId>,
    lost: usize,
    /// Whether the leader sees a view before the outcomes that are in it.
    view_first: bool,
}

impl House {
    fn new() -> House {
        let machine = Machine::new();
        let view = View::of(&machine, EntryId { term: 1, index: 0 });
        let now = Now { time: Timestamp(1_000_000), steady: Millis(0), holds_fires: false };
        let leader = Leader::new(Config::default(), CLUSTER, 1, Arc::new(view.clone()), now);
        House {
            machine,
            view,
            index: 0,
            now,
            leader,
            sent: Vec::new(),
            closed: Vec::new(),
            lost: 0,
            view_first: true,
        }
    }

    /// Hands in an input and applies whatever is proposed, until nothing more is.
    fn handle(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.leader.handle(input, self.now) {
                match output {
                    Output::Propose(ticket, command, asker) => {
                        self.lost += usize::from(matches!(*command, Command::LoseNode { .. }));
                        let (actor, _) = asker.identity();
                        let request = Request { key: None, actor, origin: Origin::Leader, command: *command };
                        let (entry, applied) = self.apply(request);
                        let view = Input::View(Arc::new(self.view.clone()));
                        let outcome = Input::Outcome(ticket, Ok((entry, applied)));
                        let both = if self.view_first { [view, outcome] } else { [outcome, view] };
                        inputs.extend(both);
                    }
                    Output::Send(connection, message) => self.sent.push((connection, *message)),
                    Output::Close(connection) => self.closed.push(connection),
                }
            }
        }
    }

    fn apply(&mut self, request: Request) -> (EntryId, Arc<Applied>) {
        self.index += 1;
        let entry = EntryId { term: 1, index: self.index };
        let bytes = envelope::encode(&request.into_envelope(self.machine.state(), 1, self.now.time));
        let applied = self.machine.apply(entry, &bytes);
        self.view.extend(&self.machine, entry, &[(entry, Arc::clone(&applied))]);
        (entry, applied)
    }

    /// Time passes, and the leader looks at it at least once a second.
    fn pass(&mut self, millis: u64) {
        let mut left = millis;
        while left > 0 {
            let step = left.min(1000);
            left -= step;
            self.skip(step);
            self.handle(Input::Tick);
        }
    }

    /// Time passes without the leader looking at it.
    fn skip(&mut self, millis: u64) {
        self.now.time = self.now.time + Millis(millis);
        self.now.steady = Millis(self.now.steady.0 + millis);
    }

    fn apply_now(&mut self, command: Command) -> EntryId {
        let request = Request { key: None, actor: "ann".into(), origin: Origin::Client, command };
        self.apply(request).0
    }

    /// A view from which nobody can say what has happened.
    fn view_after_a_gap(&self) -> Input {
        Input::View(Arc::new(View::of(&self.machine, EntryId { term: 1, index: self.index })))
    }

    fn hello(&mut self, connection: u64, change: impl FnOnce(&mut agent::Hello)) {
        let offer = ExecutorOffer { ready: true, detail: "played".into(), ..ExecutorOffer::default() };
        let facts = NodeFacts {
            capacity: [("cpu".to_owned(), 1000)].into(),
            executors: [(ExecutorKind::Fake, offer)].into(),
            run_dirs: "/runs".into(),
            ..NodeFacts::default()
        };
        let mut hello = agent::Hello {
            node: "n1".into(),
            journal: vec![1; 16].into(),
            facts: Some(facts::to_proto(&facts)),
            protocol: 1,
            ..agent::Hello::default()
        };
        change(&mut hello);
        self.handle(Input::Opened(ConnectionId(connection)));
        self.say(connection, from_agent::Message::Hello(hello));
    }

    fn say(&mut self, connection: u64, message: from_agent::Message) {
        let message = agent::FromAgent { message: Some(message) };
        self.handle(Input::Message(ConnectionId(connection), Box::new(message)));
    }

    fn refusal(&self, connection: u64) -> Option<Code> {
        let of = |(id, message): &(ConnectionId, agent::ToAgent)| match &message.message {
            Some(to_agent::Message::Refused(refused)) if id.0 == connection => Some(refused.code()),
            _ => None,
        };
        self.sent.iter().find_map(of)
    }

    fn node_state(&self) -> NodeState {
        let state = self.machine.state();
        state.node(state.node_named("n1").unwrap()).state
    }
}

#[test]
fn a_hello_is_registered_and_answered_by_a_welcome_and_the_whole_set() {
    let mut house = House::new();
    house.hello(1, |_| {});
    let [(_, welcome), (_, desired)] = &house.sent[..] else { panic!("{:?}", house.sent) };
    assert!(matches!(welcome.message, Some(to_agent::Message::Welcome(_))));
    assert!(matches!(&desired.message, Some(to_agent::Message::Desired(set)) if set.full && !set.more));
    assert_eq!(welcome.fence.as_ref().unwrap().node_epoch, 1);
}

#[test]
fn an_agent_that_dials_again_keeps_its_epoch_and_the_older_session_ends() {
    let mut house = House::new();
    house.hello(1, |_| {});
    house.hello(2, |hello| hello.epoch = 1);
    assert_eq!(house.index, 1, "nothing new entered the log");
    assert_eq!(house.refusal(1), Some(Code::Replaced));
    assert_eq!(house.leader.nodes_served(), 1);
}

#[test]
fn agents_of_another_cluster_or_with_a_name_that_is_taken_are_refused() {
    let mut house = House::new();
    house.hello(1, |_| {});
    house.hello(2, |hello| hello.cluster_id = vec![9; 16].into());
    assert_eq!(house.refusal(2), Some(Code::WrongCluster));
    house.hello(3, |hello| hello.journal = vec![2; 16].into());
    assert_eq!(house.refusal(3), Some(Code::NameTaken));
    assert_eq!(house.closed, [ConnectionId(2), ConnectionId(3)]);
}

#[test]
fn a_silent_node_is_lost_after_its_lease_and_heartbeats_keep_it() {
    let mut house = House::new();
    house.hello(1, |_| {});
    for _ in 0..10 {
        house.pass(1000);
        house.say(1, from_agent::Message::Heartbeat(agent::Heartbeat::default()));
    }
    assert_eq!(house.node_state(), NodeState::Ready);
    house.pass(4999);
    assert_eq!(house.node_state(), NodeState::Ready);
    house.pass(1);
    assert!(matches!(house.node_state(), NodeState::Lost { .. }));
    assert_eq!(house.lost, 1);
    assert_eq!(house.refusal(1), Some(Code::StaleEpoch));
}

#[test]
fn a_new_leader_waits_a_full_lease_before_it_declares_a_node_lost() {
    let mut house = House::new();
    house.hello(1, |_| {});
    house.now.steady = Millis(1_000_000);
    house.leader = Leader::new(Config::default(), CLUSTER, 1, Arc::new(house.view.clone()), house.now);
    house.pass(4999);
    assert_eq!(house.lost, 0);
    house.pass(1);
    assert_eq!(house.lost, 1);
}

#[test]
fn another_process_of_an_agent_gets_an_epoch_of_its_own() {
    let mut house = House::new();
    house.hello(1, |_| {});
    house.hello(2, |hello| {
        hello.epoch = 1;
        hello.incarnation = vec![2; 16].into();
    });
    let welcome = house.sent.iter().rfind(|(connection, _)| connection.0 == 2).unwrap();
    assert_eq!(welcome.1.fence.as_ref().unwrap().node_epoch, 2);
    assert_eq!(house.refusal(1), Some(Code::Replaced));
}

/// Another inventory of the node of [`House::hello`].
fn other_facts() -> from_agent::Message {
    let facts = NodeFacts { capacity: [("cpu".to_owned(), 2000)].into(), ..NodeFacts::default() };
    from_agent::Message::FactsChanged(agent::FactsChanged { facts: Some(facts::to_proto(&facts)) })
}

#[test]
fn a_session_whose_facts_change_is_welcomed_again_whichever_of_view_and_outcome_is_first() {
    for view_first in [true, false] {
        let mut house = House::new();
        house.view_first = view_first;
        house.hello(1, |_| {});
        house.sent.clear();
        house.say(1, other_facts());
        assert_eq!(house.refusal(1), None);
        let [(_, welcome), (_, desired)] = &house.sent[..] else { panic!("{:?}", house.sent) };
        assert!(matches!(welcome.message, Some(to_agent::Message::Welcome(_))));
        assert!(matches!(&desired.message, Some(to_agent::Message::Desired(set)) if set.full));
        assert_eq!(welcome.fence.as_ref().unwrap().node_epoch, 2);
        assert_eq!(house.leader.nodes_served(), 1);
    }
}

#[test]
fn while_a_session_is_renewed_its_agent_is_answered_under_the_epoch_that_it_knows() {
    let mut house = House::new();
    house.hello(1, |_| {});
    house.sent.clear();
    let message = agent::FromAgent { message: Some(other_facts()) };
    let said = Input::Message(ConnectionId(1), Box::new(message));
    let outputs = house.leader.handle(said, house.now);
    let [Output::Propose(ticket, command, asker)] = &outputs[..] else { panic!("{outputs:?}") };
    let (actor, origin) = asker.clone().identity();
    let request = Request { key: None, actor, origin, command: (**command).clone() };
    let outcome = house.apply(request);
    house.handle(Input::Outcome(*ticket, Ok(outcome)));
    house.say(1, from_agent::Message::Heartbeat(agent::Heartbeat::default()));
    // These were sent before the agent could know of its new epoch; it sends them again.
    house.say(1, from_agent::Message::Reports(agent::Reports { epoch: 1, reports: vec![] }));
    let epochs: Vec<u64> =
        house.sent.iter().map(|(_, message)| message.fence.as_ref().unwrap().node_epoch).collect();
    assert_eq!(epochs, [1, 2, 2], "an answer, then the welcome and the set: {:?}", house.sent);
    assert_eq!(house.refusal(1), None);
}

#[test]
fn a_node_whose_session_ends_before_its_registration_is_known_has_a_lease_all_the_same() {
    let mut house = House::new();
    house.hello(1, |_| {});
    house.handle(Input::Closed(ConnectionId(1)));
    house.leader = Leader::new(
        Config::default(),
        CLUSTER,
        1,
        Arc::new(View::of(&Machine::new(), EntryId::default())),
        house.now,
    );
    house.handle(Input::View(Arc::new(house.view.clone())));
    house.pass(4999);
    assert_eq!(house.lost, 0);
    house.pass(1);
    assert_eq!(house.lost, 1);
}

#[test]
fn reports_behind_a_missing_one_end_the_session_so_that_the_agent_sends_from_there() {
    let mut house = House::new();
    house.hello(1, |_| {});
    let update = agent::attempt_report::Update::Started(agent::Started { at_ms: 5 });
    let report = agent::AttemptReport { sequence: 2, attempt: 7, update: Some(update) };
    house.say(1, from_agent::Message::Reports(agent::Reports { epoch: 1, reports: vec![report] }));
    assert_eq!(house.refusal(1), Some(Code::Closed));
}

/// A job of one task that fires every second.
fn every_second() -> Command {
    let task = TaskSpec {
        name: "tick".into(),
        after: Vec::new(),
        count: Count::Single,
        program: ProgramSpec::Fake(FakeProgram {
            runs_for: Millis(1),
            fail_first: 0,
            exit_code: 0,
            output: String::new(),
        }),
        resources: [].into(),
        memory_max: None,
        env: Vec::new(),
        retry: Retry::default(),
        timeout: None,
        stop_grace: Millis(0),
        on_disconnect: OnDisconnect::Keep,
    };
    let spec = JobSpec {
        kind: JobKind::Job,
        tenant: "default".into(),
        name: "every".into(),
        priority: 50,
        schedule: Some(Schedule { when: When::Every(Millis(1000)), overlap: Overlap::AllowAll }),
        tasks: vec![task],
    };
    let (tenant, job) = (spec.tenant.clone(), spec.name.clone());
    Command::Submit(Submit { tenant, job, spec: Some(Arc::new(spec)), start: None })
}

#[test]
fn while_the_clock_is_doubted_nothing_fires_and_afterwards_everything_that_is_due_does() {
    let mut house = House::new();
    let request = Request { key: None, actor: "ann".into(), origin: Origin::Client, command: every_second() };
    house.apply(request);
    house.handle(Input::View(Arc::new(house.view.clone())));
    house.now.holds_fires = true;
    house.pass(3000);
    assert_eq!(house.machine.state().tables().outcomes.len(), 0);
    house.now.holds_fires = false;
    house.pass(1);
    assert_eq!(house.machine.state().tables().outcomes.len(), 3);
}

#[test]
fn what_is_due_by_the_time_of_the_state_goes_on_under_a_leader_whose_clock_is_behind() {
    let mut house = House::new();
    let keyed = |key| Request {
        key: Some(RequestId(key)),
        actor: "ann".into(),
        origin: Origin::Client,
        command: every_second(),
    };
    house.apply(keyed(1));
    let behind = house.now;
    house.skip(25 * 3_600_000);
    house.apply(keyed(2));
    house.now = Now { steady: house.now.steady, ..behind };
    house.handle(Input::View(Arc::new(house.view.clone())));
    let remembered: Vec<_> = house.machine.state().tables().requests.iter().map(|(key, _)| *key).collect();
    assert_eq!(remembered, [RequestId(2)], "the first is forgotten after a day");
}

#[test]
fn a_proposal_that_is_not_taken_is_made_again() {
    let mut house = House::new();
    house.hello(1, |_| {});
    house.pass(4_900);
    house.skip(100);
    let lose = |outputs: &[Output]| match outputs {
        [Output::Propose(ticket, command, Asker::Leader)]
            if matches!(**command, Command::LoseNode { .. }) =>
        {
            Some(*ticket)
        }
        _ => None,
    };
    let ticket = lose(&house.leader.handle(Input::Tick, house.now)).expect("the lease is over");
    let after = house.leader.handle(Input::Outcome(ticket, Err(BUSY)), house.now);
    assert!(after.is_empty(), "it waits a moment");
    house.skip(100);
    assert!(lose(&house.leader.handle(Input::Tick, house.now)).is_some());
}

#[test]
fn what_an_agent_has_said_counts_before_its_lease_is_judged() {
    let mut house = House::new();
    house.hello(1, |_| {});
    house.pass(4_900);
    house.skip(200);
    // The lease is over, but the heartbeat is only just being read.
    house.handle(Input::Opened(ConnectionId(2)));
    house.say(1, from_agent::Message::Heartbeat(agent::Heartbeat::default()));
    house.handle(Input::Tick);
    assert_eq!(house.lost, 0);
    assert_eq!(house.refusal(1), None);
}

#[test]
fn a_leader_that_stood_still_blames_no_node_for_that_time() {
    let mut house = House::new();
    house.hello(1, |_| {});
    house.skip(20_000);
    house.handle(Input::Tick);
    assert_eq!(house.lost, 0);
    house.pass(4_999);
    assert_eq!(house.lost, 0);
    house.pass(1);
    assert_eq!(house.lost, 1);
}

#[test]
fn after_a_gap_the_sessions_of_nodes_that_were_lost_in_it_end() {
    let mut house = House::new();
    house.hello(1, |_| {});
    let state = house.machine.state();
    let node = state.node_named("n1").unwrap();
    let epoch = state.node(node).epoch;
    house.apply_now(Command::LoseNode { node, epoch });
    house.handle(house.view_after_a_gap());
    assert_eq!(house.refusal(1), Some(Code::StaleEpoch));
    assert_eq!(house.leader.nodes_served(), 0);
}

#[test]
fn after_a_gap_the_leader_still_knows_what_is_under_way() {
    let mut house = House::new();
    house.hello(1, |_| {});
    house.pass(4_900);
    house.skip(100);
    let outputs = house.leader.handle(Input::Tick, house.now);
    assert!(matches!(&outputs[..], [Output::Propose(..)]), "the node is being declared lost: {outputs:?}");
    let tenant = berth_core::command::TenantSpec { name: "t".into(), weight: 1, limit: [].into() };
    house.apply_now(Command::ApplyTenant(tenant));
    let outputs = house.leader.handle(house.view_after_a_gap(), house.now);
    let again = outputs.iter().any(|output| matches!(output, Output::Propose(..)));
    assert!(!again, "{outputs:?}");
    house.say(1, from_agent::Message::Heartbeat(agent::Heartbeat::default()));
    assert_eq!(house.refusal(1), Some(Code::StaleEpoch), "it is still being declared lost");
}

/// The ticket of a proposed report.
fn report_proposed(outputs: &[Output]) -> Option<Ticket> {
    outputs.iter().find_map(|output| match output {
        Output::Propose(ticket, command, _) if matches!(**command, Command::Report(_)) => Some(*ticket),
        _ => None,
    })
}

fn a_report() -> Input {
    let update = agent::attempt_report::Update::Started(agent::Started { at_ms: 5 });
    let report = agent::AttemptReport { sequence: 1, attempt: 7, update: Some(update) };
    let message = from_agent::Message::Reports(agent::Reports { epoch: 1, reports: vec![report] });
    Input::Message(ConnectionId(1), Box::new(agent::FromAgent { message: Some(message) }))
}

#[test]
fn a_report_for_which_the_log_is_too_busy_is_proposed_again_and_the_session_goes_on() {
    let mut house = House::new();
    house.hello(1, |_| {});
    let outputs = house.leader.handle(a_report(), house.now);
    let ticket = report_proposed(&outputs).unwrap();
    assert!(house.leader.handle(Input::Outcome(ticket, Err(BUSY)), house.now).is_empty());
    house.skip(100);
    let outputs = house.leader.handle(Input::Tick, house.now);
    assert!(report_proposed(&outputs).is_some_and(|again| again != ticket), "{outputs:?}");
    assert_eq!(house.leader.nodes_served(), 1);
}

#[test]
fn a_report_that_can_never_enter_the_log_is_refused_for_good() {
    let mut house = House::new();
    house.hello(1, |_| {});
    let outputs = house.leader.handle(a_report(), house.now);
    let ticket = report_proposed(&outputs).unwrap();
    house.handle(Input::Outcome(ticket, Err(NotApplied::TooLarge)));
    assert_eq!(house.refusal(1), Some(Code::Invalid));
}
