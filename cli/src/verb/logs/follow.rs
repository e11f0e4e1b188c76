//! `berth logs --follow`: all that is asked for, from attempt to attempt, to the end.
//!
//! One watch of the run says which attempts have started; each is read on a stream of its own. The attempts of one task are
//! read one after the other, those of different tasks beside each other, at most [`STREAMS_MAX`] at once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use berth_client::api::run_event::{Kind, Now};
use berth_client::api::{RunView, StepView, TaskState, TaskView};
use berth_client::{Client, TaskFilter, WatchFilter, Watched};
use berth_spec::Code;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{say, warn};
use crate::session::Session;
use crate::verb::logs::progress::Progress;
use crate::verb::logs::{Logs, Printer};
use crate::verb::run::is_over;
use crate::view::run as view;
use crate::{units, words};

/// The most tasks that are read at once. What others write is kept by their nodes and shown later.
const STREAMS_MAX: usize = 32;
/// How often it is said for what is waited while nothing is read.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A task by its name and index.
type Task = (String, u32);
/// Which task was read, and how that ended.
type Done = (Task, Result<(), Failure>);

/// Shows what the wanted tasks write until nothing more can come.
pub(super) async fn follow(
    session: &Session,
    client: &Client,
    run: &RunView,
    logs: &Logs,
    step: Option<&StepView>,
) -> Result<Exit, Failure> {
    let single = step.is_some_and(|step| !step.array || logs.index.is_some());
    let step = step.map(|step| step.name.clone());
    let index = if single { Some(logs.index.unwrap_or(0)) } else { None };
    let mut follower = Follower {
        session,
        client,
        run: &run.id,
        logs,
        step,
        index,
        single,
        tasks: BTreeMap::new(),
        queue: VecDeque::new(),
        reading: FuturesUnordered::new(),
        told: String::new(),
        failure: None,
    };
    follower.go().await?;
    match follower.failure {
        Some(failure) => Err(failure),
        None => Ok(Exit::Ok),
    }
}

struct Follower<'a> {
    session: &'a Session,
    client: &'a Client,
    run: &'a str,
    logs: &'a Logs,
    step: Option<String>,
    index: Option<u32>,
    /// One task alone: its lines need no name before them.
    single: bool,
    tasks: BTreeMap<Task, Progress>,
    /// Tasks with something to read that wait for a stream, each once.
    queue: VecDeque<Task>,
    reading: FuturesUnordered<BoxFuture<'a, Done>>,
    /// What was said last of what is waited for.
    told: String,
    /// Of the first task that could not be read.
    failure: Option<Failure>,
}

impl<'a> Follower<'a> {
    async fn go(&mut self) -> Result<(), Failure> {
        let filter = WatchFilter { run: Some(self.run.into()), with_tasks: true, ..WatchFilter::default() };
        let mut watch = self.client.watch(filter);
        let mut tell = tokio::time::interval(TELL_EVERY);
        tell.reset();
        // Events alone do not say what there was before them.
        let (mut level, mut over) = (false, false);
        while !(self.reading.is_empty() && self.queue.is_empty() && (over || self.single_is_over())) {
            tokio::select! {
                watched = watch.next(), if !over => match watched.transpose()? {
                    Some(Watched::Mark(_)) if !level => {
                        level = true;
                        over = self.catch_up().await?;
                    }
                    Some(Watched::Mark(_)) => {}
                    Some(Watched::Gap { .. }) => level = false,
                    Some(Watched::Snapshot(run)) => over |= level && is_over(&run),
                    Some(Watched::Event(event)) => {
                        over = event.kind() == Kind::RunEnded;
                        if let Some(Now::Task(task)) = event.now && self.wants(&task) {
                            self.take(task);
                        }
                        // The last attempts may have ended unheard of.
                        if over && !level { self.catch_up().await?; }
                    }
                    None => over = true,
                },
                Some((task, result)) = self.reading.next(), if !self.reading.is_empty() => self.read(task, result)?,
                _ = tell.tick() => self.tell().await,
            }
            self.begin();
        }
        let wanted = self.tasks.values().any(|progress| progress.latest > 0);
        if wanted || self.failure.is_some() {
            return Ok(());
        }
        let why = self.tasks.values().find_map(|progress| progress.task.reason.as_ref());
        let why = why.map_or_else(|| "the run is over".to_owned(), |reason| words::reason(Some(reason)));
        let what = self.step.as_ref().map_or_else(|| "the run".to_owned(), |step| format!("`{step}`"));
        Err(Failure::new(Exit::NotFound, Code::LogsUnavailable, format!("nothing of {what} ran: {why}")))
    }

