//! What the docker executor does when containers, the engine or the agent fail, against a real engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures and skips are for people to read")]

#[path = "support/docker_ground.rs"]
mod docker_ground;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use berth_core::id::{ClusterId, NodeEpoch};
use berth_core::reason::EndReason;
use berth_core::time::Millis;
use berth_executors::docker::{Config, DockerExecutor, SWEEP_EVERY};
use berth_executors::executor::{Event, Executor, Found, Health, Home, Launch, Program};
use berth_shim::log::{Chunk, LOG_DIR, Reader, Stream, UNKNOWN_GAP};
use berth_shim::record::{EXIT_FILE, Error as RecordError, ExitRecord, Fields, LogEnds, LogSizes, Record};
use bollard::models::RestartPolicyNameEnum;
use bollard::query_parameters::{InspectContainerOptions, KillContainerOptions, RemoveContainerOptions};

use docker_ground::{DockerGround, wait_for};

/// The ground, or the end of the test where there is no engine.
macro_rules! ground {
    () => {
        match DockerGround::new() {
            Some(ground) => ground,
            None => return,
        }
    };
}

fn stdout(ground: &DockerGround, launch: &Launch) -> String {
    String::from_utf8(ground.log_of(launch, Stream::Stdout)).unwrap()
}

/// All that a reader gets of a stream before its end.
fn chunks(launch: &Launch, stream: Stream) -> Vec<Chunk> {
    let (mut reader, mut buffer) = (Reader::new(&launch.dir, stream, 0), vec![0; 65_536]);
    let next = || Some(reader.read(&mut buffer).unwrap()).filter(|chunk| *chunk != Chunk::End);
    std::iter::from_fn(next).collect()
}

fn kill(ground: &DockerGround, launch: &Launch) {
    let options = KillContainerOptions { signal: "SIGKILL".to_owned() };
    let name = ground.container(launch);
    ground.engine(async |docker| docker.kill_container(&name, Some(options)).await).unwrap();
}

fn runs(ground: &DockerGround, launch: &Launch) -> bool {
    let name = ground.container(launch);
    let options = None::<InspectContainerOptions>;
    let answer = ground.engine(async |docker| docker.inspect_container(&name, options).await);
    answer.unwrap().state.unwrap().running.unwrap()
}

#[test]
fn a_task_past_its_memory_limit_is_told_as_oom_killed() {
    let ground = ground!();
    let mut agent = ground.start();
    let mut launch = ground.command(&["tail", "/dev/zero"]);
    launch.limits.memory_max = Some(16 << 20);
    assert_eq!(agent.end_of(&launch).reason, EndReason::OomKilled);
    // The same exit code without an OOM.
    let launch = ground.script("exit 137");
    assert_eq!(agent.end_of(&launch).reason, EndReason::FailedSignal(9));
}

#[test]
fn a_container_that_somebody_kills_ends_by_that_signal() {
    let ground = ground!();
    let mut agent = ground.start();
    let launch = ground.script("echo up; exec sleep 300");
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    kill(&ground, &launch);
    assert_eq!(agent.wait_ended(&launch).reason, EndReason::FailedSignal(9));
}

#[test]
fn a_container_that_somebody_removes_by_force_was_killed() {
    let ground = ground!();
    let mut agent = ground.start();
    let launch = ground.command(&["sleep", "300"]);
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    let (name, options) =
        (ground.container(&launch), RemoveContainerOptions { force: true, ..Default::default() });
    ground.engine(async |docker| docker.remove_container(&name, Some(options)).await).unwrap();
    assert_eq!(agent.wait_ended(&launch).reason, EndReason::FailedSignal(9));
    // The engine's log went with the container, and nobody knows what was in it.
    assert_eq!(chunks(&launch, Stream::Stderr), [Chunk::Gap { bytes: UNKNOWN_GAP }]);
}

