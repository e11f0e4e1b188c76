//! Three real servers in one process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/requests.rs"]
mod requests;
#[path = "support/servers.rs"]
mod servers;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_core::command::{Command, TenantSpec};
use berth_core::id::RequestId;
use berth_daemon::metrics::{Health, Registry};
use berth_daemon::tasks::Tasks;
use berth_proto::convert::envelope;
use berth_proto::v1::ErrorCode;
use berth_proto::v1::jobs_client::JobsClient;
use berth_scheduler::machine::HASH_EVERY;
use berth_scheduler::raft::config::Settings;
use berth_scheduler::raft::driver::Role;
use berth_scheduler::raft::store::{LogStore, WriteBatch};
use berth_scheduler::server::Server;
use redb::backends::FileBackend;

use requests::{a_job, submission, write};
use servers::{DEADLINE, Running, leader, start_all, three_configs};

/// What clients give one server to answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

/// Directories of three members.
fn dirs(within: &tempfile::TempDir) -> [PathBuf; 3] {
    ["1", "2", "3"].map(|id| within.path().join(id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_told_to_stop_hands_its_leadership_over_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut servers = start_all(&three_configs(dirs(&dir))).await;
    let at = leader(&servers).await;
    let Running { tasks, server } = servers.remove(at);
    let status = server.log().node().status();
    tasks.begin_shutdown();
    tokio::time::timeout(DEADLINE, server.ended()).await.unwrap().unwrap();
    assert_ne!(status.borrow().role, Role::Leader, "it led to the end");
    leader(&servers).await;
    for running in servers {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_can_commit_nothing_says_in_time_that_the_outcome_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    // Mostly it does not notice in the meantime that nobody follows it any more.
    let mut configs = three_configs(dirs(&dir));
    for config in &mut configs {
        config.raft = Settings { election_ticks: 100, ..Settings::default() };
    }
    let mut servers = start_all(&configs).await;
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
    let mut servers = start_all(&three_configs(dirs(&dir))).await;
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
    for running in servers {
        running.stop().await;
    }
}

/// Opens the log of a stopped member and gives tenants another weight than the one that was agreed on, as a bug or a
/// disk that its checksums miss would.
fn falsify(data_dir: &Path) {
    let file = File::options().read(true).write(true).open(data_dir.join("raft-log.redb")).unwrap();
    let (store, mut recovered) = LogStore::open(FileBackend::new(file).unwrap()).unwrap();
    let mut changed = 0;
    for entry in recovered.entries.iter_mut().filter(|entry| !entry.data.is_empty()) {
        let mut envelope = envelope::decode(&entry.data).unwrap();
        if let Command::ApplyTenant(spec) = &mut envelope.command {
            spec.weight += 1;
            entry.data = envelope::encode(&envelope).into();
            changed += 1;
        }
    }
    assert_ne!(changed, 0, "there was something to change");
    store.write(&[WriteBatch { number: 1, entries: recovered.entries, ..WriteBatch::default() }]).unwrap();
}

fn applied(running: &Running) -> u64 {
    running.server.log().node().status().borrow().applied.index
}

/// Waits until this member has applied what the others have at this moment.
async fn catch_up(running: &Running, index: u64) {
    let mut status = running.server.log().node().status();
    let caught_up = status.wait_for(|status| status.applied.index >= index);
    tokio::time::timeout(DEADLINE, caught_up).await.unwrap().unwrap();
}

/// Fills the log up to the index at which the members compare themselves, by writes at this one.
async fn write_until_compared(running: &Running) {
    let began = Instant::now();
    while applied(running) <= HASH_EVERY {
        assert!(began.elapsed() < DEADLINE, "at entry {}", applied(running));
        let one = || write(&running.server, None, Command::ApplyTenant(tenant("busy")));
        // Those in doubt when the leader stops are nobody's loss.
        let _ = futures_util::future::join_all((0..256).map(|_| one())).await;
    }
}

fn tenant(name: &str) -> TenantSpec {
    TenantSpec { name: name.into(), weight: 1, limit: [].into() }
}

/// One of three members has another state than the two others; it leads, or it follows.
async fn a_member_differs(leads: bool) {
    let dir = tempfile::tempdir().unwrap();
    let configs = three_configs(dirs(&dir));
    let mut servers = start_all(&configs).await;
    let at = (leader(&servers).await + 1) % 3;
    write(&servers[0].server, None, Command::ApplyTenant(tenant("odd"))).await.unwrap();
    catch_up(&servers[at], applied(&servers[0])).await;

    servers.remove(at).stop().await;
    falsify(&configs[at].data_dir);
    let odd = Running::start(configs[at].clone()).await;
    let healthy = servers;
    if leads {
        let id = odd.server.log().node().identity().member;
        catch_up(&odd, applied(&healthy[0])).await;
        let before = leader(&healthy).await;
        healthy[before].server.log().node().transfer_leadership(Some(id)).await.unwrap();
        let began = Instant::now();
        while !odd.server.log().leads() {
            assert!(began.elapsed() < DEADLINE, "it does not lead");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    write_until_compared(&healthy[0]).await;

    tokio::time::timeout(DEADLINE, odd.tasks.stopping()).await.expect("it finds that it differs");
    let failure = odd.tasks.failure().unwrap();
    assert_eq!(failure.task, "agreement", "{failure}");
    tokio::time::timeout(DEADLINE, odd.server.ended()).await.unwrap().unwrap();
    assert!(configs[at].data_dir.join("state-differs").exists());
    let refused = Server::start(configs[at].clone(), &Tasks::new(), &Registry::new(), &Health::new()).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("`berth operator remove`"), "it says the way out: {refused}");

    leader(&healthy).await;
    write(&healthy[0].server, None, Command::ApplyTenant(tenant("more"))).await.unwrap();
    for running in healthy {
        assert_eq!(running.tasks.failure(), None, "the healthy ones go on");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_state_differs_stops_and_does_not_start_again() {
    a_member_differs(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_state_differs_stops_and_stops_nobody_else() {
    a_member_differs(true).await;
}
