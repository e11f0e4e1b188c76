//! A server on a small disk of its own that runs full. Needs root, to mount it; says so and passes without.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program, which says when it is skipped")]

#[path = "support/requests.rs"]
mod requests;
#[path = "support/servers.rs"]
mod servers;

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_core::command::{Command, Origin, Submit, TenantSpec};
use berth_core::id::{RequestId, RunId};
use berth_core::job_spec::JobSpec;
use berth_core::reply::Reply;
use berth_core::template::Template;
use berth_proto::convert::envelope;
use berth_proto::v1::operator_client::OperatorClient;
use berth_proto::v1::{ErrorCode, ErrorDetail, StatusReply, StatusRequest};
use berth_scheduler::clock_watch;
use berth_scheduler::log::Request;
use berth_scheduler::server::Server;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use servers::{DEADLINE, Running, alone_config, leader, start_all, three_configs};

/// The log grows by whole megabytes, which are not to be a share of it that matters.
const DISK_BYTES: u64 = 512 << 20;

/// A file system in memory, gone with the value.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    fn new() -> Option<Disk> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={DISK_BYTES}");
        let mounted = mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(size.as_str()));
        match mounted {
            Ok(()) => Some(Disk { dir }),
            Err(error) => {
                eprintln!("SKIPPED: no disk of its own to fill: {error}");
                None
            }
        }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }

    /// Writes until only so many bytes are free; as many as go for 0.
    fn fill(&self, free: u64) {
        let available = || {
            let disk = nix::sys::statvfs::statvfs(self.dir.path()).unwrap();
            disk.blocks_available() * disk.fragment_size()
        };
        let mut held = std::fs::metadata(self.ballast()).map_or(0, |file| file.len());
        while available() > free {
            held += available() - free;
            let file = std::fs::OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
            let missing = held - file.metadata().unwrap().len();
            let written = std::io::Write::write(&mut &file, &vec![1; usize::try_from(missing).unwrap()]);
            if written.is_err() {
                return;
            }
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(self.dir.path(), MntFlags::MNT_DETACH);
    }
}

async fn start(dir: &Path) -> Running {
    let running = Running::start(alone_config(dir.join("server"))).await;
    let mut status = running.server.log().node().status();
    let ready = status.wait_for(|status| status.leader_ready_term.is_some());
    tokio::time::timeout(DEADLINE, ready).await.unwrap().unwrap();
    running
}

/// A job whose spec takes some room in the log.
fn a_large_job(name: &str) -> JobSpec {
    let mut spec = JobSpec { tenant: "t".into(), name: name.into(), ..requests::a_job(&["a"]) };
    spec.tasks[0].env = vec![("FILLER".into(), Template::parse(&"x".repeat(60_000)).unwrap())];
    spec
}

fn request(key: u128, command: Command) -> Request {
    Request { key: Some(RequestId(key)), actor: "test".into(), origin: Origin::Client, command }
}

fn tenant() -> Request {
    request(1, Command::ApplyTenant(TenantSpec { name: "t".into(), weight: 1, limit: [].into() }))
}

fn submit(key: u128) -> Request {
    let name = format!("job-{key}");
    let start = Some(RequestId(key));
    let spec = Some(Arc::new(a_large_job(&name)));
    request(key, Command::Submit(Submit { tenant: "t".into(), job: name, spec, start }))
}

async fn write(server: &Server, request: Request) -> Result<(u64, Reply), ErrorDetail> {
    requests::write(server, request.key, request.command).await
}

async fn status(server: &Server) -> StatusReply {
    let mut client = OperatorClient::connect(format!("http://{}", server.address())).await.unwrap();
    client.status(StatusRequest {}).await.unwrap().into_inner()
}

