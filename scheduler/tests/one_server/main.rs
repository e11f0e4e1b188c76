//! A real server with its log on disk, spoken to over gRPC: a client submits, an agent played by the test takes the
//! order and reports, and the run ends; callers of less than every right are kept to what is theirs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod refusals;
#[path = "../support/requests.rs"]
mod requests;

use std::sync::Arc;
use std::time::Duration;

use berth_daemon::metrics::{Health, Registry};
use berth_daemon::tasks::Tasks;
use berth_proto::agent::agents_client::AgentsClient;
use berth_proto::agent::{self, from_agent, order, to_agent};
use berth_proto::convert::{facts, status};
use berth_proto::v1::jobs_client::JobsClient;
use berth_proto::v1::runs_client::RunsClient;
use berth_proto::v1::{self, watch_runs_reply};
use berth_scheduler::access::{Everyone, Identify};
use berth_scheduler::config::{Birth, Config};
use berth_scheduler::leader;
use berth_scheduler::raft::config::Settings;
use berth_scheduler::rates::Pace;
use berth_scheduler::server::Server;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use berth_core::job_spec::{ExecutorKind, JobSpec};
use berth_core::model::{ExecutorOffer, NodeFacts};
use berth_core::template::Template;

use requests::{a_job, submission};

const DEADLINE: Duration = Duration::from_secs(20);

struct House {
    tasks: Tasks,
    server: Server,
    channel: Channel,
    registry: Registry,
    _dir: tempfile::TempDir,
}

fn config(dir: &tempfile::TempDir) -> Config {
    Config {
        data_dir: dir.path().join("server"),
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        peer_listen: "127.0.0.1:0".parse().unwrap(),
        insecure: false,
        birth: Birth::Alone { cluster: "test".into() },
        leader: leader::Config::default(),
        raft: Settings::default(),
        pace: Pace::default(),
    }
}

async fn house() -> House {
    house_for(Arc::new(Everyone)).await
}

async fn house_for(callers: Arc<dyn Identify>) -> House {
    build(callers, |config| config).await
}

async fn house_with(change: impl FnOnce(Config) -> Config) -> House {
    build(Arc::new(Everyone), change).await
}

async fn build(callers: Arc<dyn Identify>, change: impl FnOnce(Config) -> Config) -> House {
    let dir = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let registry = Registry::new();
    let config = change(config(&dir));
    let server = Server::start_for(config, callers, &tasks, &registry, &Health::new()).await.unwrap();
    let endpoint = Channel::from_shared(format!("http://{}", server.address())).unwrap();
    let channel = endpoint.connect().await.unwrap();
    House { tasks, server, channel, registry, _dir: dir }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_was_cut_short_is_begun_again_and_goes_on_later() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = config(&dir).data_dir;
    std::fs::create_dir_all(&data_dir).unwrap();
    // As a kill leaves it right after the file was made.
    std::fs::write(data_dir.join("raft-log.redb"), b"").unwrap();
    for _ in 0..2 {
        let tasks = Tasks::new();
        let server = Server::start(config(&dir), &tasks, &Registry::new(), &Health::new()).await.unwrap();
        tokio::time::timeout(DEADLINE, server.log().read(false)).await.unwrap().ok();
        tasks.begin_shutdown();
        server.ended().await.unwrap();
    }
    std::fs::write(data_dir.join("raft-log.redb"), b"").unwrap();
    let lost = Server::start(config(&dir), &Tasks::new(), &Registry::new(), &Health::new()).await;
    assert!(lost.unwrap_err().to_string().contains("is empty"), "a log that was lost is not begun again");
}

/// An agent whose every word is the test's.
struct Played {
    say: mpsc::Sender<agent::FromAgent>,
    hear: Streaming<agent::ToAgent>,
}

