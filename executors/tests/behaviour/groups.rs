//! The groups by themselves.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use berth_executors::cgroups::{self, Cgroups, Limits, Mode};
use berth_shim::group::Groups;

use crate::{Case, deeds, root, wait_for};

pub(crate) const CASES: &[Case] = &[
    ("limits_are_what_the_kernel_holds", limits_are_what_the_kernel_holds),
    ("members_are_seen_and_killed", members_are_seen_and_killed),
    ("a_tree_of_daemons_is_killed", a_tree_of_daemons_is_killed),
    ("a_frozen_group_stands_still", a_frozen_group_stands_still),
    ("use_is_counted", use_is_counted),
    ("going_past_the_memory_limit_is_counted_as_oom", oom_is_counted),
    ("the_number_of_processes_is_bounded", pids_are_bounded),
    ("a_group_in_use_is_not_removed", a_group_in_use_is_not_removed),
];

const LIMITS: Limits = Limits { cpu_milli: 1000, cpu_hard: false, memory_max: Some(64 << 20), pids_max: 100 };
const PATIENCE: Duration = Duration::from_secs(30);

/// A group for one case.
struct Group {
    cgroups: Arc<dyn Cgroups>,
    name: &'static str,
    groups: Groups,
}

impl Group {
    fn new(name: &'static str, limits: &Limits) -> Group {
        let cgroups = cgroups::detect(&root()).unwrap();
        let groups = cgroups.create(name, limits).unwrap();
        Group { cgroups, name, groups }
    }

    /// Does a deed within the group: the process waits until it has been moved there.
    fn act(&self, deed: &str) -> Child {
        let command = deeds::command(deed);
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read go; exec \"$0\" \"$1\"", &command[0], &command[1]])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        for path in self.groups.paths() {
            fs::write(path.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        child
    }

    fn remove(&self) {
        assert!(self.groups.kill(PATIENCE).unwrap());
        wait_for("the removal", || self.cgroups.remove(self.name).unwrap());
        assert!(!self.cgroups.names().unwrap().contains(&self.name.to_owned()));
    }
}

fn limits_are_what_the_kernel_holds() {
    let limits = Limits { cpu_milli: 1500, cpu_hard: true, memory_max: Some(32 << 20), pids_max: 7 };
    let group = Group::new("limits", &limits);
    let read = |controller: &str, file: &str| {
        let dir = group.groups.v1.get(controller).or(group.groups.unified.as_ref()).unwrap();
        fs::read_to_string(dir.join(file)).unwrap().trim().to_owned()
    };
    if group.cgroups.mode() == Mode::V2 {
        assert_eq!(read("memory", "memory.max"), (32 << 20).to_string());
        assert_eq!(read("memory", "memory.oom.group"), "1");
        assert_eq!(read("cpu", "cpu.weight"), "150");
        assert_eq!(read("cpu", "cpu.max"), "150000 100000");
    } else {
        assert_eq!(read("memory", "memory.limit_in_bytes"), (32 << 20).to_string());
        assert_eq!(read("cpu", "cpu.shares"), "1536");
        assert_eq!(read("cpu", "cpu.cfs_quota_us"), "150000");
    }
    assert_eq!(read("pids", "pids.max"), "7");
    group.remove();
}

fn members_are_seen_and_killed() {
    let group = Group::new("members", &LIMITS);
    assert!(!group.groups.populated().unwrap());
    let mut child = group.act("sleep");
    assert!(group.groups.populated().unwrap());
    assert_eq!(group.groups.pids().unwrap(), [i32::try_from(child.id()).unwrap()]);
    assert!(group.groups.kill(PATIENCE).unwrap());
    assert!(!child.wait().unwrap().success());
    assert!(!group.groups.populated().unwrap());
    group.remove();
}

fn a_tree_of_daemons_is_killed() {
    let group = Group::new("daemons", &LIMITS);
    assert!(group.act("daemons 30").wait().unwrap().success());
    wait_for("the daemons", || group.groups.pids().unwrap().len() == 30);
    assert!(group.groups.kill(PATIENCE).unwrap());
    assert!(group.groups.pids().unwrap().is_empty());
    group.remove();
}

fn a_frozen_group_stands_still() {
    let group = Group::new("frozen", &LIMITS);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("count");
    let read = || fs::read(&file).unwrap_or_default();
    let mut child = group.act(&format!("count {}", file.display()));
    wait_for("counting", || !read().is_empty());
    group.groups.freeze(true).unwrap();
    wait_for("standing still", || {
        let before = read();
        std::thread::sleep(Duration::from_millis(50));
        before == read() && !before.is_empty()
    });
    let before = read();
    group.groups.freeze(false).unwrap();
    wait_for("going on", || read() != before);
    group.groups.freeze(true).unwrap();
    assert!(group.groups.kill(PATIENCE).unwrap(), "a frozen group can be killed");
    child.wait().unwrap();
    group.remove();
}

fn use_is_counted() {
    let group = Group::new("usage", &LIMITS);
    assert!(group.act("hog 20").wait().unwrap().success());
    assert!(group.act("burn 100").wait().unwrap().success());
    let mut child = group.act("sleep");
    let usage = group.groups.usage();
    assert!(usage.cpu_us >= 20_000, "{usage:?}");
    // Before 5.19 cgroup v2 has no peak.
    let has_peak = group
        .groups
        .paths()
        .any(|path| path.join("memory.peak").exists() || path.join("memory.max_usage_in_bytes").exists());
    assert!(!has_peak || usage.memory_peak >= 20 << 20, "{usage:?}");
    assert_eq!((usage.pids, usage.oom_kills), (1, 0));
    group.remove();
    child.wait().unwrap();
}

fn oom_is_counted() {
    let group = Group::new("oom", &LIMITS);
    assert!(!group.act("hog 200").wait().unwrap().success());
    assert!(group.groups.usage().oom_kills >= 1);
    group.remove();
}

fn pids_are_bounded() {
    let group = Group::new("pids", &Limits { pids_max: 10, ..LIMITS });
    group.act("daemons 50").wait().unwrap();
    assert!(group.groups.usage().pids <= 10);
    assert!(group.groups.kill(PATIENCE).unwrap());
    group.remove();
}

fn a_group_in_use_is_not_removed() {
    let group = Group::new("busy", &LIMITS);
    let mut child = group.act("sleep");
    assert!(!group.cgroups.remove("busy").unwrap());
    assert!(group.groups.kill(PATIENCE).unwrap());
    child.wait().unwrap();
    group.remove();
}
