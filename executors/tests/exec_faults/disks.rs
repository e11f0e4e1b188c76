//! Tasks on a disk that is full.

use std::fs;
use std::path::Path;

use berth_core::reason::EndReason;
use berth_executors::exec::IsolationChoice::{Best, Plain};
use berth_executors::executor::Executor;
use berth_shim::log::{Chunk, Reader, Stream};
use nix::mount::{MsFlags, mount};

use crate::exec_ground::{ExecGround, wait_for};

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
