//! One-task jobs of `/bin/true` through three servers and an agent, all processes with all their syncs, beside a
//! plain loop that starts the same program as often.
//!
//! Take a minute between two runs: ext4 passes over inodes that were deleted a moment ago one by one when it makes new
//! files, and the directory of the run before holds some 15,000. The processor time a job tells: it doubles.

use std::collections::HashSet;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use berth_client::api::run_event::Kind;
use berth_client::{Client, JobSpec, RunFilter, Submit, WatchFilter, Watched};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, Used};
use crate::distribution::{Distribution, millis};
use crate::report::{Report, short};

/// Jobs of the throughput measurement.
const JOBS: usize = 1_000;
/// Submissions on their way at once.
const IN_FLIGHT: usize = 64;
/// Jobs of the latency measurement, one after the other.
const SINGLES: usize = 50;
/// The least rate, from the first submission to the last end.
const RATE: f64 = 200.0;
/// The most that half of all single submissions may take until they run.
const RUNNING_MS: f64 = 20.0;
/// How long everything may take.
const DONE_MAX: Duration = Duration::from_secs(120);

/// Measures and judges.
pub(crate) fn run() -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let directory = tempfile::tempdir()?;
    let mut report = Report::default();

    let bare = plain_loop()?;
    let cluster = runtime.block_on(Cluster::start(directory.path()))?;
    let measured = runtime.block_on(async {
        let client = cluster.client()?;
        let singles =
            tokio::time::timeout(DONE_MAX, singles(&client)).await.context("single jobs took too long")??;
        let took = tokio::time::timeout(DONE_MAX, many(&cluster, &client))
            .await
            .context("the jobs took too long")??;
        anyhow::Ok((singles, took))
    });
    let (singles, (took, used)) = match measured {
        Ok(measured) => measured,
        Err(error) => {
            // The servers' logs go with the directory.
            let kept = directory.keep();
            return Err(error.context(format!("logs are in {}", kept.display())));
        }
    };
    cluster.stop()?;

    report.section(&format!("{JOBS} jobs of /bin/true, {IN_FLIGHT} submissions at once"));
    let rate = JOBS as f64 / took.as_secs_f64();
    let loop_rate = JOBS as f64 / bare.as_secs_f64();
    report.tell("a plain loop of spawn and wait", &format!("{} /s", short(loop_rate)));
    report.tell("of which Berth reaches", &format!("{} %", short(rate / loop_rate * 100.0)));
    report.at_least("jobs a second, submitted to done", rate, RATE, "/s");
    let each = |used: Duration| format!("{:.2} ms", millis(used) / JOBS as f64);
    report.tell("processor time a job, the three servers", &each(used.servers));
    report.tell("processor time a job, the agent and its shims", &each(used.agent));

    report.section(&format!("{SINGLES} jobs one after the other on an idle cluster"));
    report.tell("submit to running, in state time", &singles.running.to_string());
    report.tell("submit to acknowledged, seen by the client", &singles.acknowledged.to_string());
    report.at_most("p50 from submit to running", millis(singles.running.per_mille(500)), RUNNING_MS, "ms");
    Ok(report.end())
}

/// How long it takes to start the program and wait for it as often as there are jobs.
fn plain_loop() -> Result<Duration> {
    let began = Instant::now();
    for _ in 0..JOBS {
        ensure!(Command::new("/bin/true").status()?.success(), "/bin/true failed");
    }
    Ok(began.elapsed())
}

fn a_job(name: &str, command: &str) -> Result<JobSpec> {
    let text = format!(
        "apiVersion: berth/v1\nkind: Job\nname: {name}\ntenant: default\ntasks:\n  - name: only\n    exec: {{ command: \
         {command} }}\n    resources: {{ cpu: 10m, memory: 16Mi }}\n"
    );
    Ok(berth_client::parse_spec(name, &text)?)
}

/// What single submissions took.
struct Singles {
    /// From the instant the leader made the run to the one at which it learned that the program runs.
    running: Distribution,
    /// From the call to its answer.
    acknowledged: Distribution,
}

/// Submits one job after the other; each runs for a moment, so that it is seen running.
async fn singles(client: &Client) -> Result<Singles> {
    let mut watch = client.watch(WatchFilter { with_tasks: true, ..WatchFilter::default() });
    while !matches!(watch.next().await.context("the watch ended")??, Watched::Mark(_)) {}
    let (mut running, mut acknowledged) = (Vec::new(), Vec::new());
    for number in 0..SINGLES {
        let spec = a_job(&format!("single-{number}"), "[\"/bin/sleep\", \"0.1\"]")?;
        let began = Instant::now();
        let submitted = client.submit(Submit::spec(spec).start()).await?;
        acknowledged.push(began.elapsed());
        let run = submitted.run.context("no run was started")?;
        let (mut created, mut started) = (None, None);
        loop {
            let Watched::Event(event) = watch.next().await.context("the watch ended")?? else { continue };
            if event.run != run {
                continue;
            }
            match event.kind() {
                Kind::RunCreated => created = Some(event.time_ms),
                Kind::AttemptStarted => started = Some(event.time_ms),
                Kind::RunEnded => break,
                _ => {}
            }
        }
        let (created, started) =
            created.zip(started).context("a run ended without having been seen running")?;
        running.push(Duration::from_millis(started.saturating_sub(created)));
    }
    Ok(Singles { running: Distribution::of(running), acknowledged: Distribution::of(acknowledged) })
}

/// Submits all jobs and waits until all have ended; gives the time from the first submission to the last end, and the
/// processor time that it took.
async fn many(cluster: &Cluster, client: &Client) -> Result<(Duration, Used)> {
    let specs: Vec<JobSpec> =
        (0..JOBS).map(|number| a_job(&format!("many-{number}"), "[\"/bin/true\"]")).collect::<Result<_>>()?;
    let mut watch = client.watch(WatchFilter::default());
    while !matches!(watch.next().await.context("the watch ended")??, Watched::Mark(_)) {}

    let before = cluster.used()?;
    let began = Instant::now();
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut submissions = JoinSet::new();
    for spec in specs {
        let (client, room) = (client.clone(), Arc::clone(&room));
        submissions.spawn(async move {
            let _permit = room.acquire().await;
            client.submit(Submit::spec(spec).start()).await
        });
    }
    let mut ended = HashSet::new();
    while ended.len() < JOBS {
        tokio::select! {
            Some(submitted) = submissions.join_next() => {
                submitted??;
            }
            watched = watch.next() => match watched.context("the watch ended")?? {
                Watched::Event(event) if event.kind() == Kind::RunEnded => {
                    ended.insert(event.run);
                }
                Watched::Event(_) | Watched::Snapshot(_) | Watched::Mark(_) => {}
                Watched::Gap { .. } => bail!("events were lost"),
            },
        }
    }
    let took = began.elapsed();
    let after = cluster.used()?;
    let used = Used { servers: after.servers - before.servers, agent: after.agent - before.agent };

    let runs = client.runs(RunFilter::default()).collect().await?;
    let succeeded = runs.iter().filter(|run| run.tasks == 1 && run.tasks_succeeded == 1).count();
    ensure!(succeeded == JOBS + SINGLES, "{succeeded} runs succeeded, not {}", JOBS + SINGLES);
    Ok((took, used))
}
