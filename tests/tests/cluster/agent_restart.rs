//! An agent that is killed while its tasks run.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use berth_client::api::end_reason::Kind;
use berth_client::{EndReason, Submit, TaskFilter};

use crate::attempts;
use crate::cluster::with_cluster;
use crate::silent_engine::SilentEngine;
use crate::specs;
use crate::waiting::until;

const TASKS: u32 = 50;
/// So many of them end while there is no agent.
const UNSEEN: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn fifty_tasks_outlive_the_kill_of_their_agent_and_their_exits_are_true() {
    with_cluster(1, async |cluster| {
        let agent = cluster.add_agent("a", "5")?;
        let data = cluster.agents[agent].data_dir.clone();
        let dir = cluster.directory("gates")?;
        for gate in ["first", "second"] {
            ensure!(Command::new("mkfifo").arg(dir.join(gate)).status()?.success());
        }
        // Each waits without using the processor until its gate is opened, then says its index by its exit code.
        let line = format!(
            "gate=second; [ $BERTH_TASK_INDEX -lt {UNSEEN} ] && gate=first; : < {}/$gate; exit $BERTH_TASK_INDEX",
            dir.display()
        );
        let client = cluster.client()?;
        let submit = Submit::spec(specs::shell("fifty", TASKS, "100m", &line)?).start();
        let run = client.submit(submit).await?.run.context("a run was asked for")?;
        let all = usize::try_from(TASKS)?;
        let before = until("fifty running tasks", MINUTE, async || {
            Ok(Some(attempts::running(&data)?).filter(|running| running.len() == all))
        })
        .await?;

        cluster.kill_agent(agent)?;
        open(&dir.join("first"))?;
        until("tasks that end without an agent", MINUTE, async || {
            let ended = before.keys().filter(|name| attempts::has_ended(&data, name)).count();
            Ok((ended == usize::try_from(UNSEEN)?).then_some(()))
        })
        .await?;
        cluster.start_agent(agent)?;
        let client = cluster.client()?;
        until("the ends that nobody saw", MINUTE, async || {
            let run = client.run(&run).await?;
            Ok((run.tasks_succeeded + run.tasks_failed == u64::from(UNSEEN)).then_some(()))
        })
        .await?;
        let after = attempts::running(&data)?;
        ensure!(after.len() == all - usize::try_from(UNSEEN)?, "{} still run", after.len());
        ensure!(
            after.iter().all(|(name, record)| before.get(name) == Some(record)),
            "other processes run now"
        );
        ensure!(after.values().all(|record| attempts::lives(record.task)), "a task has ended");
        open(&dir.join("second"))?;

        let result = client.wait(&run).await?;
        ensure!(result.reason.to_string().contains("failed"), "{}", result.reason);
        let mut exits = BTreeMap::new();
        for task in client.tasks(&run, TaskFilter::default()).collect().await? {
            ensure!(task.attempts.len() == 1, "{}[{}] was tried {:?}", task.name, task.index, task.attempts);
            let reason = task.reason.context("it has ended")?;
            let exit = match reason.kind() {
                Kind::Succeeded => 0,
                Kind::FailedExit => reason.number,
                _ => anyhow::bail!("task {} ended otherwise: {reason:?}", task.index),
            };
            exits.insert(i64::from(task.index), i64::from(exit));
        }
        ensure!(exits.len() == all && exits.iter().all(|(index, exit)| index == exit), "{exits:?}");
        println!(
            "{} tasks went on with the same processes, {UNSEEN} ended unseen; all exits are true",
            after.len()
        );
        Ok(())
    });
}

#[test]
fn a_docker_engine_that_hangs_when_an_agent_starts_costs_no_exec_task_its_node() {
    with_cluster(1, async |cluster| {
        let engine = SilentEngine::new(cluster.path());
        engine.greet(true);
        let agent = cluster.add_agent("a", "5")?;
        // Made without an engine, so that the socket can be told.
        cluster.kill_agent(agent)?;
        cluster.agents[agent].docker = Some(engine.socket.clone());
        cluster.start_agent(agent)?;
        let data = cluster.agents[agent].data_dir.clone();
        let gate = cluster.directory("gates")?.join("gate");
        ensure!(Command::new("mkfifo").arg(&gate).status()?.success());
        let client = cluster.client()?;
        let line = format!(": < {}", gate.display());
        let submit = Submit::spec(specs::shell("waits", 1, "100m", &line)?).start();
        let run = client.submit(submit).await?.run.context("a run was asked for")?;
        client.submit(Submit::spec(specs::container("hangs")?).start()).await?;
        until("a task that runs and a container that is begun", MINUTE, async || {
            let both = attempts::running(&data)?.len() == 1 && attempts::containers(&data) == 1;
            Ok(both.then_some(()))
        })
        .await?;

        cluster.kill_agent(agent)?;
        let log = cluster.agents[agent].data_dir.with_extension("log");
        let welcomes = || anyhow::Ok(fs::read_to_string(&log)?.matches("has welcomed the agent").count());
        let (before, begun) = (welcomes()?, Instant::now());
        cluster.start_agent(agent)?;
        // An agent that looks at its attempts for longer than its lease has lost them.
        until("the welcome of the new agent", MINUTE, async || Ok((welcomes()? > before).then_some(())))
            .await?;
        println!("the agent was welcomed {:?} after its start", begun.elapsed());
        open(&gate)?;
        let result = client.wait(&run).await?;
        ensure!(result.reason == EndReason::Succeeded, "{}", result.reason);
        for task in client.tasks(&run, TaskFilter::default()).collect().await? {
            ensure!(task.attempts.len() == 1, "it was tried {:?}", task.attempts);
        }
        Ok(())
    });
}

/// Lets all go that wait for it.
fn open(gate: &Path) -> Result<()> {
    OpenOptions::new().write(true).open(gate)?;
    Ok(())
}
