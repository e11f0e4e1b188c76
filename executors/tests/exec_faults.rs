//! The exec executor when things go wrong: dead supervisors, restarts at every point, tasks that will
//! not go, and machines full of leftovers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures and skips are for people to read")]

#[path = "support/exec_ground.rs"]
mod exec_ground;

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use berth_core::reason::EndReason;
use berth_core::time::{Millis, Timestamp};
use berth_executors::cgroups;
use berth_executors::exec::IsolationChoice::{self, Best, Plain};
use berth_executors::executor::{Event, Executor, Found};
use berth_shim::log::{Chunk, Reader, Stream};
use berth_shim::process::{Process, boot_id};
use berth_shim::record::{
    EXIT_FILE, ExitRecord, LogEnds, ORDER_FILE, Order, Outcome, RUN_FILE, Record, RunRecord,
};

use nix::mount::{MsFlags, mount};

use exec_ground::{ExecGround, PATIENCE, has_cgroups, wait_for};

/// The processes of this machine whose command line holds a text.
fn running(marker: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(marker)).count()
}

/// A length of sleep that no other test has, to find the process by.
fn marker(number: u32) -> String {
    format!("sleep 3{number}{}", std::process::id())
}

fn run_record(dir: &Path) -> RunRecord {
    wait_for("the run record", || RunRecord::read(&dir.join(RUN_FILE)).unwrap().is_some());
    RunRecord::read(&dir.join(RUN_FILE)).unwrap().unwrap()
}