/// Tries until a submission is taken.
async fn submit_until_taken(server: &Server, key: u128) -> Option<RunId> {
    let began = Instant::now();
    loop {
        match write(server, submit(key)).await {
            Ok((_, Reply::Submitted { run, .. })) => return run,
            other => assert!(began.elapsed() < DEADLINE, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Submits new jobs, with keys from this one on, until one is refused for want of room.
async fn submit_until_refused(server: &Server, first: u128) {
    let began = Instant::now();
    for key in first.. {
        match write(server, submit(key)).await {
            Err(detail) if detail.error() == ErrorCode::DiskFull => {
                assert_eq!(detail.code, "E506");
                return;
            }
            other => assert!(began.elapsed() < DEADLINE, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_little_room_takes_no_new_work_and_lets_the_rest_end() {
    let Some(disk) = Disk::new() else { return };
    let Running { tasks, server } = start(disk.dir.path()).await;
    write(&server, tenant()).await.unwrap();
    let run = submit_until_taken(&server, 2).await.unwrap();
    disk.fill(DISK_BYTES * 4 / 100);
    submit_until_refused(&server, 1_000).await;
    let again = write(&server, submit(2)).await;
    assert!(
        matches!(again, Ok((_, Reply::Submitted { run: first, .. })) if first == Some(run)),
        "what was taken before gets its first answer: {again:?}"
    );
    let cancel = request(4, Command::CancelRun { run });
    write(&server, cancel).await.unwrap();

    disk.fill(DISK_BYTES / 100);
    let (began, mut key) = (Instant::now(), 2_000);
    while let Ok(answer) = write(&server, request(key, Command::CancelRun { run })).await {
        key += 1;
        assert!(began.elapsed() < DEADLINE, "still taken: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again = write(&server, request(4, Command::CancelRun { run })).await;
    assert!(again.is_ok(), "an answer that is known needs no room: {again:?}");
    let alarms = status(&server).await.alarms;
    assert!(alarms.iter().any(|alarm| alarm.contains("less than 2 % of the disk")), "{alarms:?}");
    disk.empty();
    submit_until_taken(&server, 3).await;
    assert!(status(&server).await.alarms.is_empty());
    tasks.begin_shutdown();
    tokio::time::timeout(DEADLINE, server.ended()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_grow_ends_the_server_which_goes_on_when_there_is_room_again() {
    let Some(disk) = Disk::new() else { return };
    let Running { tasks, server } = start(disk.dir.path()).await;
    write(&server, tenant()).await.unwrap();
    submit_until_taken(&server, 2).await.unwrap();
    let mut acknowledged = 2;

    // Past the look at the disk, as when it fills within a second.
    let node = server.log().node().clone();
    let term = node.status().borrow().leader_ready_term.unwrap();
    let writing = async {
        loop {
            disk.fill(0);
            let envelope = submit(acknowledged + 1).into_envelope(
                &server.log().latest().state,
                term,
                clock_watch::now().wall,
            );
            if node.propose(term, envelope::encode(&envelope).into()).await.is_err() {
                return acknowledged;
            }
            acknowledged += 1;
        }
    };
    let acknowledged = tokio::time::timeout(DEADLINE, writing).await.unwrap();
    drop(node);
    let ended = tokio::time::timeout(DEADLINE, server.ended()).await.unwrap().unwrap_err();
    let mut causes = vec![ended.to_string()];
    let mut cause = ended.source();
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    let told = causes.join(": ");
    assert!(told.contains("the log could not be written") && told.contains("No space left"), "{told}");
    drop(tasks);

    disk.empty();
    let Running { tasks, server } = start(disk.dir.path()).await;
    let view = server.log().read(false).await.unwrap();
    let owner = view.state.tenant_named("t").unwrap();
    for key in 2..=acknowledged {
        assert!(view.state.job_named(owner, &format!("job-{key}")).is_some(), "job {key} was acknowledged");
    }
    submit_until_taken(&server, 1_000).await;
    tasks.begin_shutdown();
    tokio::time::timeout(DEADLINE, server.ended()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_is_full_hands_over_to_one_with_room() {
    let Some(disks) = [(); 3].map(|()| Disk::new()).into_iter().collect::<Option<Vec<_>>>() else { return };
    let dirs = [0, 1, 2].map(|at: usize| disks[at].dir.path().join("server"));
    let servers = start_all(&three_configs(dirs)).await;
    let before = leader(&servers).await;
    let follower = &servers[(before + 1) % 3].server;
    write(follower, tenant()).await.unwrap();
    disks[before].fill(DISK_BYTES / 100);
    let began = Instant::now();
    while servers[before].server.log().leads() {
        assert!(began.elapsed() < DEADLINE, "it leads on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Asked of the one without room, too: it is the leader's disk that counts.
    submit_until_taken(follower, 2).await.unwrap();
    submit_until_taken(&servers[before].server, 3).await.unwrap();
    assert_ne!(leader(&servers).await, before);
    for running in servers {
        running.stop().await;
    }
}
