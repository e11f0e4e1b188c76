//! `berth run list | show | wait | cancel`

use berth_client::api::{RunState, RunView, StepState, TaskState, TaskView};
use berth_client::{Client, LogFrom, LogPiece, LogQuery, LogStream, RequestKey, RunFilter, TaskFilter};
use berth_core::id::IdPrefix;
use clap::Subcommand;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::span::Span;
use crate::verb::job;
use crate::view::run::{self as view, FailedTask};
use crate::{json, units, words};

/// How many failed tasks are shown with their last lines.
const FAILED_SHOWN: usize = 5;
/// How many lines of stderr they are shown with.
const LINES_SHOWN: u32 = 10;

#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    /// List runs, newest first
    List {
        /// Only of this tenant
        #[arg(long, env = "BERTH_TENANT")]
        tenant: Option<String>,
        /// Only of this job, as NAME or TENANT/NAME
        #[arg(long)]
        job: Option<String>,
        /// Leave out runs that are over
        #[arg(long)]
        active: bool,
        /// The most runs to list
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Show a run: its steps, what they wait for, what failed and why
    Show {
        /// The run's id, or the first digits of it
        #[arg(value_parser = run_id)]
        run: String,
        /// List its tasks too
        #[arg(long)]
        tasks: bool,
    },
    /// Follow a run to its end; exits 20 when it does not succeed
    Wait {
        /// The run's id, or the first digits of it
        #[arg(value_parser = run_id)]
        run: String,
        /// Exit 8 after this time; the run goes on
        #[arg(long, value_name = "TIME")]
        wait_timeout: Option<Span>,
    },
    /// Ask a run to end
    Cancel {
        /// The run's id, or the first digits of it
        #[arg(value_parser = run_id)]
        run: String,
        /// The key of an earlier request whose outcome is not known (E504): the same one, applied once at most
        #[arg(long, value_name = "KEY")]
        key: Option<RequestKey>,
    },
}

/// A run's id or the beginning of one. What cannot be one is a slip, and no run that is missing.
pub(crate) fn run_id(text: &str) -> Result<String, String> {
    match text.parse::<IdPrefix>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("an id has up to 26 digits and letters without i, l, o and u, the first of them 0 to 7; \
                       `berth run list` shows them"
                .to_owned())
        }
    }
}

impl Run {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Run::List { tenant, job, active, limit } => {
                let (tenant, job) = match &job {
                    Some(job) => {
                        let (tenant, name) =
                            job::parts(job, tenant.as_deref().unwrap_or(job::DEFAULT_TENANT));
                        (Some(tenant.to_owned()), Some(name.to_owned()))
                    }
                    None => (tenant, None),
                };
                let filter = RunFilter { tenant, job, active_only: active };
                let runs: Vec<RunView> = client.runs(filter).take(limit).try_collect().await?;
                let json = || json!({ "runs": runs.iter().map(json::run).collect::<Vec<Value>>() });
                session.output.data(|| view::list(&runs, units::now_ms()), json)?;
            }
            Run::Show { run, tasks } => return Box::pin(show(session, &client, &run, tasks)).await,
            Run::Wait { run, wait_timeout } => {
                let limit = wait_timeout.map(Span::get);
                return Box::pin(job::wait(session, &client, &run, limit, &[])).await;
            }
            Run::Cancel { run, key } => {
                let key = key.unwrap_or_else(RequestKey::random);
                let cancelled = client.cancel_with_key(&run, key).await;
                let id = cancelled.map_err(|error| Failure::from(error).of_request(key))?;
                session
                    .output
                    .say(&format!("it is asked to end; follow it: berth run wait {}", job::short(&id)));
                session.output.data(|| format!("{id}\n"), || json!({ "run": id }))?;
            }
        }
        Ok(Exit::Ok)
    }
}

async fn show(session: &Session, client: &Client, run: &str, tasks: bool) -> Result<Exit, Failure> {
    let view = client.run(run).await?;
    let failed = failed_tasks(client, &view).await;
    let listed = if tasks {
        client.tasks(&view.id, TaskFilter { with_outputs: true, ..TaskFilter::default() }).collect().await?
    } else {
        Vec::new()
    };
    let now_ms = units::now_ms();
    let table = || {
        let text = view::show(&view, &failed, now_ms);
        if tasks { format!("{text}\n{}", view::tasks(&listed, now_ms)) } else { text }
    };
    let json = || {
        let mut value = json::run(&view);
        let all = if tasks { Some(listed.iter().map(json::task).collect::<Vec<Value>>()) } else { None };
        value["all_tasks"] = all.into();
        value["failed_tasks"] =
            failed.iter().map(|failed| json::task(&failed.task)).collect::<Vec<Value>>().into();
        value
    };
    session.output.data(table, json)?;
    Ok(Exit::Ok)
}

/// The first tasks that did not succeed, with the end of what they wrote to stderr. What cannot be read is left out: it
/// adds to what is known already.
pub(crate) async fn failed_tasks(client: &Client, run: &RunView) -> Vec<FailedTask> {
    let failed_steps: Vec<&str> = run
        .steps
        .iter()
        .filter(|step| step.failed > 0 || step.state() == StepState::Failed)
        .map(|s| &*s.name)
        .collect();
    if run.collapsed || failed_steps.is_empty() {
        return Vec::new();
    }
    let mut failed = Vec::new();
    for step in failed_steps {
        let filter = TaskFilter {
            step: Some(step.to_owned()),
            states: vec![TaskState::Ended],
            ..TaskFilter::default()
        };
        let mut tasks = client.tasks(&run.id, filter);
        while let Some(Ok(task)) = tasks.next().await {
            if !did_work_fail(&task) {
                continue;
            }
            let stderr = last_lines(client, run, &task).await;
            failed.push(FailedTask { task, stderr });
            if failed.len() == FAILED_SHOWN {
                return failed;
            }
        }
    }
    failed
}

/// It ran and did not succeed: tasks that only followed others tell nothing new.
fn did_work_fail(task: &TaskView) -> bool {
    let word = task.reason.as_ref().map_or("succeeded", words::reason_word);
    !task.attempts.is_empty() && !matches!(word, "succeeded" | "skipped" | "upstream_failed" | "cancelled")
}

/// `None` when they cannot be read.
async fn last_lines(client: &Client, run: &RunView, task: &TaskView) -> Option<Vec<String>> {
    let query = LogQuery {
        index: task.index,
        stream: Some(LogStream::Stderr),
        from: LogFrom::TailLines(LINES_SHOWN),
        ..LogQuery::of(&run.id, &task.name)
    };
    let mut pieces = client.logs(query);
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        if let LogPiece::Data { bytes, .. } = piece.ok()? {
            text.extend_from_slice(&bytes);
        }
    }
    Some(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

/// Whether nothing more happens in a run.
pub(crate) fn is_over(run: &RunView) -> bool {
    run.state() == RunState::Ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_run_is_refused_before_anything_is_asked() {
        for id in ["4f5jtagx38dcrhpwxezhg6k98v", "4f5", "1"] {
            assert_eq!(run_id(id).as_deref(), Ok(id));
        }
        for slip in ["", "uuu", "nightly-load", "4f5jtagx38dcrhpwxezhg6k98v4"] {
            assert!(run_id(slip).is_err(), "{slip}");
        }
    }
}
