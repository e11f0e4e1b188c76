use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Command as Program;
use std::thread;

use berth_shim::process::{Process, boot_id};
use berth_shim::record::{LogSizes, ORDER_FILE, RUN_FILE, Record, RunRecord};

use super::*;
use crate::exec::isolation::Isolation;
use crate::exec::{Config, IsolationChoice};

fn a_machine() -> Machine {
    let config = Config {
        shim_program: "/nowhere".into(),
        cgroup_root: String::new(),
        isolation: IsolationChoice::Plain,
        end_with: None,
        open_files: None,
        log: LogSizes::default(),
        launchers: 1,
    };
    let isolation = Isolation::probe(&config);
    Machine { config, isolation, boot_id: boot_id().unwrap(), stuck: Default::default() }
}

#[test]
#[expect(clippy::zombie_processes, reason = "the watcher waits for it")]
fn a_program_that_was_told_to_run_has_run_even_if_its_shim_could_not_record_it() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_owned();
    let (sink, events) = sync_channel(16);
    let (watcher, handle) = Watcher::new(Arc::new(a_machine()), sink);
    let watching = thread::spawn(move || watcher.run());
    File::create(dir.join(ORDER_FILE)).unwrap();
    let (said, says) = std::io::pipe().unwrap();
    let shim =
        Program::new("/bin/sh").args(["-c", "echo started 5; kill -9 $$"]).stdout(says).spawn().unwrap();
    let pid = i32::try_from(shim.id()).unwrap();
    let attempt = AttemptHandle(1);
    handle.send(Command::Expect { attempt, name: "a".into(), dir, stopped: Arc::default() });
    let spawned = Spawned { pid, shim: Pidfd::of_child(pid).unwrap(), said };
    handle.send(Command::Spawned { attempt, spawned });
    let patience = Duration::from_secs(20);
    let at = Timestamp(5);
    assert_eq!(events.recv_timeout(patience), Ok(Event::Started { attempt, at }));
    match events.recv_timeout(patience) {
        Ok(Event::Ended { end, .. }) => {
            assert_eq!((end.reason, end.started), (EndReason::FailedSignal(9), Some(at)));
        }
        other => panic!("{other:?}"),
    }
    drop(handle);
    watching.join().unwrap();
}

#[test]
#[expect(clippy::zombie_processes, reason = "the watcher waits for it")]
fn a_supervisor_that_cannot_be_waited_on_is_looked_at() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_owned();
    let (sink, events) = sync_channel(16);
    let (watcher, handle) = Watcher::new(Arc::new(a_machine()), sink);
    let watching = thread::spawn(move || watcher.run());

    // A process that holds the lock, in the place of a shim.
    let order = File::create(dir.join(ORDER_FILE)).unwrap();
    order.lock().unwrap();
    let mut shim = Program::new("/bin/cat")
        .stdin(std::process::Stdio::piped())
        .stderr(order.try_clone().unwrap())
        .spawn()
        .unwrap();
    drop(order);
    let pid = i32::try_from(shim.id()).unwrap();
    let process = Process::of(pid).unwrap();
    let record = RunRecord {
        shim: process,
        task: process,
        boot_id: boot_id().unwrap(),
        groups: Default::default(),
        started_ms: 5,
        started_boot_ms: 5,
    };
    record.write(&dir.join(RUN_FILE)).unwrap();

    // No kernel lets a plain file be waited on.
    let deaf = OwnedFd::from(File::open(dir.join(RUN_FILE)).unwrap());
    let attempt = AttemptHandle(1);
    let stopped = Arc::default();
    handle.send(Command::Expect { attempt, name: "a".into(), dir, stopped });
    let spawned = Spawned { pid, shim: Pidfd::of_child(pid).unwrap(), said: deaf.into() };
    handle.send(Command::Spawned { attempt, spawned });
    let patience = Duration::from_secs(20);
    let at = Timestamp(5);
    assert_eq!(events.recv_timeout(patience), Ok(Event::Started { attempt, at }));
    drop(shim.stdin.take());
    match events.recv_timeout(patience) {
        Ok(Event::Ended { end, .. }) => assert_eq!(end.reason, EndReason::FailedSignal(9)),
        other => panic!("{other:?}"),
    }
    drop(handle);
    watching.join().unwrap();
}
