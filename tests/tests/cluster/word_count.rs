//! The word count on three servers and two agents, of which some are killed meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use berth_client::TaskFilter;
use berth_client::api::RunState;
use serde_json::Value;

use crate::cluster::with_cluster;
use crate::daemon::Daemon;
use crate::waiting::until;
use crate::{attempts, programs, specs};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn the_word_count_survives_the_kill_of_the_leader_and_of_an_agent() {
    with_cluster(3, async |cluster| {
        // Five counters at a time on each node.
        let agents = [cluster.add_agent("a", "500m")?, cluster.add_agent("b", "500m")?];
        cluster.node_ready("a").await?;
        cluster.node_ready("b").await?;
        let examples = cluster.directory("examples")?;
        slow_example(&examples)?;

        let mut wait = cluster.command();
        wait.args(["job", "run", "examples/wordcount.yaml", "--wait", "-o", "json"]).stdout(Stdio::piped());
        let log = cluster.path().join("wait.log");
        let mut wait = Daemon::start("berth job run --wait", &mut wait, &log)?;
        let client = cluster.client()?;
        let run = until("counters that have ended", MINUTE, async || {
            let runs = client.runs(Default::default()).collect().await?;
            let counted = runs.first().filter(|run| run.tasks_succeeded > 4);
            Ok(counted.map(|run| run.id.clone()))
        })
        .await?;

        let leader = cluster.leader().await?;
        cluster.kill_server(leader)?;
        let data = agents.map(|at| cluster.agents[at].data_dir.clone());
        let (killed, running) = until("an agent with tasks", MINUTE, async || {
            let busy = (0..2).map(|at| (at, attempts::running(&data[at])));
            Ok(busy
                .filter_map(|(at, running)| Some((at, running.ok()?)))
                .find(|(_, running)| running.len() > 2))
        })
        .await?;
        cluster.kill_agent(agents[killed])?;
        until("tasks that end while their agent is gone", MINUTE, async || {
            Ok(running.keys().all(|name| attempts::has_ended(&data[killed], name)).then_some(()))
        })
        .await?;
        ensure!(client.run(&run).await?.state() != RunState::Ended, "it was over too early to show anything");
        cluster.start_agent(agents[killed])?;

        let status = wait.end(MINUTE).await?;
        ensure!(status.code() == Some(0), "berth job run --wait: {status}\n{}", wait.log()?);
        let stdout = wait.child().stdout.take().context("its stdout is a pipe")?;
        let last = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().last();
        let result = last.context("it prints how the run ended")??;
        ensure!(result["reason"]["word"] == "succeeded", "{result}");
        // An attempt that was on its way to the agent when that was killed has not begun, and is made up for.
        for task in client.tasks(&run, TaskFilter::default()).collect().await? {
            let begun = task.attempts.iter().filter(|attempt| attempt.started_ms.is_some()).count();
            ensure!(begun == 1, "{}[{}] was begun {begun} times: {:?}", task.name, task.index, task.attempts);
        }
        let mut began = BTreeSet::new();
        for name in data
            .iter()
            .map(|data| attempts::begun(data))
            .collect::<Result<Vec<_>>>()?
            .iter()
            .flat_map(|all| all.keys())
        {
            let (task, _number) = name.rsplit_once('.').context("attempts are named TASK.NUMBER")?;
            ensure!(began.insert(task.to_owned()), "{task} was begun twice");
        }
        let counted = fs::read(cluster.shared().join(&run).join("result"))?;
        ensure!(counted == expected()?, "the result differs from sort | uniq -c");
        println!(
            "{} tasks that ended without their agent; leader and agent killed, result equal",
            running.len()
        );
        cluster.start_server(leader)?;
        cluster.agree().await
    });
}

/// A copy of the example with more counters, each of which takes a while.
fn slow_example(to: &Path) -> Result<()> {
    specs::copy_word_count(to)?;
    let file = to.join("wordcount.yaml");
    let spec = fs::read_to_string(&file)?;
    fs::write(file, spec.replace("LINES_PER_PART: \"20\"", "LINES_PER_PART: \"5\""))?;
    let count = to.join("wordcount/count.sh");
    let script = fs::read_to_string(&count)?.replace("set -eu\n", "set -eu\nsleep 1\n");
    Ok(fs::write(count, script)?)
}

/// The same by the tools of the system, and nothing of the example but its texts.
fn expected() -> Result<Vec<u8>> {
    let script = r"cat examples/wordcount/texts/*.txt | tr 'A-Z' 'a-z' | tr -cs 'a-z' '\n' | grep . | sort | uniq -c |
        sed -e 's/^ *//' | sort -k1,1nr -k2,2";
    let output = Command::new("sh")
        .args(["-c", script])
        .env("LC_ALL", "C")
        .current_dir(programs::repository())
        .output()?;
    ensure!(output.status.success() && !output.stdout.is_empty());
    Ok(output.stdout)
}