fn kill_9(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

fn daemons_end_with_their_task(isolation: IsolationChoice) {
    let ground = ExecGround::new(isolation);
    let mut agent = ground.start();
    let marker = marker(10);
    let script = format!(
        "for i in 1 2 3; do setsid sh -c '{marker} & {marker}' >/dev/null 2>&1 & done; sleep 0.1; exit 4"
    );
    let end = agent.end_of(&ground.script(&script));
    assert_eq!(end.reason, EndReason::FailedExit(4));
    assert_eq!(running(&marker), 0);
}

#[test]
fn daemons_end_with_an_isolated_task() {
    daemons_end_with_their_task(Best);
}

#[test]
fn daemons_end_with_a_plain_task() {
    daemons_end_with_their_task(Plain);
}

fn killed_supervisor(isolation: IsolationChoice, number: u32) {
    let ground = ExecGround::new(isolation);
    let mut agent = ground.start();
    let marker = marker(number);
    let launch = ground.script(&format!("{marker} & {marker}; wait"));
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    wait_for("the task", || running(&marker) >= 2);
    kill_9(run_record(&launch.dir).shim.pid);
    let end = agent.wait_ended(&launch);
    assert_eq!(end.reason, EndReason::FailedSignal(9));
    wait_for("the task's death", || running(&marker) == 0);
    assert!(launch.dir.join(EXIT_FILE).exists());
}

#[test]
fn an_isolated_task_whose_supervisor_is_killed_ends_and_says_so() {
    killed_supervisor(Best, 21);
}

#[test]
fn a_plain_task_whose_supervisor_is_killed_ends_and_says_so() {
    killed_supervisor(Plain, 22);
}

#[test]
fn fifty_tasks_keep_their_true_exits_across_a_restart() {
    let ground = ExecGround::new(Best);
    let mut agent = ground.start();
    let mut launches = Vec::new();
    for number in 0..50 {
        // Some end before the restart, some in it, some long after.
        let launch = ground.script(&format!("sleep 0.{:02}; exit {number}", number * 2));
        agent.executor.start(launch.clone());
        launches.push(launch);
    }
    let mut starts = 0;
    while starts < 50 {
        if let Event::Started { .. } = agent.events.recv_timeout(PATIENCE).unwrap() {
            starts += 1;
        }
    }
    drop(agent);

    let mut later = ground.start();
    let mut ends = HashMap::new();
    for found in later.executor.recover(launches.clone()) {
        if let Found::Ended { attempt, end } = found {
            ends.insert(attempt, end.reason);
        }
    }
    while ends.len() < 50 {
        if let Event::Ended { attempt, end } = later.events.recv_timeout(PATIENCE).unwrap() {
            assert!(ends.insert(attempt, end.reason).is_none());
        }
    }
    for (code, launch) in (0..).zip(&launches) {
        let truth = if code == 0 { EndReason::Succeeded } else { EndReason::FailedExit(code) };
        assert_eq!(ends[&launch.attempt], truth);
    }
}

fn an_order(boot_id: String) -> Order {
    Order {
        attempt: 1,
        name: "n".into(),
        boot_id,
        command: vec!["true".into()],
        environment: vec![],
        namespaces: false,
        groups: Default::default(),
        shim_groups: vec![],
        end_with: None,
        open_files: None,
        log: Default::default(),
    }
}

#[test]
fn each_point_at_which_an_agent_can_die_has_its_answer() {
    let ground = ExecGround::new(Plain);
    let mut agent = ground.start();
    let mut reason = |prepare: &dyn Fn(&Path)| {
        let launch = ground.script("exit 0");
        prepare(&launch.dir);
        match agent.executor.recover(vec![launch]).pop() {
            Some(Found::Ended { end, .. }) => Some(end.reason),
            Some(other @ Found::Running { .. }) => panic!("{other:?}"),
            None => None,
        }
    };
    let here = an_order(boot_id().unwrap());
    let gone = Process { pid: 1, start_ticks: u64::MAX };
    let run = RunRecord {
        shim: gone,
        task: Process { pid: i32::MAX, start_ticks: u64::MAX },
        boot_id: here.boot_id.clone(),
        groups: Default::default(),
        started_ms: 5,
        started_boot_ms: 5,
    };
    let exit = ExitRecord {
        outcome: Outcome::Exited(9),
        oom: false,
        started_ms: Some(1),
        finished_ms: 2,
        ran_ms: 1,
        memory_peak: 0,
        cpu_ms: 0,
        log_lost: 0,
        leftover: false,
        log_ends: LogEnds::default(),
    };
    assert_eq!(reason(&|_| {}), None, "before the order");
    let start_failed = |reason| matches!(reason, Some(EndReason::StartFailed(_)));
    assert!(start_failed(reason(&|dir| fs::write(dir.join(ORDER_FILE), "").unwrap())), "empty order");
    assert!(start_failed(reason(&|dir| here.write(&dir.join(ORDER_FILE)).unwrap())), "no shim");
    let killed = reason(&|dir| {
        here.write(&dir.join(ORDER_FILE)).unwrap();
        run.write(&dir.join(RUN_FILE)).unwrap();
    });
    assert_eq!(killed, Some(EndReason::FailedSignal(9)), "shim gone while the task ran");
    let torn = reason(&|dir| {
        here.write(&dir.join(ORDER_FILE)).unwrap();
        run.write(&dir.join(RUN_FILE)).unwrap();
        fs::write(dir.join(EXIT_FILE), &exit.encode()[..20]).unwrap();
    });
    assert_eq!(torn, Some(EndReason::FailedSignal(9)), "torn exit record");
    let ended = reason(&|dir| {
        here.write(&dir.join(ORDER_FILE)).unwrap();
        run.write(&dir.join(RUN_FILE)).unwrap();
        exit.write(&dir.join(EXIT_FILE)).unwrap();
    });
    assert_eq!(ended, Some(EndReason::FailedExit(9)), "ended");
    let rebooted = reason(&|dir| an_order("another".into()).write(&dir.join(ORDER_FILE)).unwrap());
    assert_eq!(rebooted, Some(EndReason::NodeLost), "another boot");
}

#[test]
fn after_a_loss_of_power_that_tore_the_order_no_stranger_is_killed() {
    let ground = ExecGround::new(Plain);
    let mut agent = ground.start();
    let launch = ground.script("exit 0");
    let mut stranger = Command::new("setsid").args(["--wait", "sleep", "300"]).spawn().unwrap();
    let pid = i32::try_from(stranger.id()).unwrap();
    // The stranger leads the session that has the number of the task of the boot before.
    let leader = || nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid)));
    wait_for("a session", || leader() == Ok(nix::unistd::Pid::from_raw(pid)));
    let run = RunRecord {
        shim: Process { pid: 1, start_ticks: u64::MAX },
        task: Process { pid, start_ticks: 1 },
        boot_id: "another".into(),
        groups: Default::default(),
        started_ms: 5,
        started_boot_ms: 5,
    };
    fs::write(launch.dir.join(ORDER_FILE), "").unwrap();
    run.write(&launch.dir.join(RUN_FILE)).unwrap();
    match agent.executor.recover(vec![launch]).pop() {
        Some(Found::Ended { end, .. }) => assert_eq!(end.reason, EndReason::NodeLost),
        other => panic!("{other:?}"),
    }
    assert_eq!(stranger.try_wait().unwrap(), None, "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// Gives this thread, and those it starts from now on, a small disk of their own for a directory; false where that is
/// not allowed.
fn mount_small_disk(dir: &Path, bytes: u64) -> bool {
    let none: Option<&str> = None;
    let own = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS);
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let size = format!("size={bytes}");
    let mounted = own
        .and_then(|()| mount(none, "/", none, private, none))
        .and_then(|()| mount(Some("tmpfs"), dir, Some("tmpfs"), MsFlags::empty(), Some(size.as_str())));
    if let Err(error) = mounted {
        eprintln!("SKIPPED: no disk to fill can be mounted here: {error}");
    }
    mounted.is_ok()
}

