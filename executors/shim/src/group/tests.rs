use super::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

#[test]
fn v2_counters_come_from_their_own_files() {
    let dir = tree(&[
        ("memory.current", "10\n"),
        ("memory.peak", "20\n"),
        ("cpu.stat", "usage_usec 30\nuser_usec 1\n"),
        ("pids.current", "4\n"),
        ("memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n"),
    ]);
    let groups = Groups { unified: Some(dir.path().into()), v1: BTreeMap::new() };
    assert_eq!(groups.usage(), Usage { memory: 10, memory_peak: 20, cpu_us: 30, pids: 4, oom_kills: 1 });
}

#[test]
fn v1_counts_only_kills_as_oom() {
    let dir = tree(&[("memory.oom_control", "oom_kill_disable 0\nunder_oom 1\noom_kill 3\n")]);
    let groups = Groups { unified: None, v1: [("memory".to_owned(), dir.path().into())].into() };
    assert_eq!(groups.usage().oom_kills, 3);
}

#[test]
fn a_group_that_is_gone_is_empty() {
    let groups = Groups { unified: Some("/nonexistent/group".into()), v1: BTreeMap::new() };
    assert!(!groups.populated().unwrap());
    assert!(groups.pids().unwrap().is_empty());
    assert!(groups.kill(Duration::ZERO).unwrap());
}

#[test]
fn killing_writes_the_kill_file_and_gives_up_after_its_patience() {
    let dir = tree(&[("cgroup.events", "populated 1\nfrozen 0\n"), ("cgroup.kill", "")]);
    let groups = Groups { unified: Some(dir.path().into()), v1: BTreeMap::new() };
    assert!(!groups.kill(Duration::from_millis(5)).unwrap());
    assert_eq!(fs::read_to_string(dir.path().join("cgroup.kill")).unwrap(), "1");
}
