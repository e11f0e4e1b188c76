//! Watches the runs of a job and follows the logs of each task from its start, until a run of the job has ended.
//!
//! `watch_and_logs JOB [TENANT]`

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context, Result, bail};
use berth_client::api::run_event::{Kind, Now};
use berth_client::api::{RunEvent, RunState};
use berth_client::{Client, LogDecoder, LogQuery, WatchFilter, Watched};
use futures_util::stream::{FuturesUnordered, StreamExt};

#[tokio::main]
async fn main() -> Result<()> {
    let client = berth_examples::client_from_environment()?;
    let job = std::env::args().nth(1).context("give the name of a job")?;
    let tenant = std::env::args().nth(2).unwrap_or_else(|| "default".to_owned());
    let filter =
        WatchFilter { tenant: Some(tenant), job: Some(job), with_tasks: true, ..WatchFilter::default() };

    let mut watch = client.watch(filter);
    let (mut followed, mut logs) = (BTreeSet::new(), FuturesUnordered::new());
    let mut ended = None;
    while ended.is_none() {
        tokio::select! {
            watched = watch.next() => match watched.context("a watch goes on until it fails")?? {
                Watched::Snapshot(run) if run.state() == RunState::Ended => {}
                Watched::Snapshot(run) => say(&format!("{} is there already", run.id))?,
                Watched::Event(event) => {
                    tell(&event)?;
                    if let Some(query) = started(&event)
                        && followed.insert((query.task.clone(), query.index, query.attempt))
                    {
                        logs.push(follow(client.clone(), query));
                    }
                    if event.kind() == Kind::RunEnded {
                        ended = Some(event);
                    }
                }
                // The state that follows is complete; only the way to it was missed.
                Watched::Gap { after } => say(&format!("what followed event {} was missed", after.index))?,
                Watched::Mark(_) => {}
            },
            Some(done) = logs.next(), if !logs.is_empty() => done?,
        }
    }
    // What the last tasks wrote may still be on its way.
    while let Some(done) = logs.next().await {
        done?;
    }
    match ended.and_then(|event| event.now) {
        Some(Now::RunView(run)) => say(&format!("{} of {} tasks succeeded", run.tasks_succeeded, run.tasks)),
        _ => bail!("the end of a run comes with the run"),
    }
}

fn tell(event: &RunEvent) -> Result<()> {
    let what = match &event.now {
        Some(Now::Step(step)) => step.name.clone(),
        Some(Now::Task(task)) => format!("{}[{}]", task.name, task.index),
        Some(Now::RunView(_)) | None => "the run".to_owned(),
    };
    say(&format!("{:?}: {what}", event.kind()))
}

/// The log to follow, if this event says that an attempt has started. Of a short one the first news can be its end.
fn started(event: &RunEvent) -> Option<LogQuery> {
    let Some(Now::Task(task)) = &event.now else { return None };
    let news = matches!(event.kind(), Kind::AttemptStarted | Kind::AttemptEnded);
    let attempt = task.attempts.last().filter(|attempt| news && attempt.started_ms.is_some())?;
    Some(LogQuery {
        index: task.index,
        attempt: Some(attempt.number),
        follow: true,
        ..LogQuery::of(&event.run, &task.name)
    })
}

async fn follow(client: Client, query: LogQuery) -> Result<()> {
    let name = format!("{}[{}]", query.task, query.index);
    let mut logs = client.logs(query);
    let mut decoder = LogDecoder::default();
    while let Some(piece) = logs.next().await {
        if let Some(found) = decoder.text(&piece?) {
            found.text.lines().try_for_each(|line| say(&format!("{name} | {line}")))?;
        }
    }
    Ok(())
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
