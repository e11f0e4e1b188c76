//! An agent with real sockets and files against a server that speaks the protocol.

use std::pin::Pin;

use berth_core::command::AttemptUpdate;
use berth_core::id::ClusterId;
use berth_core::model::Usage;
use berth_core::reason::EndReason;
use berth_core::time::Timestamp;
use berth_executors::fake::{FakeExecutor, World};
use berth_proto::agent as proto;
use berth_proto::agent::agents_server::{Agents, AgentsServer};
use berth_proto::convert::order;
use berth_proto::convert::report::REASON_TEXT_MAX;
use berth_proto::v1::end_reason::Kind;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request as Call, Response, Status, Streaming};

use super::*;
use crate::journal::Journal;
use crate::planned::{a_launch, start_of, stop};

const TERM: u64 = 3;
const EPOCH: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(20);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The server's end of the streams, handed to the test.
#[derive(Debug)]
enum Came {
    Session(Streaming<proto::FromAgent>, mpsc::Sender<Result<proto::ToAgent, Status>>),
    Logs(Streaming<proto::LogFrame>, mpsc::Sender<Result<proto::LogRequest, Status>>),
}

#[derive(Debug)]
struct Leader {
    came: mpsc::Sender<Came>,
}

#[tonic::async_trait]
impl Agents for Leader {
    type SessionStream = Answers<proto::ToAgent>;
    type LogsStream = Answers<proto::LogRequest>;

    async fn session(
        &self,
        call: Call<Streaming<proto::FromAgent>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (answers, queue) = mpsc::channel(16);
        self.came.send(Came::Session(call.into_inner(), answers)).await.unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }

    async fn logs(
        &self,
        call: Call<Streaming<proto::LogFrame>>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let (answers, queue) = mpsc::channel(16);
        self.came.send(Came::Logs(call.into_inner(), answers)).await.unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }
}

/// A session as the test leads it.
struct Session {
    from: Streaming<proto::FromAgent>,
    to: mpsc::Sender<Result<proto::ToAgent, Status>>,
    index: u64,
}

impl Session {
    async fn next(&mut self) -> proto::from_agent::Message {
        let next = tokio::time::timeout(PATIENCE, self.from.next()).await;
        next.expect("a message in time").expect("an open session").unwrap().message.unwrap()
    }

    async fn say(&self, message: proto::to_agent::Message) {
        let fence = proto::Fence {
            cluster_id: ClusterId(1).0.to_be_bytes().to_vec().into(),
            cluster_epoch: 0,
            term: TERM,
            node_epoch: EPOCH,
        };
        self.to.send(Ok(proto::ToAgent { fence: Some(fence), message: Some(message) })).await.unwrap();
    }

    async fn desire(&mut self, full: bool, set: Vec<crate::message::Order>) {
        self.index += 1;
        let generation = Some(proto::Generation { term: TERM, index: self.index });
        let set = set.iter().map(order::to_proto).collect();
        let desired = proto::Desired { generation, full, more: false, set, forget: Vec::new() };
        self.say(proto::to_agent::Message::Desired(desired)).await;
    }