impl Played {
    async fn connect(channel: &Channel, name: &str) -> Played {
        let (say, said) = mpsc::channel(16);
        let offer = ExecutorOffer { ready: true, detail: "played".into(), ..ExecutorOffer::default() };
        let facts = NodeFacts {
            capacity: [("cpu".to_owned(), 1000), ("memory".to_owned(), 1 << 30)].into(),
            executors: [(ExecutorKind::Fake, offer)].into(),
            run_dirs: "/tmp/runs".into(),
            ..NodeFacts::default()
        };
        let hello = agent::Hello {
            node: name.into(),
            journal: vec![7; 16].into(),
            incarnation: vec![8; 16].into(),
            facts: Some(facts::to_proto(&facts)),
            protocol: 1,
            ..agent::Hello::default()
        };
        let message = Some(from_agent::Message::Hello(hello));
        say.send(agent::FromAgent { message }).await.unwrap();
        let mut client = AgentsClient::new(channel.clone());
        let hear = client.session(ReceiverStream::new(said)).await.unwrap().into_inner();
        Played { say, hear }
    }

    async fn next(&mut self) -> agent::ToAgent {
        tokio::time::timeout(DEADLINE, self.hear.message()).await.unwrap().unwrap().unwrap()
    }

    /// Orders to start something until there are `count`, and the epoch under which they were given.
    async fn orders(&mut self, count: usize) -> (Vec<agent::Order>, u64) {
        let mut orders: Vec<agent::Order> = Vec::new();
        loop {
            let told = self.next().await;
            let epoch = told.fence.map_or(0, |fence| fence.node_epoch);
            if let Some(to_agent::Message::Refused(refused)) = &told.message {
                panic!("{refused:?}");
            }
            if let Some(to_agent::Message::Desired(desired)) = told.message {
                let start = |order: &agent::Order| matches!(order.intent, Some(order::Intent::Start(_)));
                orders.extend(desired.set.into_iter().filter(start));
            }
            if orders.len() >= count {
                return (orders, epoch);
            }
        }
    }

    async fn report_end(&self, sequence: u64, order: &agent::Order, epoch: u64) {
        let ended = agent::Ended {
            reason: Some(v1::EndReason {
                kind: v1::end_reason::Kind::Succeeded.into(),
                ..Default::default()
            }),
            started_ms: Some(1),
            at_ms: 2,
            memory_peak_bytes: Some(3 << 20),
            cpu_ms: Some(40),
            ..Default::default()
        };
        let update = Some(agent::attempt_report::Update::Ended(ended));
        let report = agent::AttemptReport { sequence, attempt: order.attempt, update };
        let reports = agent::Reports { epoch, reports: vec![report] };
        self.say
            .send(agent::FromAgent { message: Some(from_agent::Message::Reports(reports)) })
            .await
            .unwrap();
    }
}

async fn submit(house: &House, spec: &JobSpec, key: u8) -> v1::SubmitReply {
    let mut jobs = JobsClient::new(house.channel.clone());
    jobs.submit(submission(spec, true, key)).await.unwrap().into_inner()
}

/// Every number is named after its component and explained, and those of consensus and scheduling are there.
fn check_metrics(text: &str) {
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(name.starts_with("berth_raft_") || name.starts_with("berth_scheduler_"), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in:\n{text}")).parse::<f64>().unwrap()
    };
    assert!(value("berth_raft_fsync_seconds_count") >= 1.0);
    assert!(value("berth_raft_fsync_seconds_sum") > 0.0);
    assert_eq!(value("berth_raft_leader_changes_total"), 1.0);
    for lag in ["persist_lag_writes", "apply_lag_entries", "apply_lag_bytes", "in_flight_proposals"] {
        value(&format!("berth_raft_{lag}"));
    }
    assert_eq!(value("berth_scheduler_scheduling_lag_seconds_count"), 2.0, "two tasks waited for no other");
    assert_eq!(value("berth_scheduler_leading_servers"), 1.0);
    assert_eq!(value("berth_scheduler_timer_lag_seconds"), 0.0);
    assert!(value("berth_scheduler_free_disk_bytes") > 0.0);
}

