use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use prost::bytes::Bytes;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Config, Deps, Fatal, Node, NodeHandle, StartError};
use crate::raft::config::Settings;
use crate::raft::driver::{ChangeRequest, ProposeError, Role};
use crate::raft::identity::{self, Identity};
use crate::raft::membership::{Membership, Standing};
use crate::raft::metrics::Metrics;
use crate::raft::recovery::{self, Birth};
use crate::raft::testing::{Notebook, cluster};
use crate::raft::transport::{self, ForwardHandler, Refusal};

/// A request that is never answered.
const NEVER: &[u8] = b"never";

struct Echo(u64);

#[async_trait]
impl ForwardHandler for Echo {
    async fn forward(&self, request: Bytes) -> Result<Bytes, tonic::Status> {
        if request.as_ref() == NEVER {
            std::future::pending::<()>().await;
        }
        Ok(Bytes::from([request.as_ref(), self.0.to_string().as_bytes()].concat()))
    }
}

struct Running {
    node: Node,
    handle: NodeHandle<usize>,
    shutdown: CancellationToken,
}

impl Running {
    async fn stop(self) -> Result<(), Fatal> {
        let Self { node, handle, shutdown } = self;
        drop(handle);
        shutdown.cancel();
        node.ended().await
    }

    fn is_leader(&self) -> bool {
        self.handle.status().borrow().leader_ready_term.is_some()
    }
}

struct House {
    directory: tempfile::TempDir,
    addresses: Vec<String>,
    settings: Settings,
}

