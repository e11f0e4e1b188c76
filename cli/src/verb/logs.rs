//! `berth logs`

mod follow;
mod printer;
mod progress;

pub(crate) use printer::Printer;

use std::io::IsTerminal;

use berth_client::api::{RunView, StepView, TaskView};
use berth_client::{Client, LogFrom, LogQuery, LogStream, TaskFilter};
use berth_spec::Code;
use clap::{Args, ValueEnum};
use futures_util::{StreamExt, TryStreamExt};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::say;
use crate::session::Session;
use crate::verb::run::{is_over, run_id};
use crate::words;

/// The most tasks whose logs are shown one after the other.
const TASKS_MAX: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run's id, or the first digits of it
    #[arg(value_parser = run_id)]
    run: String,
    /// The task; without it all of the run
    #[arg(long)]
    task: Option<String>,
    /// The index in an array; without it all of the array
    #[arg(long, requires = "task")]
    index: Option<u32>,
    /// The attempt, counted from 1 [default: the latest; with --follow each one from there on]
    #[arg(long, requires = "task")]
    attempt: Option<u32>,
    /// Which stream
    #[arg(long, value_enum, default_value_t)]
    stream: Which,
    /// Begin with the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
    /// Wait for tasks to start, and go on over retries until they end; each line of several tasks begins with its task
    #[arg(short, long)]
    follow: bool,
    /// Keep control characters on a terminal; elsewhere they are always kept
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Which {
    Stdout,
    Stderr,
    #[default]
    Both,
}

impl Logs {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let run = client.run(&self.run).await?;
        let step = self.step(&run)?;
        if self.follow {
            return Box::pin(follow::follow(session, &client, &run, &self, step)).await;
        }
        match step {
            Some(step) if !step.array || self.index.is_some() => {
                self.show(session, &client, &run.id, &step.name, self.index.unwrap_or(0)).await?;
            }
            _ => self.show_all(session, &client, &run, step).await?,
        }
        Ok(Exit::Ok)
    }

    /// The step that is asked for; `None` for all of several.
    fn step<'a>(&self, run: &'a RunView) -> Result<Option<&'a StepView>, Failure> {
        let names = || run.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>().join(", ");
        match (&self.task, run.steps.as_slice()) {
            (_, []) if is_over(run) => Err(Failure::new(
                Exit::NotFound,
                Code::LogsUnavailable,
                "only a summary of this run is left, and no logs",
            )),
            (None, [only]) => Ok(Some(only)),
            (None, _) => Ok(None),
            (Some(name), steps) => {
                let step = steps.iter().find(|step| step.name == *name).ok_or_else(|| {
                    Failure::new(Exit::NotFound, Code::NotVisible, format!("the run has no task `{name}`"))
                        .help(format!("it has: {}", names()))
                })?;
                if self.index.is_some_and(|index| step.size.is_some_and(|size| index >= size)) {
                    let size = step.size.unwrap_or(0);
                    let message = format!("task `{name}` has {size} indexes, counted from 0");
                    return Err(Failure::new(Exit::NotFound, Code::NotVisible, message));
                }
                Ok(Some(step))
            }
        }
    }

    /// All tasks that have run, one after the other.
    async fn show_all(
        &self,
        session: &Session,
        client: &Client,
        run: &RunView,
        step: Option<&StepView>,
    ) -> Result<(), Failure> {
        let filter = TaskFilter { step: step.map(|step| step.name.clone()), ..TaskFilter::default() };
        let tasks: Vec<TaskView> = client.tasks(&run.id, filter).take(TASKS_MAX + 1).try_collect().await?;
        if tasks.len() > TASKS_MAX {
            let message = format!("these are more than {TASKS_MAX} tasks");
            return Err(Failure::usage(message).help("choose one with --task NAME and --index N"));
        }
        let ran: Vec<&TaskView> = tasks.iter().filter(|task| !task.attempts.is_empty()).collect();
        if ran.is_empty() {
            let message =
                if is_over(run) { "none of its tasks ran" } else { "none of its tasks has started yet" };
            let failure = Failure::new(Exit::NotFound, Code::LogsUnavailable, message);
            return Err(if is_over(run) { failure } else { failure.help("wait for them with --follow") });
        }
        for task in ran {
            if !session.output.is_json() && tasks.len() > 1 {
                let name = words::task(&task.name, task.index, task.array);
                say(&format!("==> {} <==", berth_spec::escape(&name)));
            }
            self.show(session, client, &run.id, &task.name, task.index).await?;
        }
        Ok(())
    }

    async fn show(
        &self,
        session: &Session,
        client: &Client,
        run: &str,
        task: &str,
        index: u32,
    ) -> Result<(), Failure> {
        let mut printer = Printer::new(session.output, self.escapes(), task, index);
        let mut pieces = client.logs(self.query(run, task, index, self.attempt));
        while let Some(piece) = pieces.next().await {
            printer.piece(&piece?)?;
        }
        Ok(())
    }

    fn query(&self, run: &str, task: &str, index: u32, attempt: Option<u32>) -> LogQuery {
        LogQuery {
            index,
            attempt,
            stream: match self.stream {
                Which::Stdout => Some(LogStream::Stdout),
                Which::Stderr => Some(LogStream::Stderr),
                Which::Both => None,
            },
            from: self.tail.map_or(LogFrom::Beginning, LogFrom::TailLines),
            follow: self.follow,
            ..LogQuery::of(run, task)
        }
    }

    /// Whether control characters are written out.
    fn escapes(&self) -> bool {
        !self.raw && std::io::stdout().is_terminal()
    }
}