#[test]
fn a_task_that_fills_the_disk_keeps_its_true_exit() {
    for isolation in [Best, Plain] {
        let ground = ExecGround::new(isolation);
        let launch = ground.script("head -c 1M /dev/zero > fill; echo lost; exit 7");
        if !mount_small_disk(&launch.dir, 256 << 10) {
            return;
        }
        let end = ground.start().end_of(&launch);
        assert_eq!(end.reason, EndReason::FailedExit(7));
        // What it printed after that is lost, and the log says so.
        let mut reader = Reader::new(&launch.dir, Stream::Stdout, 0);
        let lost = u64::try_from("lost\n".len()).unwrap();
        assert_eq!(reader.read(&mut [0; 64]).unwrap(), Chunk::Gap { bytes: lost });
        assert_eq!(reader.read(&mut [0; 64]).unwrap(), Chunk::End);
        let fill = fs::metadata(launch.dir.join("task/fill")).unwrap().len();
        assert!(fill < 256 << 10, "the disk was not full");
        nix::mount::umount(&launch.dir).unwrap();
    }
}

#[test]
fn an_end_that_the_disk_does_not_take_is_recorded_when_there_is_room_again() {
    let ground = ExecGround::new(Plain);
    // The room that was kept for the record goes, too.
    let launch = ground.script("rm ../exit.tmp; head -c 1M /dev/zero > fill; exit 0");
    if !mount_small_disk(&launch.dir, 256 << 10) {
        return;
    }
    let mut agent = ground.start();
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    wait_for("the shim's complaint", || launch.dir.join("shim.log").exists());
    assert!(agent.events.try_recv().is_err(), "it is not over while its end is not recorded");
    fs::remove_file(launch.dir.join("task/fill")).unwrap();
    assert_eq!(agent.wait_ended(&launch).reason, EndReason::Succeeded);
    nix::mount::umount(&launch.dir).unwrap();
}

#[test]
fn a_task_has_its_own_bound_of_open_files() {
    for isolation in [Best, Plain] {
        let mut ground = ExecGround::new(isolation);
        ground.open_files = Some(321);
        let launch = ground.script("ulimit -Sn; ulimit -Hn");
        assert_eq!(ground.start().end_of(&launch).reason, EndReason::Succeeded);
        let text = String::from_utf8(ground.log_of(&launch, Stream::Stdout)).unwrap();
        assert!(text.starts_with("321\n") && !text.ends_with("\n321\n"), "{text}");
    }
}

