//! `berth logs`

use std::io::IsTerminal;
use std::time::Duration;

use berth_client::api::{RunView, StepView, TaskState};
use berth_client::{Client, LogFrom, LogPiece, LogQuery, LogStream, TaskFilter};
use berth_spec::Code;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, say};
use crate::session::Session;
use crate::verb::run::is_over;
use crate::{units, words};

/// The most tasks of an array whose logs are shown one after the other.
const ARRAY_MAX: u32 = 100;
/// How often a follower looks whether the task has started.
const STARTED_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run's id, or the first digits of it
    run: String,
    /// The task; may be left out when the run has only one
    #[arg(long)]
    task: Option<String>,
    /// The index in an array; without it all, one after the other
    #[arg(long)]
    index: Option<u32>,
    /// The attempt, counted from 1 [default: the latest]
    #[arg(long)]
    attempt: Option<u32>,
    /// Which stream
    #[arg(long, value_enum, default_value_t)]
    stream: Which,
    /// Begin with the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
    /// Wait for the task to start, and go on until it ends
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
        let indexes = self.indexes(step)?;
        let several = indexes.len() > 1;
        let printer =
            Printer { output: session.output, escape: !self.raw && std::io::stdout().is_terminal() };
        for index in indexes {
            if self.follow {
                until_started(&client, &run.id, &step.name, index).await?;
            }
            if several && !session.output.is_json() {
                say(&format!("==> {} <==", words::task(&step.name, index, true)));
            }
            self.print(&client, &run, &step.name, index, printer).await?;
        }
        Ok(Exit::Ok)
    }

    fn step<'a>(&self, run: &'a RunView) -> Result<&'a StepView, Failure> {
        let names = || run.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>().join(", ");
        match (&self.task, run.steps.as_slice()) {
            (_, []) if is_over(run) => Err(Failure::new(
                Exit::NotFound,
                Code::LogsUnavailable,
                "only a summary of this run is left, and no logs",
            )),
            (None, [only]) => Ok(only),
            (None, _) => Err(Failure::usage(format!("the run has several tasks: {}", names()))
                .help("choose one with --task NAME")),
            (Some(name), steps) => steps.iter().find(|step| step.name == *name).ok_or_else(|| {
                Failure::new(Exit::NotFound, Code::NotVisible, format!("the run has no task `{name}`"))
                    .help(format!("it has: {}", names()))
            }),
        }
    }

    fn indexes(&self, step: &StepView) -> Result<Vec<u32>, Failure> {
        let size = step.size.unwrap_or(1);
        if let Some(index) = self.index {
            return Ok(vec![index]);
        }
        if step.array && (self.follow && size > 1 || size > ARRAY_MAX) {
            let message = format!("`{}` is an array of {size}", step.name);
            return Err(Failure::usage(message).help(format!("choose one with --index 0 to {}", size - 1)));
        }
        Ok((0..size).collect())
    }

    async fn print(
        &self,
        client: &Client,
        run: &RunView,
        task: &str,
        index: u32,
        printer: Printer,
    ) -> Result<(), Failure> {
        let query = LogQuery {
            index,
            attempt: self.attempt,
            stream: match self.stream {
                Which::Stdout => Some(LogStream::Stdout),
                Which::Stderr => Some(LogStream::Stderr),
                Which::Both => None,
            },
            from: self.tail.map_or(LogFrom::Beginning, LogFrom::TailLines),
            follow: self.follow,
            ..LogQuery::of(&run.id, task)
        };
        let mut pieces = client.logs(query);
        while let Some(piece) = pieces.next().await {
            printer.piece(task, index, piece?)?;
        }
        Ok(())
    }
}

/// Puts pieces of logs on stdout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    pub(crate) output: Output,
    /// Control characters are written out.
    pub(crate) escape: bool,
}

impl Printer {
    pub(crate) fn piece(self, task: &str, index: u32, piece: LogPiece) -> Result<(), Failure> {
        if self.output.is_json() {
            return match to_json(task, index, &piece) {
                Some(json) => self.output.json_line(&json),
                None => Ok(()),
            };
        }
        match piece {
            LogPiece::Data { bytes, .. } if self.escape => self.output.raw(escaped(&bytes).as_bytes()),
            LogPiece::Data { bytes, .. } => self.output.raw(&bytes),
            LogPiece::Gap { bytes, .. } => {
                say(&format!("... {} are no longer kept ...", units::bytes(bytes)));
                Ok(())
            }
            LogPiece::End { .. } => Ok(()),
        }
    }
}

fn to_json(task: &str, index: u32, piece: &LogPiece) -> Option<serde_json::Value> {
    let name = |stream: &LogStream| match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    };
    Some(match piece {
        LogPiece::Data { stream, attempt, offset, bytes } => json!({
            "task": task,
            "index": index,
            "attempt": attempt,
            "stream": name(stream),
            "offset": offset,
            "text": String::from_utf8_lossy(bytes),
        }),
        LogPiece::Gap { stream, offset, bytes } => json!({
            "task": task, "index": index, "stream": name(stream), "offset": offset, "gap_bytes": bytes,
        }),
        LogPiece::End { .. } => return None,
    })
}

/// Text for a terminal: lines and tabs stay, nothing else acts on it.
fn escaped(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut safe = String::with_capacity(text.len());
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            safe.push('\n');
        }
        for (at, cell) in line.split('\t').enumerate() {
            if at > 0 {
                safe.push('\t');
            }
            safe.push_str(&berth_spec::escape(cell));
        }
    }
    safe
}

/// Waits until a task has an attempt, and says once for what it waits.
async fn until_started(client: &Client, run: &str, step: &str, index: u32) -> Result<(), Failure> {
    let mut told = String::new();
    loop {
        let filter = TaskFilter { step: Some(step.to_owned()), index: Some(index), ..TaskFilter::default() };
        let task = client.tasks(run, filter).next().await.transpose()?;
        let why = match &task {
            Some(task) if !task.attempts.is_empty() => return Ok(()),
            Some(task) if task.state() == TaskState::Ended => {
                let why = words::reason(task.reason.as_ref());
                return Err(Failure::new(
                    Exit::NotFound,
                    Code::LogsUnavailable,
                    format!("`{step}` never ran: {why}"),
                ));
            }
            Some(task) => words::wait(task.wait.as_ref(), units::now_ms()),
            None => "its size is not known yet".to_owned(),
        };
        let over = task.is_none() && is_over(&client.run(run).await?);
        if over {
            return Err(Failure::new(
                Exit::NotFound,
                Code::LogsUnavailable,
                format!("`{step}` never ran: the run is over"),
            ));
        }
        if told != why {
            say(&format!("waiting for {} to start: {}", berth_spec::escape(step), berth_spec::escape(&why)));
            told = why;
        }
        tokio::time::sleep(STARTED_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_on_a_terminal_cannot_act_on_it() {
        assert_eq!(escaped(b"a\tb\n\x1b[2Jc\r\n\xff"), "a\tb\n\\x1b[2Jc\\r\n\u{fffd}");
    }
}
