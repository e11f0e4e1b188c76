//! What a task has around it.

use berth_core::reason::EndReason;
use berth_executors::exec::IsolationChoice::{Best, Plain};
use berth_shim::log::Stream;

use crate::exec_ground::{ExecGround, has_cgroups};

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
