//! Jobs submitted while the leader is killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use berth_client::{Client, Submit, TaskFilter};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, with_cluster};
use crate::specs;

const JOBS: usize = 200;
const AT_ONCE: usize = 16;
/// After so many acknowledged jobs the leader is killed.
const KILL_AFTER: usize = 60;
const ALL_WITHIN: Duration = Duration::from_secs(60);
/// An election takes half a second to one; the rest is for a machine that does other things as well.
const FIRST_WRITE_WITHIN: Duration = Duration::from_secs(2);

/// A job that was accepted.
#[derive(Debug)]
struct Accepted {
    job: usize,
    run: String,
    asked: Instant,
    answered: Instant,
}

#[test]
fn no_job_is_lost_and_none_runs_twice_when_the_leader_is_killed() {
    with_cluster(3, async |cluster| {
        for name in ["a", "b"] {
            cluster.add_agent(name, "2")?;
            cluster.node_ready(name).await?;
        }
        let written = cluster.directory("written")?;
        let (accepted, killed) = submit_all(cluster, &written).await?;

        let writes = accepted.iter().filter(|job| job.asked >= killed).map(|job| job.answered - killed);
        let first = writes.min().context("some were submitted after the kill")?;
        println!("first new write {} ms after the kill of the leader", first.as_millis());
        ensure!(first < FIRST_WRITE_WITHIN, "the first new write took {first:?}");

        let client = cluster.client()?;
        let began = Instant::now();
        tokio::time::timeout(ALL_WITHIN, all_ran_once(&client, &accepted, &written)).await??;
        println!(
            "all {} of them were over {} ms after the last was accepted",
            accepted.len(),
            began.elapsed().as_millis()
        );
        cluster.agree().await
    });
}

/// Submits jobs from many tasks, and kills the leader in the midst; the server starts again at the end.
async fn submit_all(cluster: &mut Cluster, written: &Path) -> Result<(Vec<Accepted>, Instant)> {
    let leader = cluster.leader().await?;
    let (next, client) = (Arc::new(AtomicUsize::new(0)), cluster.client()?);
    let (sender, mut receiver) = mpsc::channel(AT_ONCE);
    let mut submitting = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (next, client, sender) = (Arc::clone(&next), client.clone(), sender.clone());
        let written = written.to_owned();
        submitting.spawn(async move {
            loop {
                let job = next.fetch_add(1, Ordering::Relaxed);
                if job >= JOBS {
                    return Ok(());
                }
                sender.send(submit(&client, job, &written).await?).await?;
            }
        });
    }
    drop(sender);
    let (mut accepted, mut killed): (Vec<Accepted>, _) = (Vec::new(), None);
    while let Some(job) = receiver.recv().await {
        accepted.push(job);
        if accepted.len() == KILL_AFTER {
            cluster.kill_server(leader)?;
            killed = Some(Instant::now());
            accepted.push(submit(&client, JOBS, written).await?);
        }
    }
    submitting.join_all().await.into_iter().collect::<Result<Vec<()>>>()?;
    cluster.start_server(leader)?;
    ensure!(accepted.len() == JOBS + 1, "only {} were accepted", accepted.len());
    Ok((accepted, killed.context("the leader was killed")?))
}

async fn submit(client: &Client, job: usize, written: &Path) -> Result<Accepted> {
    let line = format!("echo ${{run.id}} ${{attempt}} >> {}/{job}", written.display());
    let spec = specs::shell(&format!("job-{job}"), 1, "50m", &line)?;
    let asked = Instant::now();
    let submitted = client.submit(Submit::spec(spec).start()).await?;
    let run = submitted.run.context("a run was asked for")?;
    Ok(Accepted { job, run, asked, answered: Instant::now() })
}

async fn all_ran_once(client: &Client, accepted: &[Accepted], written: &Path) -> Result<()> {
    for Accepted { job, run, .. } in accepted {
        let result = client.wait(run).await.with_context(|| format!("job {job} was accepted"))?;
        ensure!(result.succeeded(), "job {job}: {}", result.reason);
        let lines = fs::read_to_string(written.join(job.to_string()))?;
        ensure!(lines == format!("{run} 1\n"), "job {job} has written {lines:?}");
        let tasks = client.tasks(run, TaskFilter::default()).collect().await?;
        ensure!(tasks.len() == 1 && tasks[0].attempts.len() == 1, "job {job}: {tasks:?}");
    }
    let mut runs = BTreeMap::new();
    for run in client.runs(Default::default()).collect().await? {
        *runs.entry(run.job).or_insert(0) += 1;
    }
    ensure!(
        runs.len() == accepted.len() && runs.values().all(|&count| count == 1),
        "runs of each job: {runs:?}"
    );
    Ok(())
}
