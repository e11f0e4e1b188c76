//! The programs of the SDK on three servers, of which the leader is killed meanwhile.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, with_cluster};
use crate::daemon::Daemon;
use crate::programs;
use crate::waiting::until;

const ENDS_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn the_sdk_examples_go_on_when_the_leader_is_killed() {
    with_cluster(3, async |cluster| {
        let mut submit = start(cluster, "submit_and_wait", &[])?;
        // Its first line says that the run is accepted; without a node it waits.
        let mut said = BufReader::new(submit.child().stdout.take().context("its stdout is a pipe")?);
        let mut first = String::new();
        said.read_line(&mut first)?;
        let run = first
            .strip_prefix("run ")
            .and_then(|rest| rest.split(' ').next())
            .context(first.clone())?
            .to_owned();
        let mut watch = start(cluster, "watch_and_logs", &["sdk-hello"])?;
        let mut watched = BufReader::new(watch.child().stdout.take().context("its stdout is a pipe")?);
        let mut seen = String::new();
        watched.read_line(&mut seen)?;

        let leader = cluster.leader().await?;
        cluster.kill_server(leader)?;
        cluster.add_agent("a", "1")?;

        let status = submit.end(ENDS_WITHIN).await?;
        let mut rest = String::new();
        said.read_to_string(&mut rest)?;
        ensure!(status.code() == Some(0), "{status}: {rest}\n{}", submit.log()?);
        for line in
            ["succeeded: 3 of 3 tasks", "greet[0]: hello from the left", "greet[1]: hello from the right"]
        {
            ensure!(rest.contains(line), "`{line}` is missing in:\n{rest}");
        }

        let status = watch.end(ENDS_WITHIN).await?;
        watched.read_to_string(&mut seen)?;
        ensure!(status.code() == Some(0), "{status}: {seen}\n{}", watch.log()?);
        for line in
            ["greet[0] | hello from the left", "greet[1] | hello from the right", "3 of 3 tasks succeeded"]
        {
            ensure!(seen.contains(line), "`{line}` is missing in:\n{seen}");
        }
        let client = cluster.client()?;
        until("the run's end", ENDS_WITHIN, async || Ok(client.run(&run).await?.ended_ms)).await?;
        Ok(())
    });
}

fn start(cluster: &Cluster, name: &str, arguments: &[&str]) -> Result<Daemon> {
    let mut command = programs::command(name);
    command.args(arguments).env("BERTH_SERVER", cluster.endpoints()).stdout(Stdio::piped());
    Daemon::start(name, &mut command, &cluster.path().join(format!("{name}.log")))
}
