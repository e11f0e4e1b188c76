//! Three real servers in one process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/requests.rs"]
mod requests;

use std::time::{Duration, Instant};

use berth_core::command::{Command, TenantSpec};
use berth_core::id::RequestId;
use berth_daemon::metrics::{Health, Registry};
use berth_daemon::tasks::Tasks;
use berth_proto::v1::ErrorCode;
use berth_proto::v1::jobs_client::JobsClient;
use berth_scheduler::config::{Birth, Config};
use berth_scheduler::leader;
use berth_scheduler::raft::config::Settings;
use berth_scheduler::raft::driver::Role;
use berth_scheduler::rates::Pace;
use berth_scheduler::server::Server;

use requests::{a_job, submission, write};

const DEADLINE: Duration = Duration::from_secs(30);
/// What clients give one server to answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

struct Running {
    tasks: Tasks,
    server: Server,
}

async fn three(dir: &tempfile::TempDir, settings: &Settings) -> Vec<Running> {
    // Ports that were free a moment ago; the members have to know each other's before they start.
    let free: Vec<_> = (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = free.iter().map(|listener| listener.local_addr().unwrap()).collect();
    drop(free);
    let members: Vec<_> = (1..).zip(addresses.iter().map(ToString::to_string)).collect();
    let mut servers = Vec::new();
    for ((id, _), address) in members.iter().zip(&addresses) {
        let config = Config {
            data_dir: dir.path().join(id.to_string()),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            peer_listen: *address,
            insecure: false,
            birth: Birth::Together { cluster: "test".into(), id: *id, members: members.clone() },
            leader: leader::Config::default(),
            raft: settings.clone(),
            pace: Pace::default(),
        };
        let tasks = Tasks::new();
        let server = Server::start(config, &tasks, &Registry::new(), &Health::new()).await.unwrap();
        servers.push(Running { tasks, server });
    }
    servers
}

async fn leader(servers: &[Running]) -> usize {
    let began = Instant::now();
    loop {
        if let Some(at) = servers.iter().position(|running| running.server.log().leads()) {
            return at;
        }
        assert!(began.elapsed() < DEADLINE, "nobody leads");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_told_to_stop_hands_its_leadership_over_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut servers = three(&dir, &Settings::default()).await;
    let at = leader(&servers).await;
    let Running { tasks, server } = servers.remove(at);
    let status = server.log().node().status();
    tasks.begin_shutdown();
    tokio::time::timeout(DEADLINE, server.ended()).await.unwrap().unwrap();
    assert_ne!(status.borrow().role, Role::Leader, "it led to the end");
    leader(&servers).await;
    for Running { tasks, server } in servers {
        tasks.begin_shutdown();
        tokio::time::timeout(DEADLINE, server.ended()).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_can_commit_nothing_says_in_time_that_the_outcome_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    // Mostly it does not notice in the meantime that nobody follows it any more.
    let mut servers = three(&dir, &Settings { election_ticks: 100, ..Settings::default() }).await;
    let at = leader(&servers).await;
    let Running { tasks, server } = servers.remove(at);
    for follower in &servers {
        follower.tasks.begin_shutdown();
    }
    for follower in servers {
        tokio::time::timeout(DEADLINE, follower.server.ended()).await.unwrap().unwrap();
    }
    let tenant = Command::ApplyTenant(TenantSpec { name: "t".into(), weight: 1, limit: [].into() });
    let began = Instant::now();
    let refused = write(&server, Some(RequestId(1)), tenant).await.unwrap_err();
    assert_eq!((refused.error(), refused.code.as_str()), (ErrorCode::UnknownOutcome, "E504"), "{refused:?}");
    assert!(began.elapsed() < CLIENT_PATIENCE, "after {:?}", began.elapsed());
    tasks.begin_shutdown();
    tokio::time::timeout(DEADLINE, server.ended()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_answers_a_submit_although_the_leader_stops_under_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut servers = three(&dir, &Settings::default()).await;
    let at = leader(&servers).await;
    let stopped = servers.remove(at);
    let request = |key: u8| submission(&a_job(&["a"]), true, key);
    // Nothing here asks again: every request is sent once.
    let mut clients = Vec::new();
    for follower in &servers {
        let address = format!("http://{}", follower.server.address());
        clients.push(JobsClient::connect(address).await.unwrap());
    }
    clients[0].submit(request(1)).await.unwrap();
    stopped.tasks.begin_shutdown();
    for (key, client) in (2..=9).zip([0, 1].into_iter().cycle()) {
        let answer = tokio::time::timeout(CLIENT_PATIENCE, clients[client].submit(request(key))).await;
        let reply = answer.expect("it answers in time").unwrap().into_inner();
        assert!(!reply.run.is_empty(), "{reply:?}");
        // The same request, wherever it is sent, is the same run.
        let again = clients[1 - client].submit(request(key)).await.unwrap().into_inner();
        assert_eq!(again.run, reply.run);
    }
    tokio::time::timeout(DEADLINE, stopped.server.ended()).await.unwrap().unwrap();
    for Running { tasks, server } in servers {
        tasks.begin_shutdown();
        tokio::time::timeout(DEADLINE, server.ended()).await.unwrap().unwrap();
    }
}