async fn wait_for_leader(house: &House) {
    let mut status = house.server.log().node().status();
    let ready = status.wait_for(|status| status.leader_ready_term.is_some());
    tokio::time::timeout(DEADLINE, ready).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_from_submit_over_an_agent_to_its_end() {
    let house = house().await;
    wait_for_leader(&house).await;
    let mut agent = Played::connect(&house.channel, "n1").await;
    let submitted = submit(&house, &a_job(&["a", "b"]), 1).await;
    assert_eq!(submitted.version, 1);
    let again = submit(&house, &a_job(&["a", "b"]), 1).await;
    assert_eq!((again.run, again.version), (submitted.run.clone(), 1), "the same key has the same answer");

    let (orders, epoch) = agent.orders(2).await;
    assert_ne!(orders[0].attempt, orders[1].attempt);
    agent.report_end(1, &orders[0], epoch).await;
    agent.report_end(2, &orders[1], epoch).await;

    let mut runs = RunsClient::new(house.channel.clone());
    let request = v1::WatchRunsRequest { run: submitted.run.clone(), ..Default::default() };
    let mut watch = runs.watch(request).await.unwrap().into_inner();
    let ended = |view: &v1::RunView| view.state() == v1::RunState::Ended;
    let view = tokio::time::timeout(DEADLINE, async {
        loop {
            match watch.message().await.unwrap().unwrap().message {
                Some(watch_runs_reply::Message::Snapshot(snapshot))
                    if ended(snapshot.run.as_ref().unwrap()) =>
                {
                    return snapshot.run.unwrap();
                }
                Some(watch_runs_reply::Message::Event(event)) => {
                    if let Some(v1::run_event::Now::RunView(view)) =
                        event.now.filter(|_| event.run == submitted.run)
                        && ended(&view)
                    {
                        return view;
                    }
                }
                _ => {}
            }
        }
    });
    let view = view.await.unwrap();
    assert_eq!(view.tasks_succeeded, 2);
    check_metrics(&house.registry.encode());
    assert_eq!(view.reason.unwrap().kind(), v1::end_reason::Kind::Succeeded);
    let request = v1::ListTasksRequest { run: submitted.run.clone(), ..Default::default() };
    let tasks = runs.list_tasks(request).await.unwrap().into_inner().tasks;
    let attempt = &tasks[0].attempts[0];
    assert_eq!((attempt.memory_peak_bytes, attempt.cpu_ms), (Some(3 << 20), Some(40)));

    house.tasks.begin_shutdown();
    tokio::time::timeout(DEADLINE, house.server.ended()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_beyond_the_limit_is_refused_with_its_code_and_nothing_is_registered() {
    let house = house().await;
    wait_for_leader(&house).await;
    let mut spec = a_job(&["a"]);
    let long = Template::parse(&"x".repeat(60_000)).unwrap();
    spec.tasks[0].env = (0..14).map(|n| (format!("V{n}"), long.clone())).collect();
    let request = |spec: &JobSpec| submission(spec, false, 9);
    let mut jobs = JobsClient::new(house.channel.clone());
    let refused = jobs.submit(request(&spec)).await.unwrap_err();
    let detail = status::from_status(&refused).unwrap();
    assert_eq!((detail.error(), detail.code.as_str()), (v1::ErrorCode::Invalid, "E105"), "{detail:?}");
    assert!(detail.message.contains("786432 are the most"), "{detail:?}");
    // Just within it an entry of the log takes it.
    spec.tasks[0].env.truncate(13);
    let taken = jobs.submit(request(&spec)).await.unwrap().into_inner();
    assert_eq!(taken.version, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_exist_is_named_in_the_answer() {
    let house = house().await;
    wait_for_leader(&house).await;
    let mut runs = RunsClient::new(house.channel.clone());
    let request = v1::GetRunRequest { run: "0abc".into(), ..Default::default() };
    let refused = runs.get(request).await.unwrap_err();
    let detail = status::from_status(&refused).unwrap();
    assert_eq!(detail.error(), v1::ErrorCode::UnknownRun);
    assert!(detail.message.contains("0abc"), "{}", detail.message);
}
