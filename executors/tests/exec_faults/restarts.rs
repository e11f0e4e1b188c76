//! What a new executor finds after the death of the one before it, at whatever point that came.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use berth_core::reason::EndReason;
use berth_executors::exec::IsolationChoice::{Best, Plain};
use berth_executors::executor::{Event, Executor, Found};
use berth_shim::process::{Process, boot_id};
use berth_shim::record::{EXIT_FILE, ExitRecord, ORDER_FILE, Order, Outcome, RUN_FILE, Record, RunRecord};

use crate::exec_ground::{ExecGround, PATIENCE, wait_for};

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
        leash: None,
        open_files: None,
        log: Default::default(),
    }
}

fn an_exit(code: i32) -> ExitRecord {
    ExitRecord { started_ms: Some(1), ran_ms: 1, ..ExitRecord::bare(Outcome::Exited(code), 2) }
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
    let exit = an_exit(9);
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
fn a_loss_of_power_that_tore_every_record_is_told_from_a_failed_start_by_the_journals_boot() {
    let ground = ExecGround::new(Plain);
    let mut agent = ground.start();
    let mut launch = ground.script("exit 0");
    launch.boot_id = "another".to_owned();
    fs::write(launch.dir.join(ORDER_FILE), "").unwrap();
    match agent.executor.recover(vec![launch]).pop() {
        Some(Found::Ended { end, .. }) => assert_eq!((end.reason, end.started), (EndReason::NodeLost, None)),
        other => panic!("{other:?}"),
    }
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
    let record = ExitRecord { started_ms: None, ..an_exit(6) };
    record.write_atomically(&launch.dir.join(EXIT_FILE)).unwrap();
    drop(lock);
    assert_eq!(agent.wait_ended(&launch).reason, EndReason::FailedExit(6));
}
