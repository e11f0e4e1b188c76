use std::fs;

use super::*;

const HYBRID: &str = "\
25 1 0:23 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
26 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:4 - cgroup cgroup rw,cpu,cpuacct
27 25 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
28 25 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
29 25 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
30 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

const LIMITS: Limits = Limits { cpu_milli: 500, cpu_hard: false, memory_max: Some(1 << 20), pids_max: 64 };

#[test]
fn the_mode_follows_from_where_the_controllers_are() {
    let mut mounts = Mounts::parse(HYBRID);
    assert_eq!(mounts.unified, Some("/sys/fs/cgroup/unified".into()));
    assert_eq!(mounts.v1["cpuacct"], mounts.v1["cpu"]);
    assert_eq!(mounts.mode(), Ok(Mode::Hybrid));
    mounts.unified_controllers = ["cpu", "memory", "pids"].map(str::to_owned).into();
    assert_eq!(mounts.mode(), Ok(Mode::V2));
    mounts.unified = None;
    mounts.unified_controllers.clear();
    assert_eq!(mounts.mode(), Ok(Mode::V1));
    mounts.v1.remove("pids");
    assert!(mounts.mode().unwrap_err().contains("pids"));
    assert!(Mounts::default().mode().unwrap_err().contains("no control groups"));
}

/// A directory in the place of the v2 mount: the names and values that would reach the kernel.
fn v2() -> (tempfile::TempDir, V2) {
    let dir = tempfile::tempdir().unwrap();
    let mounts = Mounts { unified: Some(dir.path().into()), ..Mounts::default() };
    let cgroups = V2::new(&mounts, "a/berth").unwrap();
    (dir, cgroups)
}

#[test]
fn v2_hands_the_controllers_down_to_the_tasks_group() {
    let (dir, _) = v2();
    for path in ["", "a", "a/berth", "a/berth/attempts"] {
        let text = fs::read_to_string(dir.path().join(path).join("cgroup.subtree_control")).unwrap();
        assert_eq!(text, "+cpu +memory +pids", "{path}");
    }
    assert!(!dir.path().join("a/berth/shims/cgroup.subtree_control").exists());
}

#[test]
fn v2_limits_are_written_to_the_groups_files() {
    let (dir, cgroups) = v2();
    let groups = cgroups.create("t", &LIMITS).unwrap();
    assert_eq!(groups.unified, Some(dir.path().join("a/berth/attempts/t")));
    let read = |file| fs::read_to_string(groups.unified.as_ref().unwrap().join(file)).unwrap();
    assert_eq!(read("cpu.weight"), "50");
    assert_eq!(read("memory.max"), "1048576");
    assert_eq!(read("memory.swap.max"), "0");
    assert_eq!(read("pids.max"), "64");
}

#[test]
fn v1_limits_are_written_in_each_hierarchy() {
    let dir = tempfile::tempdir().unwrap();
    let mut mounts = Mounts::parse(&HYBRID.replace("/sys/fs/cgroup", dir.path().to_str().unwrap()));
    let hybrid = V1::new(&mounts, "berth").unwrap();
    assert_eq!(hybrid.mode(), Mode::Hybrid);
    let groups = hybrid.create("t", &LIMITS).unwrap();
    assert_eq!(groups.v1.keys().collect::<Vec<_>>(), ["cpu", "memory", "pids"]);
    assert!(groups.unified.is_some());
    let read = |controller: &str, file| fs::read_to_string(groups.v1[controller].join(file)).unwrap();
    assert_eq!(read("cpu", "cpu.shares"), "512");
    assert_eq!(read("memory", "memory.limit_in_bytes"), "1048576");
    assert_eq!(read("memory", "memory.memsw.limit_in_bytes"), "1048576");
    assert_eq!(read("pids", "pids.max"), "64");
    assert_eq!(hybrid.names().unwrap(), ["t"]);
    mounts.unified = None;
    let v1 = V1::new(&mounts, "other").unwrap();
    assert_eq!(v1.mode(), Mode::V1);
    let groups = v1.create("t", &LIMITS).unwrap();
    assert_eq!(groups.v1["cpu"], groups.v1["cpuacct"]);
}

#[test]
fn a_group_is_made_only_once() {
    let (_dir, cgroups) = v2();
    cgroups.create("t", &LIMITS).unwrap();
    assert!(matches!(cgroups.create("t", &LIMITS), Err(Error::Exists { .. })));
}

#[test]
fn a_group_that_is_not_there_counts_as_removed() {
    let (_dir, cgroups) = v2();
    assert!(cgroups.remove("never").unwrap());
}