#[test]
fn a_whole_log_ends_without_a_gap_and_one_with_a_lost_tail_does_not() {
    let ground = ground!();
    let mut agent = ground.start();
    let launch = ground.script("echo whole");
    agent.end_of(&launch);
    assert_eq!(chunks(&launch, Stream::Stdout), [Chunk::Data { offset: 0, bytes: 6 }]);
    assert_eq!(chunks(&launch, Stream::Stderr), []);
    let ends = ExitRecord::read(&launch.dir.join(EXIT_FILE)).unwrap().unwrap().log_ends;
    assert_eq!(ends, LogEnds { stdout: Some(6), stderr: Some(0) });
    // As after a disk that did not take the tail.
    fs::write(launch.dir.join(LOG_DIR).join("stdout.0"), "wh").unwrap();
    let expected = [Chunk::Data { offset: 0, bytes: 2 }, Chunk::Gap { bytes: 4 }];
    assert_eq!(chunks(&launch, Stream::Stdout), expected);
}

#[test]
fn a_missing_image_is_a_start_failure_that_names_it() {
    let ground = ground!();
    let mut agent = ground.start();
    let mut launch = ground.script("true");
    launch.program = Program::Docker { image: "berth-no-such:1".to_owned(), command: Vec::new() };
    agent.executor.start(launch.clone());
    match agent.wait_ended(&launch).reason {
        EndReason::StartFailed(cause) => {
            assert!(cause.contains("berth-no-such:1") && cause.contains("docker pull"), "{cause}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_container_goes_when_its_end_is_acknowledged_and_not_before() {
    let ground = ground!();
    let mut agent = ground.start();
    let launch = ground.script("echo kept");
    agent.end_of(&launch);
    assert_eq!(ground.containers(), [ground.container(&launch)]);
    agent.executor.remove(launch.attempt);
    wait_for("the removal", || ground.containers().is_empty());
    assert_eq!(stdout(&ground, &launch), "kept\n");
}

#[test]
fn a_container_of_no_known_attempt_is_removed_and_one_of_a_known_attempt_is_not() {
    let ground = ground!();
    let mut agent = ground.start();
    let launches = [(); 2].map(|()| ground.script("exec sleep 300"));
    for launch in &launches {
        agent.executor.start(launch.clone());
        agent.wait_started(launch);
    }
    drop(agent);
    let config = Config { sweep_every: Duration::from_millis(300), ..ground.config() };
    let (sink, _events) = sync_channel(16);
    let mut later = DockerExecutor::new(config, sink);
    let [known, forgotten] = &launches;
    later.recover(vec![known.clone()]);
    wait_for("the removal", || ground.containers() == [ground.container(known)]);
    assert!(runs(&ground, known), "{} is gone", ground.container(forgotten));
}

/// Starts a container as the agent with this journal would, under this right, and leaves it behind.
fn leave(ground: &DockerGround, agent: &str, home: Option<Home>) -> String {
    let config = Config { agent: agent.to_owned(), ..ground.config() };
    let (sink, events) = sync_channel(16);
    let mut executor = DockerExecutor::new(config, sink);
    home.into_iter().for_each(|home| executor.welcomed(home));
    let launch = ground.command(&["sleep", "300"]);
    executor.start(launch.clone());
    let event = events.recv_timeout(docker_ground::PATIENCE).unwrap();
    assert!(matches!(event, Event::Started { .. }), "{event:?}");
    format!("berth-{agent}-{}", launch.name)
}

#[test]
fn what_an_earlier_data_directory_of_the_node_left_behind_is_removed_and_nothing_else() {
    let ground = ground!();
    let home = |cluster, cluster_epoch, epoch| Home {
        cluster: ClusterId(cluster),
        cluster_epoch,
        epoch: NodeEpoch(epoch),
    };
    let agents =
        ["wiped", "later", "restored", "other", "never"].map(|word| format!("{}-{word}", ground.agent));
    let [wiped, later, restored, other, never] = &agents;
    let left_behind = leave(&ground, wiped, Some(home(1, 2, 7)));
    let others = [
        leave(&ground, later, Some(home(1, 2, 9))),
        leave(&ground, restored, Some(home(1, 3, 7))),
        leave(&ground, other, Some(home(2, 2, 7))),
        leave(&ground, never, None),
    ];
    let config = Config { sweep_every: Duration::from_millis(100), ..ground.config() };
    let (sink, _events) = sync_channel(16);
    let mut executor = DockerExecutor::new(config, sink);
    executor.recover(Vec::new());
    executor.welcomed(home(1, 2, 8));
    let exists = |name: &str| {
        let options = None::<InspectContainerOptions>;
        ground.engine(async |docker| docker.inspect_container(name, options).await).is_ok()
    };
    wait_for("the removal", || !exists(&left_behind));
    // Whatever was to go was seen as often as that one.
    let stay = others.iter().all(|name| exists(name));
    drop(executor);
    for name in &others {
        let options = RemoveContainerOptions { force: true, ..Default::default() };
        ground.engine(async |docker| docker.remove_container(name, Some(options)).await).unwrap();
    }
    assert!(stay, "one of them is gone: {others:?}");
}

#[test]
fn what_a_container_used_is_told_with_its_end() {
    let ground = ground!();
    let mut agent = ground.start();
    // Works and holds memory until it is stopped, well after the first looks.
    let launch =
        ground.script("trap 'exit 0' TERM; x=$(head -c 8000000 /dev/zero | tr '\\0' x); while :; do :; done");
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    std::thread::sleep(Duration::from_secs(4));
    agent.executor.stop(launch.attempt, Millis(10_000));
    let end = agent.wait_ended(&launch);
    assert!(end.cpu_ms >= 100 && end.memory_peak >= 4 << 20, "{end:?}");
}

#[test]
fn an_attempt_whose_directory_was_wiped_is_still_not_started_twice() {
    let ground = ground!();
    let mut agent = ground.start();
    let launch = ground.script("exit 0");
    agent.end_of(&launch);
    fs::remove_dir_all(&launch.dir).unwrap();
    fs::create_dir_all(&launch.dir).unwrap();
    let mut later = ground.start();
    later.executor.start(launch.clone());
    let end = later.wait_ended(&launch);
    assert_eq!(end.reason, EndReason::StartFailed("it was started once already".into()));
}

#[test]
fn a_log_goes_on_after_the_agent_was_away_and_has_each_line_once() {
    let ground = ground!();
    let mut agent = ground.start();
    let flag = ground.path().join("run");
    fs::create_dir(&flag).unwrap();
    let script = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo $i; \
                  [ $i = 1000 ] && while [ ! -e $RUN/go ]; do sleep 0.05; done; done; echo end >&2";
    let mut launch = ground.script(script);
    launch.run_dir = Some(flag.clone());
    launch.env = vec![("RUN".to_owned(), flag.display().to_string())];
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    wait_for("the first half", || stdout(&ground, &launch).ends_with("1000\n"));
    drop(agent);
    fs::write(flag.join("go"), "").unwrap();
    wait_for("the end without an agent", || !runs(&ground, &launch));

    let mut later = ground.start();
    let found = later.executor.recover(vec![launch.clone()]);
    assert!(matches!(&found[..], [Found::Running { .. }]), "its log is read before it is over: {found:?}");
    assert_eq!(later.wait_ended(&launch).reason, EndReason::Succeeded);
    let expected: String = (1..=2000).map(|line| format!("{line}\n")).collect();
    assert_eq!(stdout(&ground, &launch), expected);
    assert_eq!(ground.log_of(&launch, Stream::Stderr), b"end\n");
}

#[test]
fn a_container_that_ended_while_nobody_watched_is_found_with_its_true_exit() {
    let ground = ground!();
    let mut agent = ground.start();
    let launches: Vec<Launch> = (0..3).map(|_| ground.command(&["sleep", "300"])).collect();
    for launch in &launches {
        agent.executor.start(launch.clone());
        agent.wait_started(launch);
    }
    drop(agent);
    kill(&ground, &launches[0]);
    wait_for("the kill", || !runs(&ground, &launches[0]));
    let mut later = ground.start();
    let found = later.executor.recover(launches.clone());
    assert!(found.iter().all(|one| matches!(one, Found::Running { .. })), "{found:?}");
    assert_eq!(later.wait_ended(&launches[0]).reason, EndReason::FailedSignal(9));
    for launch in &launches[1..] {
        later.executor.stop(launch.attempt, Millis(0));
        assert!(matches!(later.wait_ended(launch).reason, EndReason::FailedSignal(9 | 15)));
    }
}

/// `container.rec`, as an agent wrote it in another boot of the machine.
struct OfAnotherBoot {
    container: String,
}

impl Record for OfAnotherBoot {
    const KIND: &'static str = "container";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.put("container", &self.container);
        fields.put("boot", "e7c6a1d2-0000-4000-8000-000000000000");
        fields.put("started", 1_700_000_000_000_u64);
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, RecordError> {
        Ok(OfAnotherBoot { container: fields.need("container")? })
    }
}

#[test]
fn a_container_that_went_down_with_the_machine_was_lost_and_did_not_fail() {
    let ground = ground!();
    let mut agent = ground.start();
    let launch = ground.command(&["sleep", "300"]);
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    drop(agent);
    kill(&ground, &launch);
    wait_for("the kill", || !runs(&ground, &launch));
    let record = launch.dir.join("container.rec");
    let of_now = OfAnotherBoot::read(&record).unwrap().unwrap();
    of_now.write(&record).unwrap();

    let mut later = ground.start();
    match &later.executor.recover(vec![launch.clone()])[..] {
        [Found::Ended { end, .. }] => assert_eq!(end.reason, EndReason::NodeLost),
        other => panic!("{other:?}"),
    }
    assert_eq!(ground.containers(), [ground.container(&launch)]);
    later.executor.remove(launch.attempt);
    wait_for("the removal", || ground.containers().is_empty());
}

#[test]
fn a_task_is_confined_and_can_write_where_it_may() {
    let ground = ground!();
    let mut agent = ground.start();
    let run = ground.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    let script = "id -u; touch $RUN/a task-file /tmp/t && echo written; touch /etc/x /x 2>/dev/null || echo read-only; \
                  grep -E 'NoNewPrivs|CapEff|CapBnd' /proc/self/status; ls /sys/class/net; cat /proc/1/comm; pwd; \
                  stat -c %a /tmp; grep ' /tmp ' /proc/mounts | cut -d' ' -f3-4 >&2";
    let mut launch = ground.script(script);
    launch.run_dir = Some(run.clone());
    launch.env = vec![("RUN".to_owned(), run.display().to_string())];
    assert_eq!(agent.end_of(&launch).reason, EndReason::Succeeded, "{}", stdout(&ground, &launch));
    let nothing = "0000000000000000";
    let expected = format!(
        "65534\nwritten\nread-only\nCapEff:\t{nothing}\nCapBnd:\t{nothing}\nNoNewPrivs:\t1\nlo\ndocker-init\n{}\n1777\n",
        launch.dir.join("task").display()
    );
    assert_eq!(stdout(&ground, &launch), expected);
    let mount = String::from_utf8(ground.log_of(&launch, Stream::Stderr)).unwrap();
    let flags: Vec<&str> = mount.trim().split([' ', ',']).collect();
    assert!(flags[0] == "tmpfs" && flags.contains(&"nosuid") && flags.contains(&"nodev"), "{mount}");
    assert!(run.join("a").exists() && launch.dir.join("task/task-file").exists());

    let (name, options) = (ground.container(&launch), None::<InspectContainerOptions>);
    let answer = ground.engine(async |docker| docker.inspect_container(&name, options).await).unwrap();
    let host = answer.host_config.unwrap();
    assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
    assert_eq!((host.pids_limit, host.cpu_shares), (Some(64), Some(102)));
    assert_eq!((host.auto_remove, host.privileged), (Some(false), Some(false)));
    let Program::Docker { image, .. } = &launch.program else { panic!("it is a container") };
    assert_eq!((host.readonly_rootfs, host.init), (Some(true), Some(true)));
    assert_eq!(host.network_mode.as_deref(), Some("none"));
    assert_eq!(host.security_opt.unwrap(), ["no-new-privileges:true"]);
    assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
    assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
    assert_eq!(host.tmpfs.unwrap()["/tmp"], "rw,exec,nosuid,nodev,mode=1777");
    let (log, sizes) = (host.log_config.unwrap(), LogSizes::default());
    assert_eq!(log.typ.as_deref(), Some("json-file"));
    let bounds = log.config.unwrap();
    assert_eq!(bounds["max-size"], sizes.segment_bytes.to_string());
    assert_eq!(bounds["max-file"], sizes.segments.to_string());
    let labels = answer.config.unwrap().labels.unwrap();
    let expected = [
        ("agent", ground.agent.as_str()),
        ("node", &ground.agent),
        ("attempt", "1"),
        ("name", &launch.name),
        ("image", image),
    ];
    for (key, value) in expected {
        assert_eq!(labels[&format!("berth.{key}")], value);
    }
}

#[test]
fn a_container_is_made_of_the_very_image_that_was_looked_at() {
    let ground = ground!();
    let mut agent = ground.start();
    let launch = ground.script("true");
    agent.end_of(&launch);
    let Program::Docker { image, .. } = &launch.program else { panic!("it is a container") };
    let id = ground.engine(async |docker| docker.inspect_image(image).await).unwrap().id.unwrap();
    let (name, options) = (ground.container(&launch), None::<InspectContainerOptions>);
    let answer = ground.engine(async |docker| docker.inspect_container(&name, options).await).unwrap();
    // What it was asked for, and what the engine made of that.
    assert_eq!((answer.config.unwrap().image.unwrap(), answer.image.unwrap()), (id.clone(), id));
}

#[test]
fn without_an_engine_it_is_unavailable_until_there_is_one() {
    let ground = ground!();
    let socket = ground.path().join("docker.sock");
    let config = Config { host: Some(format!("unix://{}", socket.display())), ..ground.config() };
    let (sink, events) = sync_channel(16);
    let mut executor = DockerExecutor::new(config, sink);
    match executor.health() {
        Health::Unavailable { reason } => {
            assert!(
                reason.contains(&socket.display().to_string()) && reason.contains("systemctl"),
                "{reason}"
            );
        }
        other @ Health::Ready { .. } => panic!("{other:?}"),
    }
    let launch = ground.script("true");
    executor.start(launch.clone());
    match events.recv_timeout(Duration::from_secs(10)).unwrap() {
        Event::Ended { end, .. } => assert!(matches!(end.reason, EndReason::StartFailed(_)), "{end:?}"),
        other @ Event::Started { .. } => panic!("{other:?}"),
    }
    let ready = |executor: &DockerExecutor| matches!(executor.health(), Health::Ready { .. });
    symlink(ground.host.strip_prefix("unix://").unwrap(), &socket).unwrap();
    wait_for("the engine", || ready(&executor));
    fs::remove_file(&socket).unwrap();
    wait_for("the loss of the engine", || !ready(&executor));
}

#[test]
fn a_running_task_outlasts_a_time_without_engine_at_the_agents_start() {
    let ground = ground!();
    let mut agent = ground.start();
    let launch = ground.script("trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done");
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    wait_for("the trap", || stdout(&ground, &launch).contains("up"));
    drop(agent);
    let socket = ground.path().join("docker.sock");
    let config = Config { host: Some(socket.display().to_string()), ..ground.config() };
    let (sink, events) = sync_channel(16);
    let mut later = DockerExecutor::new(config, sink);
    let found = later.recover(vec![launch.clone()]);
    assert!(matches!(&found[..], [Found::Running { .. }]), "{found:?}");
    symlink(ground.host.strip_prefix("unix://").unwrap(), &socket).unwrap();
    later.stop(launch.attempt, Millis(60_000));
    match events.recv_timeout(docker_ground::PATIENCE).unwrap() {
        Event::Ended { end, .. } => assert_eq!(end.reason, EndReason::FailedExit(3)),
        other @ Event::Started { .. } => panic!("{other:?}"),
    }
}

#[test]
fn a_host_that_is_no_local_socket_is_refused() {
    let (sink, _events) = sync_channel(1);
    let config = Config {
        host: Some("tcp://10.0.0.1:2375".to_owned()),
        agent: "test".to_owned(),
        node: "n".to_owned(),
        log: LogSizes::default(),
        sweep_every: SWEEP_EVERY,
    };
    match DockerExecutor::new(config, sink).health() {
        Health::Unavailable { reason } => assert!(reason.contains("tcp://10.0.0.1:2375"), "{reason}"),
        other @ Health::Ready { .. } => panic!("{other:?}"),
    }
}
