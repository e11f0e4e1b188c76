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

/// A group in which every file is a pipe, so that each access of the code under test waits until the test, in the place
/// of the kernel, has met it: the order of the accesses is the order of the test.
struct Scripted(tempfile::TempDir);

impl Scripted {
    fn new(files: &[&str]) -> Scripted {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            nix::unistd::mkfifo(&dir.path().join(file), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        // Nobody can make files in a group: this name leads nowhere.
        std::os::unix::fs::symlink("/nonexistent/kill", dir.path().join("cgroup.kill")).unwrap();
        Scripted(dir)
    }

    fn v1(&self) -> Groups {
        let group = || self.0.path().to_owned();
        let v1 = ["freezer", "pids"].map(|controller| (controller.to_owned(), group()));
        Groups { unified: None, v1: v1.into() }
    }

    /// The next access reads this file, and finds this text.
    fn is_read(&self, file: &str, text: &str) {
        fs::write(self.0.path().join(file), text).unwrap();
    }

    /// The next access writes this file; gives what.
    fn is_written(&self, file: &str) -> String {
        fs::read_to_string(self.0.path().join(file)).unwrap()
    }
}

fn a_sleeper() -> (std::process::Child, String) {
    let child = std::process::Command::new("/bin/sleep").arg("300").spawn().unwrap();
    let pid = child.id().to_string();
    (child, pid)
}

#[test]
fn where_a_v1_group_cannot_be_killed_at_once_it_is_frozen_killed_and_thawed() {
    let kernel = Scripted::new(&["freezer.state", "cgroup.procs"]);
    let groups = kernel.v1();
    let (mut sleeper, pid) = a_sleeper();
    let killing = thread::spawn(move || groups.kill(Duration::ZERO));
    kernel.is_read("cgroup.procs", &pid);
    assert_eq!(kernel.is_written("freezer.state"), "FROZEN");
    assert!(sleeper.try_wait().unwrap().is_none(), "nothing is killed before it stands still");
    kernel.is_read("cgroup.procs", &pid);
    assert_eq!(kernel.is_written("freezer.state"), "THAWED");
    // All signals went out before the thaw.
    assert!(!sleeper.wait().unwrap().success());
    kernel.is_read("cgroup.procs", "");
    assert!(killing.join().unwrap().unwrap());
}

#[test]
fn a_v2_group_without_a_kill_file_is_frozen_killed_and_thawed() {
    let kernel = Scripted::new(&["cgroup.freeze", "cgroup.procs", "cgroup.events"]);
    let groups = Groups { unified: Some(kernel.0.path().to_owned()), v1: BTreeMap::new() };
    let (mut sleeper, pid) = a_sleeper();
    let killing = thread::spawn(move || groups.kill(Duration::ZERO));
    kernel.is_read("cgroup.events", "populated 1\n");
    assert_eq!(kernel.is_written("cgroup.freeze"), "1");
    kernel.is_read("cgroup.procs", &pid);
    assert_eq!(kernel.is_written("cgroup.freeze"), "0");
    assert!(!sleeper.wait().unwrap().success());
    kernel.is_read("cgroup.events", "populated 1\n");
    assert!(!killing.join().unwrap().unwrap(), "it is said to be there still");
}

#[test]
fn a_group_that_cannot_be_read_is_not_left_frozen() {
    let kernel = Scripted::new(&["freezer.state", "cgroup.procs"]);
    let groups = kernel.v1();
    let killing = thread::spawn(move || groups.kill(Duration::ZERO));
    kernel.is_read("cgroup.procs", "1000000000");
    let members = kernel.0.path().join("cgroup.procs");
    fs::remove_file(&members).unwrap();
    fs::create_dir(&members).unwrap();
    // One after the other without anything between them, so they may come at once.
    let mut written = String::new();
    while !written.ends_with("THAWED") {
        written += &kernel.is_written("freezer.state");
    }
    assert_eq!(written, "FROZENTHAWED");
    assert!(killing.join().unwrap().is_err());
}