impl House {
    /// Ports that were free a moment ago; they are needed before the members start, to name them to each other.
    async fn new(members: usize) -> (Self, Vec<TcpListener>) {
        let mut listeners = Vec::new();
        for _ in 0..members {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let addresses = listeners.iter().map(|l| l.local_addr().unwrap().to_string()).collect();
        let directory = tempfile::tempdir().unwrap();
        (Self { directory, addresses, settings: cluster::settings() }, listeners)
    }

    fn membership(&self) -> Membership {
        Membership::first((1..).zip(self.addresses.iter().take(3).cloned()))
    }

    fn identity(&self, member: u64, incarnation: u64) -> Identity {
        let members: Vec<_> = self.membership().members().cloned().collect();
        Identity { cluster: identity::cluster_id("test", &members), member, incarnation }
    }

    fn path(&self, member: u64) -> std::path::PathBuf {
        self.directory.path().join(member.to_string())
    }

    fn start_with(&self, member: u64, listener: TcpListener, birth: Birth) -> Result<Running, StartError> {
        let shutdown = CancellationToken::new();
        let index = usize::try_from(member - 1).unwrap();
        let config = Config {
            directory: self.path(member),
            birth,
            address: self.addresses[index].clone(),
            peers: (1..).zip(self.addresses.iter().take(3).cloned()).collect(),
            settings: self.settings.clone(),
            seed: member,
            runtime: tokio::runtime::Handle::current(),
            shutdown: shutdown.clone(),
        };
        let deps = Deps {
            initial: Notebook::default(),
            observer: (),
            listener,
            forward: Arc::new(Echo(member)),
            metrics: Arc::new(Metrics::default()),
        };
        let (node, handle) = Node::start(config, deps)?;
        Ok(Running { node, handle, shutdown })
    }

    fn start(&self, member: u64, listener: TcpListener) -> Running {
        let identity = self.identity(member, member * 100);
        let birth = Birth::Bootstrap { identity, membership: self.membership() };
        self.start_with(member, listener, birth).unwrap()
    }

    async fn rebind(&self, member: u64) -> TcpListener {
        let index = usize::try_from(member - 1).unwrap();
        wait(|| std::net::TcpListener::bind(&self.addresses[index]).is_ok()).await;
        TcpListener::bind(&self.addresses[index]).await.unwrap()
    }
}

async fn wait(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "it did not come about");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Tries on whichever member leads until one takes it.
async fn propose(running: &[Option<Running>], text: &str) -> u64 {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody takes a proposal");
        for member in running.iter().flatten() {
            let status = member.handle.status().borrow().clone();
            if status.role != Role::Leader {
                continue;
            }
            match member.handle.propose(status.term, Bytes::from(text.to_owned())).await {
                Ok((entry, _)) => return entry.index,
                Err(ProposeError::TooLarge { .. } | ProposeError::Stopped) => panic!("not refused for good"),
                Err(ProposeError::NotLeader { .. } | ProposeError::Busy { .. } | ProposeError::Unknown) => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn three() -> (House, Vec<Option<Running>>) {
    let (house, listeners) = House::new(4).await;
    let running = (1..).zip(listeners).take(3).map(|(id, l)| Some(house.start(id, l))).collect();
    (house, running)
}

async fn stop_all(running: Vec<Option<Running>>) {
    for member in running.into_iter().flatten() {
        member.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_takes_writes_when_the_old_one_is_gone_and_everything_is_still_there() {
    let (house, mut running) = three().await;
    for number in 0..50 {
        propose(&running, &format!("before {number}")).await;
    }
    let leader = running.iter().position(|m| m.as_ref().unwrap().is_leader()).unwrap();
    running[leader].take().unwrap().stop().await.unwrap();
    for number in 0..50 {
        propose(&running, &format!("after {number}")).await;
    }
    let member = u64::try_from(leader).unwrap() + 1;
    let listener = house.rebind(member).await;
    running[leader] = Some(house.start_with(member, listener, Birth::Existing).unwrap());
    let last = propose(&running, "last").await;
    for member in running.iter().flatten() {
        wait(|| member.handle.status().borrow().leader.is_some()).await;
        assert!(member.handle.read_index().await.unwrap() >= last);
        assert!(member.handle.applied().borrow().index >= last);
    }
    stop_all(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_forwards_to_the_leader() {
    let (_house, running) = three().await;
    propose(&running, "one").await;
    let leader = running.iter().position(|m| m.as_ref().unwrap().is_leader()).unwrap();
    let follower = running.iter().flatten().find(|m| !m.is_leader()).unwrap();
    wait(|| follower.handle.status().borrow().leader.is_some()).await;
    let reply = follower.handle.forward(Bytes::from_static(b"to ")).await.unwrap();
    assert_eq!(reply, Bytes::from(format!("to {}", leader + 1)));
    stop_all(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_request_does_not_outlive_its_leader_or_wait_for_ever() {
    let (_house, running) = three().await;
    propose(&running, "one").await;
    let leader = running.iter().flatten().find(|m| m.is_leader()).unwrap();
    let follower = running.iter().flatten().find(|m| !m.is_leader()).unwrap();
    wait(|| follower.handle.status().borrow().leader.is_some()).await;
    let ask = || tokio::time::timeout(Duration::from_secs(20), follower.handle.forward(NEVER.into()));
    let unanswered = ask().await.expect("it is given up");
    assert!(matches!(unanswered, Err(transport::Error::Unanswered { .. })), "{unanswered:?}");
    let began = Instant::now();
    let (unanswered, transferred) = tokio::join!(ask(), leader.handle.transfer_leadership(None));
    transferred.unwrap();
    assert!(matches!(unanswered.unwrap(), Err(transport::Error::Unanswered { .. })));
    assert!(began.elapsed() < Duration::from_secs(3), "it waited for {:?}", began.elapsed());
    stop_all(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_joins_gets_a_snapshot_and_then_its_vote() {
    let (house, mut running) = three().await;
    for number in 0..200 {
        propose(&running, &format!("{number}")).await;
    }
    let leader = running.iter().flatten().find(|m| m.is_leader()).unwrap();
    let address = house.addresses[3].clone();
    let done = leader.handle.change_membership(ChangeRequest::Add { address }).await.unwrap();
    assert_eq!(done.id, 4);
    let listener = house.rebind(4).await;
    let birth = Birth::Join { identity: house.identity(4, 400) };
    running.push(Some(house.start_with(4, listener, birth).unwrap()));
    let newest = running[3].as_ref().unwrap();
    let mut status = newest.handle.status();
    let voter = status
        .wait_for(|status| status.membership.get(4).is_some_and(|member| member.standing == Standing::Voter));
    tokio::time::timeout(Duration::from_secs(20), voter).await.unwrap().unwrap();
    let last = propose(&running, "last").await;
    newest.handle.wait_applied(last).await.unwrap();
    stop_all(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lost_its_directory_is_not_let_in_under_its_id() {
    let (house, mut running) = three().await;
    propose(&running, "one").await;
    let victim = running.iter().position(|m| !m.as_ref().unwrap().is_leader()).unwrap();
    let member = u64::try_from(victim).unwrap() + 1;
    let handles: Vec<_> = running.iter().flatten().map(|m| m.handle.clone()).collect();
    let last = propose(&running, "two").await;
    for handle in &handles {
        handle.wait_applied(last).await.unwrap();
    }
    drop(handles);
    running[victim].take().unwrap().stop().await.unwrap();
    std::fs::remove_dir_all(house.path(member)).unwrap();

    let listener = house.rebind(member).await;
    let refused = house.start_with(member, listener, Birth::Existing).err().unwrap();
    assert!(matches!(refused, StartError::Recovery(recovery::Error::Empty)), "{refused}");

    let listener = house.rebind(member).await;
    let identity = house.identity(member, 777);
    let birth = Birth::Bootstrap { identity, membership: house.membership() };
    let again = house.start_with(member, listener, birth).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), again.node.ended()).await.unwrap();
    assert!(
        matches!(ended, Err(Fatal::Refused { refusal: Refusal::OtherIncarnation { .. }, .. })),
        "{ended:?}"
    );
    stop_all(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_removed_is_told_while_its_stream_lives_and_ends() {
    let (_house, mut running) = three().await;
    propose(&running, "one").await;
    let victim = running.iter().position(|m| !m.as_ref().unwrap().is_leader()).unwrap();
    let id = u64::try_from(victim).unwrap() + 1;
    let leader = running.iter().flatten().find(|m| m.is_leader()).unwrap();
    leader.handle.change_membership(ChangeRequest::Remove { id }).await.unwrap();
    let removed = running[victim].take().unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), removed.node.ended()).await.unwrap();
    assert!(
        matches!(ended, Err(Fatal::Removed { .. } | Fatal::Refused { refusal: Refusal::Removed { .. }, .. })),
        "{ended:?}"
    );
    propose(&running, "two").await;
    stop_all(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_that_lost_its_directories_does_not_begin_an_empty_cluster() {
    let (house, mut running) = three().await;
    propose(&running, "one").await;
    for member in running.drain(..) {
        member.unwrap().stop().await.unwrap();
    }
    let mut again = Vec::new();
    for member in [2, 3] {
        std::fs::remove_dir_all(house.path(member)).unwrap();
        let listener = house.rebind(member).await;
        let identity = house.identity(member, 700 + member);
        let birth = Birth::Bootstrap { identity, membership: house.membership() };
        again.push(house.start_with(member, listener, birth).unwrap());
    }
    let mut status = again[0].handle.status();
    let elected = status.wait_for(|status| status.leader.is_some());
    assert!(tokio::time::timeout(Duration::from_secs(4), elected).await.is_err(), "they elected a leader");
    let first = house.start(1, house.rebind(1).await);
    for member in again {
        let ended = tokio::time::timeout(Duration::from_secs(20), member.node.ended()).await.unwrap();
        assert!(
            matches!(ended, Err(Fatal::Refused { refusal: Refusal::OtherIncarnation { .. }, .. })),
            "{ended:?}"
        );
    }
    first.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_have_met_need_only_a_majority_when_they_start_again() {
    let (house, running) = three().await;
    propose(&running, "one").await;
    let_each_lead_and_stop(running).await;
    let mut again = Vec::new();
    for member in [2, 3] {
        again.push(Some(house.start(member, house.rebind(member).await)));
    }
    propose(&again, "two").await;
    stop_all(again).await;
}

/// Lets each member lead once, which only one can that has met all the others, and stops them.
async fn let_each_lead_and_stop(mut running: Vec<Option<Running>>) {
    for wanted in 1..=3 {
        let began = Instant::now();
        while !running[wanted - 1].as_ref().unwrap().is_leader() {
            assert!(began.elapsed() < Duration::from_secs(20), "member {wanted} never leads");
            for member in running.iter().flatten().filter(|member| member.is_leader()) {
                // Refused while the last transfer is under way or nobody was heard of lately.
                let _ = member.handle.transfer_leadership(Some(wanted.try_into().unwrap())).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    for member in running.drain(..) {
        member.unwrap().stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_of_one_member_only() {
    let (house, mut listeners) = House::new(3).await;
    let first = house.start(1, listeners.remove(0));
    first.stop().await.unwrap();
    std::fs::rename(house.path(1), house.path(2)).unwrap();
    let birth = Birth::Bootstrap { identity: house.identity(2, 200), membership: house.membership() };
    let refused = house.start_with(2, listeners.remove(0), birth).err().unwrap();
    assert!(matches!(refused, StartError::Recovery(recovery::Error::OtherMember { .. })), "{refused}");
    assert!(Path::new(&house.path(2)).exists());
}
