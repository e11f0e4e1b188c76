//! Control groups that are left over, of others, or to be cleared away.

use std::fs;
use std::process::Command;

use berth_core::time::Millis;
use berth_executors::cgroups;
use berth_executors::exec::IsolationChoice::Best;
use berth_executors::executor::{Executor, Launch};

use crate::exec_ground::{Agent, ExecGround, has_cgroups, wait_for};

fn a_running_task(ground: &ExecGround, agent: &mut Agent) -> Launch {
    let launch = ground.script("exec sleep 300");
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    launch
}

#[test]
fn a_group_without_attempt_is_a_rogue_and_can_be_killed() {
    if has_cgroups().is_none() {
        return;
    }
    let ground = ExecGround::new(Best);
    let mut agent = ground.start();
    let launch = a_running_task(&ground, &mut agent);
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
    let launch = a_running_task(&ground, &mut first);
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
    let launch = a_running_task(&ground, &mut agent);
    let Agent { executor, events: _events } = agent;
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