#[test]
fn a_task_has_the_environment_that_programs_expect_and_the_job_has_the_last_word() {
    let ground = ExecGround::new(Best);
    let mut agent = ground.start();
    let script = "echo $PATH; echo $HOME; echo $TMPDIR; cd; pwd; mktemp >/dev/null || echo no; env | wc -l";
    let mut launch = ground.script(script);
    launch.env.clear();
    assert_eq!(agent.end_of(&launch).reason, EndReason::Succeeded);
    let text = String::from_utf8(ground.log_of(&launch, Stream::Stdout)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let home = launch.dir.join("task").to_str().unwrap().to_owned();
    let temporary = launch.dir.join("tmp").to_str().unwrap().to_owned();
    assert_eq!(lines[0], "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    assert_eq!(lines[1..4], [home.as_str(), &temporary, &home]);
    assert_eq!(lines.len(), 5, "{text}");
    let mut launch = ground.script("echo $HOME");
    launch.env.push(("HOME".into(), "/elsewhere".into()));
    assert_eq!(agent.end_of(&launch).reason, EndReason::Succeeded);
    assert_eq!(ground.log_of(&launch, Stream::Stdout), b"/elsewhere\n");
}

#[test]
fn a_supervisor_that_was_not_heard_yet_is_waited_for() {
    let ground = ExecGround::new(Plain);
    let mut agent = ground.start();
    let launch = ground.script("exit 0");
    let order = launch.dir.join(ORDER_FILE);
    an_order(boot_id().unwrap()).write(&order).unwrap();
    let lock = File::open(&order).unwrap();
    lock.lock().unwrap();
    let found = agent.executor.recover(vec![launch.clone()]);
    assert!(matches!(found[..], [Found::Running { .. }]), "{found:?}");
    let record = ExitRecord {
        outcome: Outcome::Exited(6),
        oom: false,
        started_ms: None,
        finished_ms: 2,
        ran_ms: 1,
        memory_peak: 0,
        cpu_ms: 0,
        log_lost: 0,
        leftover: false,
        log_ends: LogEnds::default(),
    };
    record.write_atomically(&launch.dir.join(EXIT_FILE)).unwrap();
    drop(lock);
    assert_eq!(agent.wait_ended(&launch).reason, EndReason::FailedExit(6));
}

#[test]
fn a_task_ends_with_the_process_it_is_tied_to() {
    for isolation in [Best, Plain] {
        let mut owner = Command::new("sleep").arg("300").spawn().unwrap();
        let mut ground = ExecGround::new(isolation);
        ground.end_with = Some(Process::of(i32::try_from(owner.id()).unwrap()).unwrap());
        let mut agent = ground.start();
        let launch = ground.script("trap '' TERM; while :; do sleep 300; done");
        agent.executor.start(launch.clone());
        agent.wait_started(&launch);
        let began = Instant::now();
        owner.kill().unwrap();
        owner.wait().unwrap();
        assert!(!agent.wait_ended(&launch).reason.is_success());
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_task_past_its_memory_is_oom_killed_and_counted() {
    if has_cgroups().is_none() {
        return;
    }
    let ground = ExecGround::new(Best);
    let mut launch = ground.command(&["tail", "/dev/zero"]);
    launch.limits.memory_max = Some(32 << 20);
    let end = ground.start().end_of(&launch);
    assert_eq!(end.reason, EndReason::OomKilled);
    assert!(end.memory_peak > 16 << 20, "{end:?}");
}

#[test]
fn an_isolated_task_sees_only_itself() {
    if has_cgroups().is_none() {
        return;
    }
    let ground = ExecGround::new(Best);
    let launch = ground.script("echo $$; ls /proc | grep -c '^[0-9]'; ls /proc/self/fd; pwd");
    assert_eq!(ground.start().end_of(&launch).reason, EndReason::Succeeded);
    let text = String::from_utf8(ground.log_of(&launch, Stream::Stdout)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "2", "the init is the first process: {text}");
    assert!(lines[1].parse::<u32>().unwrap() <= 5, "{text}");
    // The fourth is the directory that `ls` itself has open.
    assert_eq!(lines[2..6], ["0", "1", "2", "3"], "{text}");
    assert_eq!(lines[6], launch.dir.join("task").to_str().unwrap(), "{text}");
}

#[test]
fn output_past_its_bound_fails_the_attempt_and_links_are_not_followed() {
    let ground = ExecGround::new(Plain);
    let mut agent = ground.start();
    let exact = agent.end_of(&ground.script("head -c 65536 /dev/zero > $BERTH_OUTPUT"));
    assert_eq!((exact.reason, exact.output.len()), (EndReason::Succeeded, 65_536));
    let large = agent.end_of(&ground.script("head -c 65537 /dev/zero > $BERTH_OUTPUT"));
    assert_eq!(large.output.len(), 0);
    let why = "BERTH_OUTPUT: the output is larger than 65536 bytes";
    assert_eq!(large.reason, EndReason::PostconditionFailed(why.into()));
    let failed = agent.end_of(&ground.script("head -c 65537 /dev/zero > $BERTH_OUTPUT; exit 3"));
    assert_eq!(failed.reason, EndReason::FailedExit(3));
    let link = ground.script("exit 0");
    symlink("/etc/passwd", link.dir.join("output")).unwrap();
    assert_eq!(agent.end_of(&link).output, b"");
    let fifo = ground.script("mkfifo $BERTH_OUTPUT");
    assert_eq!(agent.end_of(&fifo).output, b"");
}

#[test]
fn a_stop_before_the_start_was_heard_still_ends_the_task() {
    let ground = ExecGround::new(Best);
    let mut agent = ground.start();
    let launch = ground.script("exec sleep 300");
    agent.executor.start(launch.clone());
    agent.executor.stop(launch.attempt, Millis::from_secs(60));
    let mut event = agent.events.recv_timeout(PATIENCE).unwrap();
    if let Event::Started { .. } = event {
        event = agent.events.recv_timeout(PATIENCE).unwrap();
    }
    let Event::Ended { end, .. } = event else { panic!("{event:?}") };
    assert!(!end.reason.is_success());
}

#[test]
fn a_group_without_attempt_is_a_rogue_and_can_be_killed() {
    if has_cgroups().is_none() {
        return;
    }
    let ground = ExecGround::new(Best);
    let mut agent = ground.start();
    let launch = ground.script("exec sleep 300");
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    assert_eq!(agent.executor.rogues(), Vec::<String>::new());
    let limits = cgroups::Limits { cpu_milli: 1, cpu_hard: false, memory_max: None, pids_max: 9 };
    let groups = cgroups::detect(&ground.cgroup_root).unwrap().create("leftover", &limits).unwrap();
    let mut left = Command::new("sleep").arg("300").spawn().unwrap();
    for path in groups.paths() {
        fs::write(path.join("cgroup.procs"), left.id().to_string()).unwrap();
    }
    assert_eq!(agent.executor.rogues(), ["leftover"]);
    agent.executor.kill_rogue("leftover");
    left.wait().unwrap();
    // A dead process can be in a group until its parent has buried it.
    wait_for("the removal", || {
        let rogues = agent.executor.rogues();
        rogues.iter().for_each(|rogue| agent.executor.kill_rogue(rogue));
        rogues.is_empty()
    });
    agent.executor.stop(launch.attempt, Millis(0));
    agent.wait_ended(&launch);
}

#[test]
fn what_is_in_the_group_of_another_agent_is_no_rogue() {
    if has_cgroups().is_none() {
        return;
    }
    let ground = ExecGround::new(Best);
    let mut first = ground.start();
    assert_eq!(first.executor.rogues(), Vec::<String>::new());
    let launch = ground.script("exec sleep 300");
    first.executor.start(launch.clone());
    first.wait_started(&launch);
    let mut second = ground.start();
    assert_eq!(second.executor.rogues(), Vec::<String>::new(), "the attempt is that of the first");
    drop(second);
    first.executor.stop(launch.attempt, Millis(0));
    first.wait_ended(&launch);
}

#[test]
fn an_executor_that_ends_with_nothing_left_leaves_no_control_groups() {
    if has_cgroups().is_none() {
        return;
    }
    let ground = ExecGround::new(Best);
    let mut agent = ground.start();
    let launch = ground.script("exec sleep 300");
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    let exec_ground::Agent { executor, events: _events } = agent;
    let there = || !ExecGround::groups(&ground.cgroup_root).is_empty();
    drop(executor);
    assert!(there(), "the task outlives its executor");

    let mut agent = ground.start();
    agent.executor.recover(vec![launch.clone()]);
    agent.executor.stop(launch.attempt, Millis(0));
    agent.wait_ended(&launch);
    agent.executor.remove(launch.attempt);
    wait_for("the removal of the attempt's group", || {
        let names = cgroups::detect(&ground.cgroup_root).unwrap().names().unwrap();
        names.is_empty()
    });
    drop(agent);
    assert!(!there());
}

#[test]
fn a_bad_order_names_what_is_wrong() {
    let ground = ExecGround::new(Best);
    let mut agent = ground.start();
    for (command, word) in [
        (vec!["./missing.sh"], "missing.sh"),
        (vec!["/etc/passwd"], "denied"),
        (vec![""], "empty"),
        (vec!["sh", "a\0b"], "NUL"),
    ] {
        let launch = ground.command(&command);
        agent.executor.start(launch.clone());
        let end = agent.wait_ended(&launch);
        let EndReason::StartFailed(cause) = &end.reason else { panic!("{:?}", end.reason) };
        assert!(cause.to_lowercase().contains(&word.to_lowercase()), "{cause}");
        assert_eq!(end.started, None::<Timestamp>);
    }
}

/// Not a test of behaviour: figures for people. Run it by name with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn launch_rate_and_adoption() {
    let count = 1000;
    for isolation in [Best, Plain] {
        let ground = ExecGround::new(isolation);
        let mut agent = ground.start();
        println!("{:?}", agent.executor.health());
        let mut latencies = Vec::new();
        for _ in 0..200 {
            let launch = ground.command(&["/bin/true"]);
            let began = Instant::now();
            agent.executor.start(launch.clone());
            agent.wait_started(&launch);
            latencies.push(began.elapsed());
            agent.wait_ended(&launch);
        }
        latencies.sort();
        println!("one at a time: start to Started p50 {:?} p99 {:?}", latencies[100], latencies[198]);
        let began = Instant::now();
        for _ in 0..count {
            agent.executor.start(ground.command(&["/bin/true"]));
        }
        let mut ended = 0;
        while ended < count {
            if let Event::Ended { end, .. } = agent.events.recv_timeout(PATIENCE).unwrap() {
                assert_eq!(end.reason, EndReason::Succeeded);
                ended += 1;
            }
        }
        println!("{count} at once: {:.0} launches/s", f64::from(count) / began.elapsed().as_secs_f64());
        let began = Instant::now();
        for _ in 0..count {
            Command::new("/bin/true").status().unwrap();
        }
        println!("plain spawn and wait: {:.0}/s", f64::from(count) / began.elapsed().as_secs_f64());

        let launches: Vec<_> = (0..count).map(|_| ground.command(&["sleep", "300"])).collect();
        for launch in &launches {
            agent.executor.start(launch.clone());
        }
        let mut started = 0;
        while started < count {
            match agent.events.recv_timeout(PATIENCE).unwrap() {
                Event::Started { .. } => started += 1,
                Event::Ended { end, .. } => panic!("{end:?}"),
            }
        }
        drop(agent);
        let mut later = ground.start();
        let began = Instant::now();
        let found = later.executor.recover(launches.clone());
        println!("{} adopted in {:?}", found.len(), began.elapsed());
        let began = Instant::now();
        for launch in &launches {
            later.executor.stop(launch.attempt, Millis(0));
        }
        for _ in 0..count {
            later.events.recv_timeout(PATIENCE).unwrap();
        }
        println!("stopped in {:?}", began.elapsed());
    }
}