    /// Takes what there is, and says whether the run is over.
    async fn catch_up(&mut self) -> Result<bool, Failure> {
        let run = self.client.run(self.run).await?;
        let filter = TaskFilter { step: self.step.clone(), index: self.index, ..TaskFilter::default() };
        let mut tasks = self.client.tasks(self.run, filter);
        while let Some(task) = tasks.next().await {
            self.take(task?);
        }
        Ok(is_over(&run))
    }

    fn wants(&self, task: &TaskView) -> bool {
        self.step.as_ref().is_none_or(|step| *step == task.name) && self.index.is_none_or(|i| i == task.index)
    }

    fn take(&mut self, task: TaskView) {
        let key = (task.name.clone(), task.index);
        if self.tasks.entry(key.clone()).or_default().take(task, self.logs.attempt) {
            if self.queue.is_empty() && self.reading.len() >= STREAMS_MAX {
                let text =
                    format!("{STREAMS_MAX} tasks are followed at once; the others are shown as these end");
                self.session.output.say(&text);
            }
            self.queue.push_back(key);
        }
    }

    /// Reads what waits, as far as there are streams for it.
    fn begin(&mut self) {
        while self.reading.len() < STREAMS_MAX
            && let Some(key) = self.queue.pop_front()
        {
            let Some(progress) = self.tasks.get_mut(&key) else { continue };
            let Some(number) = progress.next.pop_front() else { continue };
            let task = &progress.task;
            let name = words::task(&task.name, task.index, task.array);
            if let Some(before) = progress.before.replace(number)
                && !self.session.output.is_json()
            {
                let ended = task.attempts.iter().find(|attempt| attempt.number == before);
                let reason = words::reason(ended.and_then(|attempt| attempt.reason.as_ref()));
                let why = if reason.is_empty() { reason } else { format!(" ({reason})") };
                let text = format!("{name}: attempt {before} ended{why}, attempt {number} begins");
                say(&format!("==> {} <==", berth_spec::escape(&text)));
            }
            let mut printer = Printer::new(self.session.output, self.logs.escapes(), &task.name, task.index);
            if !self.single {
                printer = printer.behind(&name);
            }
            let mut pieces =
                self.client.logs(self.logs.query(self.run, &task.name, task.index, Some(number)));
            self.told.clear();
            self.reading.push(
                async move {
                    while let Some(piece) = pieces.next().await {
                        if let Err(failure) =
                            piece.map_err(Failure::from).and_then(|piece| printer.piece(&piece))
                        {
                            return (key, Err(failure));
                        }
                    }
                    (key, Ok(()))
                }
                .boxed(),
            );
        }
    }

    /// An attempt was read to its end, or cannot be.
    fn read(&mut self, key: Task, result: Result<(), Failure>) -> Result<(), Failure> {
        if let Some(progress) = self.tasks.get_mut(&key) {
            progress.busy = !progress.next.is_empty();
            if progress.busy {
                self.queue.push_back(key.clone());
            }
        }
        match result {
            // Nobody reads what is shown.
            Err(failure) if failure.is_silent() => return Err(failure),
            Err(failure) if self.failure.is_none() => {
                if !self.single {
                    warn(&format!(
                        "the logs of {} cannot be read: {}",
                        berth_spec::escape(&key.0),
                        failure.in_short()
                    ));
                }
                self.failure = Some(failure);
            }
            Err(_) | Ok(()) => {}
        }
        Ok(())
    }

    /// The only task that is followed has nothing more to say.
    fn single_is_over(&self) -> bool {
        let only = self.logs.attempt;
        self.single
            && self.tasks.values().any(|progress| {
                progress.task.state() == TaskState::Ended || (only.is_some() && progress.before == only)
            })
    }

    /// Says for what is waited while nothing can be read, once for each reason.
    async fn tell(&mut self) {
        if !self.reading.is_empty() || self.session.output.is_json() {
            return;
        }
        // It is only for people; what matters comes by the watch.
        let Ok(run) = self.client.run(self.run).await else { return };
        let Some(step) = run.steps.iter().find(|step| {
            self.step.as_ref().is_none_or(|name| *name == step.name) && view::is_unfinished(step)
        }) else {
            return;
        };
        // A time that passes would make every second a new reason.
        let mut still = step.clone();
        if let Some(wait) = &mut still.wait {
            wait.at_ms = None;
        }
        let why = view::why(&still, units::now_ms());
        let why = if why.is_empty() { "nothing of it has started yet".to_owned() } else { why };
        let text = berth_spec::escape(&format!("waiting for {}: {why}", step.name));
        if self.told != text {
            say(&text);
            self.told = text;
        }
    }
}