    /// The next report; heartbeats and reports are answered on the way.
    async fn reports(&mut self) -> Vec<proto::AttemptReport> {
        loop {
            match self.next().await {
                proto::from_agent::Message::Heartbeat(beat) => {
                    let ack = proto::HeartbeatAck { boot_ms: beat.boot_ms, lease_ms: 5_000 };
                    self.say(proto::to_agent::Message::HeartbeatAck(ack)).await;
                }
                proto::from_agent::Message::Reports(reports) => {
                    assert_eq!(reports.epoch, EPOCH);
                    let up_to = reports.reports.last().unwrap().sequence;
                    self.say(proto::to_agent::Message::ReportsAck(proto::ReportsAck { up_to })).await;
                    return reports.reports;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The reason of the next end.
    async fn end(&mut self) -> berth_proto::v1::EndReason {
        loop {
            for report in self.reports().await {
                if let Some(proto::attempt_report::Update::Ended(ended)) = report.update {
                    return ended.reason.unwrap();
                }
            }
        }
    }
}

/// A server on a port of its own, in a task of the group.
async fn leader(tasks: &Tasks) -> (String, mpsc::Receiver<Came>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (came, arrivals) = mpsc::channel(16);
    let stop = tasks.token();
    tasks.spawn("test.leader", berth_daemon::tasks::OnFailure::Log, async move {
        tonic::transport::Server::builder()
            .add_service(AgentsServer::new(Leader { came }))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
            .await
    });
    (address, arrivals)
}

async fn greeted(arrivals: &mut mpsc::Receiver<Came>) -> (Session, proto::Hello) {
    loop {
        let came = tokio::time::timeout(PATIENCE, arrivals.recv()).await.expect("a session in time");
        let Some(Came::Session(from, to)) = came else { continue };
        let mut session = Session { from, to, index: 0 };
        let proto::from_agent::Message::Hello(hello) = session.next().await else { panic!("no hello") };
        let welcome =
            proto::Welcome { node: 1, lease_ms: 5_000, heartbeat_ms: 1_000, reported: hello.reported };
        session.say(proto::to_agent::Message::Welcome(welcome)).await;
        return (session, hello);
    }
}

fn agent(config: Config, world: &World, tasks: &Tasks) -> AgentHandle {
    let (sink, events) = executor_events();
    let executors: Vec<Box<dyn Executor>> = vec![Box::new(FakeExecutor::real_time(world.clone(), sink))];
    let parts = Parts {
        executors,
        retired: Box::new(|_| None),
        events,
        log_sources: BTreeMap::new(),
        registry: Registry::new(),
    };
    start(config, parts, tasks).unwrap()
}

fn fake_order(attempt: u64, runs_for: u64) -> crate::message::Order {
    let program =
        crate::message::Program::Fake { runs_for: Millis(runs_for), exit_code: 0, output: "k=v\n".into() };
    start_of(attempt, crate::message::Launch { program, ..a_launch() })
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_what_the_leader_wants_and_a_restart_finds_it_again() {
    let home = tempfile::tempdir().unwrap();
    let (world, server) = (World::real_time(), Tasks::new());
    let (address, mut arrivals) = leader(&server).await;
    // The first server does not answer.
    let servers = vec!["127.0.0.1:1".to_owned(), address];
    let config = Config::new("n1", servers, home.path());

    let tasks = Tasks::new();
    agent(config.clone(), &world, &tasks);
    let (mut session, first) = greeted(&mut arrivals).await;
    assert_eq!((first.node.as_str(), first.epoch), ("n1", 0));
    assert!(first.facts.unwrap().capacity["cpu"] > 0);
    session.desire(true, vec![]).await;
    session.desire(false, vec![fake_order(1, 10), fake_order(2, 600_000)]).await;
    assert_eq!(session.end().await.kind(), Kind::Succeeded);
    tasks.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(world.running(), [AttemptHandle(2)]);

    let tasks = Tasks::new();
    let handle = agent(config, &world, &tasks);
    let (mut session, again) = greeted(&mut arrivals).await;
    assert_eq!((&again.journal, again.epoch, again.term), (&first.journal, EPOCH, TERM));
    assert_ne!(again.incarnation, first.incarnation);
    session.index = 100;
    session.desire(true, vec![fake_order(2, 600_000)]).await;
    session.desire(false, vec![crate::message::Order { name: "a2".into(), ..stop(2) }]).await;
    let reason = loop {
        let reason = session.end().await;
        // The first attempt may be told again.
        if reason.kind() != Kind::Succeeded {
            break reason;
        }
    };
    assert_eq!((reason.kind(), reason.number), (Kind::FailedSignal, 15));
    assert_eq!(handle.figures().await.unwrap().live, 0);
    tasks.shutdown(Duration::from_secs(10)).await.unwrap();
    server.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_is_not_offered_any_more_sees_its_attempts_through_and_gets_no_new_ones() {
    let home = tempfile::tempdir().unwrap();
    let (world, server) = (World::real_time(), Tasks::new());
    let (address, mut arrivals) = leader(&server).await;
    let config = Config::new("n1", vec![address], home.path());
    let tasks = Tasks::new();
    agent(config.clone(), &world, &tasks);
    let (mut session, _) = greeted(&mut arrivals).await;
    session.desire(true, vec![fake_order(1, 600_000)]).await;
    assert!(matches!(session.reports().await[0].update, Some(proto::attempt_report::Update::Started(_))));
    tasks.shutdown(Duration::from_secs(10)).await.unwrap();

    let tasks = Tasks::new();
    let (sink, events) = executor_events();
    let later = world.clone();
    let retired = Box::new(move |kind| {
        assert_eq!(kind, ExecutorKind::Fake);
        Some(Box::new(FakeExecutor::real_time(later.clone(), sink.clone())) as Box<dyn Executor>)
    });
    let (executors, log_sources, registry) = (Vec::new(), BTreeMap::new(), Registry::new());
    start(config, Parts { executors, retired, events, log_sources, registry }, &tasks).unwrap();
    let (mut session, hello) = greeted(&mut arrivals).await;
    assert!(hello.facts.unwrap().executors.is_empty());
    session.index = 100;
    session.desire(true, vec![fake_order(1, 600_000), fake_order(2, 10)]).await;
    assert_eq!(session.end().await.kind(), Kind::StartFailed);
    assert_eq!(world.running(), [AttemptHandle(1)]);
    session.desire(false, vec![crate::message::Order { name: "a1".into(), ..stop(1) }]).await;
    assert_eq!(session.end().await.kind(), Kind::FailedSignal);
    tasks.shutdown(Duration::from_secs(10)).await.unwrap();
    server.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_takes_its_attempts_with_it_reports_their_ends_first() {
    let home = tempfile::tempdir().unwrap();
    let (world, server, tasks) = (World::real_time(), Tasks::new(), Tasks::new());
    let (address, mut arrivals) = leader(&server).await;
    let config = Config { stop_tasks_at_end: true, ..Config::new("n1", vec![address], home.path()) };
    agent(config, &world, &tasks);
    let (mut session, _) = greeted(&mut arrivals).await;
    session.desire(true, vec![fake_order(1, 600_000)]).await;
    assert!(matches!(session.reports().await[0].update, Some(proto::attempt_report::Update::Started(_))));
    tasks.begin_shutdown();
    assert_eq!(session.end().await.kind(), Kind::Preempted);
    tasks.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(world.running(), []);
    server.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_with_endless_texts_that_an_earlier_release_left_behind_get_through() {
    let home = tempfile::tempdir().unwrap();
    let files = Files::new(home.path().to_owned());
    let (mut journal, _) = Journal::open(files, JournalId(1), &boot_id().unwrap()).unwrap();
    let end = AttemptUpdate::Ended {
        reason: EndReason::StartFailed("x".repeat(500_000).into()),
        started: None,
        at: Timestamp(6),
        output: Vec::new(),
        usage: Usage::default(),
    };
    // Together they are larger than any message that a server takes.
    for attempt in 1..=20 {
        journal.take_on(&[&fake_order(attempt, 10)]).unwrap();
        journal.note_end(&format!("a{attempt}"), AttemptHandle(attempt), &end).unwrap();
    }
    drop(journal);
    let (world, server, tasks) = (World::real_time(), Tasks::new(), Tasks::new());
    let (address, mut arrivals) = leader(&server).await;
    agent(Config::new("n1", vec![address], home.path()), &world, &tasks);
    let (mut session, _) = greeted(&mut arrivals).await;
    let mut told = 0;
    while told < 20 {
        for report in session.reports().await {
            let Some(proto::attempt_report::Update::Ended(ended)) = report.update else { panic!("no end") };
            assert_eq!(ended.reason.unwrap().text.len(), REASON_TEXT_MAX);
            told += 1;
        }
    }
    tasks.shutdown(Duration::from_secs(10)).await.unwrap();
    server.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_served_beside_the_session_within_their_credit() {
    let home = tempfile::tempdir().unwrap();
    let (world, server, tasks) = (World::real_time(), Tasks::new(), Tasks::new());
    let (address, mut arrivals) = leader(&server).await;
    agent(Config::new("n1", vec![address], home.path()), &world, &tasks);
    let (mut session, _) = greeted(&mut arrivals).await;
    session.desire(true, vec![fake_order(1, 10)]).await;
    session.end().await;
    let log = home.path().join("attempts/a1/log");
    fs::create_dir_all(&log).unwrap();
    fs::write(log.join("stdout.0"), "hello\n").unwrap();
    fs::write(log.join("stdout.0.idx"), [0; 16]).unwrap();
    let came = tokio::time::timeout(PATIENCE, arrivals.recv()).await.expect("a stream of logs in time");
    let Some(Came::Logs(mut frames, requests)) = came else { panic!("no stream of logs") };
    let hello = frames.next().await.unwrap().unwrap();
    assert!(matches!(hello.message, Some(proto::log_frame::Message::Hello(hello)) if hello.epoch == EPOCH));
    let ask = |id, message| proto::LogRequest { id, message: Some(message) };
    let open = proto::LogOpen { attempt: 1, stream: 1, follow: true, credit_bytes: 4, ..Default::default() };
    requests.send(Ok(ask(7, proto::log_request::Message::Open(open)))).await.unwrap();
    let mut text = Vec::new();
    let complete = loop {
        let frame = tokio::time::timeout(PATIENCE, frames.next()).await.expect("a frame in time");
        let frame = frame.unwrap().unwrap();
        assert_eq!(frame.id, 7);
        match frame.message.unwrap() {
            proto::log_frame::Message::Data(data) => {
                assert!(data.data.len() <= 4);
                text.extend_from_slice(&data.data);
                let more = proto::log_request::Message::CreditBytes(4);
                requests.send(Ok(ask(7, more))).await.unwrap();
            }
            proto::log_frame::Message::End(end) => break end.complete,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((text.as_slice(), complete), (&b"hello\n"[..], true));
    tasks.shutdown(Duration::from_secs(10)).await.unwrap();
    server.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[test]
fn an_agent_without_servers_does_not_start() {
    let (_, events) = executor_events();
    let parts = Parts {
        executors: Vec::new(),
        retired: Box::new(|_| None),
        events,
        log_sources: BTreeMap::new(),
        registry: Registry::new(),
    };
    let config = Config::new("n1", Vec::new(), "/nowhere");
    assert!(matches!(start(config, parts, &Tasks::new()), Err(Error::NoServers)));
}
