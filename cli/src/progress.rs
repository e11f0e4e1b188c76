//! Following a run on stderr: a small table that is drawn anew on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use berth_client::api::{RunState, RunView, StepView};
use berth_client::{Client, RunRef};
use futures_util::StreamExt;

use crate::failure::Failure;
use crate::output::say;
use crate::view::run as view;
use crate::{units, words};

/// How often counts are renewed on a terminal.
const TERMINAL_REFRESH: Duration = Duration::from_millis(250);
/// The same where lines are kept.
const LINES_REFRESH: Duration = Duration::from_secs(1);
/// How often the time that passes is taken note of.
const TICK: Duration = Duration::from_millis(250);
/// A wait that is over sooner is no news, in milliseconds: every task waits a moment for its place.
const SHORT_WAIT_MS: u64 = 1_500;
/// How many steps are drawn; a terminal has few lines.
const STEPS_MAX: usize = 15;

/// How following ended.
#[derive(Debug)]
pub(crate) enum Followed {
    /// The run is over.
    Ended(Box<RunView>),
    /// Ctrl-C; the run goes on.
    Interrupted,
    /// The given time has passed; the run goes on.
    TimedOut,
}

/// Follows a run to its end and shows how it goes, unless `quiet`.
pub(crate) async fn follow(
    client: &Client,
    run: impl Into<RunRef>,
    limit: Option<Duration>,
    quiet: bool,
) -> Result<Followed, Failure> {
    let mut painter = Painter::new(quiet);
    let mut views = client.follow(run, painter.refresh());
    let mut tick = tokio::time::interval(TICK);
    let deadline = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let mut last: Option<RunView> = None;
    loop {
        tokio::select! {
            view = views.next() => match view {
                Some(view) => {
                    let view = view?;
                    painter.show(&view, units::now_ms());
                    last = Some(view);
                }
                None => break,
            },
            _ = tick.tick(), if last.is_some() => {
                if let Some(view) = &last { painter.redraw(view, units::now_ms()); }
            }
            _ = tokio::signal::ctrl_c() => return Ok(Followed::Interrupted),
            () = &mut deadline => return Ok(Followed::TimedOut),
        }
    }
    match last {
        Some(view) if view.state() == RunState::Ended => Ok(Followed::Ended(Box::new(view))),
        _ => Err(berth_client::Error::Malformed { what: "the end of the run" }.into()),
    }
}

/// Shows the latest view.
#[derive(Debug)]
enum Painter {
    Quiet,
    /// Lines on the screen that the next drawing replaces.
    Terminal {
        drawn: usize,
    },
    Lines(Teller),
}

impl Painter {
    fn new(quiet: bool) -> Painter {
        if quiet {
            Painter::Quiet
        } else if io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
            Painter::Terminal { drawn: 0 }
        } else {
            Painter::Lines(Teller::default())
        }
    }

    fn refresh(&self) -> Duration {
        match self {
            Painter::Terminal { .. } => TERMINAL_REFRESH,
            Painter::Quiet | Painter::Lines(_) => LINES_REFRESH,
        }
    }

    fn show(&mut self, run: &RunView, now_ms: u64) {
        match self {
            Painter::Quiet => {}
            Painter::Terminal { drawn } => draw(drawn, run, now_ms),
            Painter::Lines(teller) => teller.lines(run, now_ms).iter().for_each(|line| say(line)),
        }
    }

    /// Time has passed and nothing else.
    fn redraw(&mut self, run: &RunView, now_ms: u64) {
        self.show(run, now_ms);
    }
}

/// Replaces what was drawn before. Errors are for nobody: a terminal that is gone shows nothing.
fn draw(drawn: &mut usize, run: &RunView, now_ms: u64) {
    let (width, height) = terminal_size::terminal_size_of(io::stderr())
        .map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)));
    let lines = screen(run, now_ms, width, height);
    let up = if *drawn > 0 { format!("\x1b[{drawn}A\r") } else { String::new() };
    let _ = writeln!(io::stderr().lock(), "{up}\x1b[J{}", lines.join("\n"));
    *drawn = lines.len();
}

/// What a terminal of that size shows.
fn screen(run: &RunView, now_ms: u64, width: usize, height: usize) -> Vec<String> {
    let id: String = run.id.chars().take(12).collect();
    let head =
        format!("run {id} of {}/{}: {}, {}", run.tenant, run.job, words::run(run), view::took(run, now_ms));
    let steps_max = STEPS_MAX.min(height.saturating_sub(4)).max(1);
    let first = first_shown(&run.steps, steps_max);
    let shown = &run.steps[first..(first + steps_max).min(run.steps.len())];
    let mut lines = vec![berth_spec::escape(&head)];
    lines.extend(view::steps(shown, now_ms).lines().map(str::to_owned));
    if shown.len() < run.steps.len() {
        lines.push(format!("{} of {} steps", shown.len(), run.steps.len()));
    }
    lines.iter().map(|line| line.chars().take(width.saturating_sub(1)).collect()).collect()
}

/// With many steps, those from the first that is not over.
fn first_shown(steps: &[StepView], max: usize) -> usize {
    let first = steps.iter().position(|step| view::step_state(step) != "succeeded").unwrap_or(steps.len());
    first.saturating_sub(1).min(steps.len().saturating_sub(max))
}

/// Tells how a run goes in lines that stay.
#[derive(Debug, Default)]
struct Teller {
    /// The last line told of each step.
    told: BTreeMap<String, String>,
    /// Since when steps wait, in milliseconds since the epoch.
    waiting: BTreeMap<String, u64>,
}

impl Teller {
    /// A line for each step that has changed, and for each that has begun to wait a while ago.
    fn lines(&mut self, run: &RunView, now_ms: u64) -> Vec<String> {
        let mut lines = Vec::new();
        for step in &run.steps {
            if view::step_state(step) == "waiting" {
                let since = *self.waiting.entry(step.name.clone()).or_insert(now_ms);
                if now_ms.saturating_sub(since) < SHORT_WAIT_MS {
                    continue;
                }
            } else {
                self.waiting.remove(&step.name);
            }
            let text = line(step, now_ms);
            if self.told.get(&step.name) != Some(&text) {
                lines.push(format!("{} {text}", units::time_of_day(now_ms)));
                self.told.insert(step.name.clone(), text);
            }
        }
        lines
    }
}

fn line(step: &StepView, now_ms: u64) -> String {
    if view::step_state(step) == "not run" {
        return berth_spec::escape(&format!("{}: not run ({})", step.name, view::why(step, now_ms)));
    }
    let mut counts = vec![format!("{} done", view::done(step))];
    for (n, word) in
        [(step.live, "running"), (step.ready, "ready"), (step.backoff, "to retry"), (step.failed, "failed")]
    {
        if n > 0 {
            counts.push(format!("{n} {word}"));
        }
    }
    // Relative times would make every line a new one.
    let mut step = step.clone();
    if let Some(wait) = &mut step.wait {
        wait.at_ms = None;
    }
    let why = view::why(&step, now_ms);
    let why = if why.is_empty() { why } else { format!(" ({why})") };
    berth_spec::escape(&format!("{}: {}, {}{why}", step.name, view::step_state(&step), counts.join(", ")))
}

#[cfg(test)]
mod tests {
    use berth_client::api::StepState;

    use super::*;

    fn run(states: &[StepState]) -> RunView {
        let step = |(at, state): (usize, &StepState)| StepView {
            name: format!("step-{at}"),
            state: (*state).into(),
            size: Some(1),
            ..StepView::default()
        };
        RunView {
            id: "3kd9f2m7q0xw4vbn8zr5h1tjye".into(),
            tenant: "acme".into(),
            job: "j".into(),
            state: RunState::Active.into(),
            steps: states.iter().enumerate().map(step).collect(),
            ..RunView::default()
        }
    }

    #[test]
    fn plain_lines_tell_only_what_has_changed() {
        let mut teller = Teller::default();
        let waiting = run(&[StepState::Open, StepState::Waiting]);
        assert!(teller.lines(&waiting, 0).is_empty());
        let first = teller.lines(&waiting, 2000);
        assert_eq!(first, ["00:00:02 step-0: waiting, 0/1 done", "00:00:02 step-1: waiting, 0/1 done"]);
        assert!(teller.lines(&waiting, 9000).is_empty());
        let next = teller.lines(&run(&[StepState::Succeeded, StepState::Waiting]), 9000);
        assert_eq!(next, ["00:00:09 step-0: succeeded, 0/1 done"]);
    }

    #[test]
    fn a_wait_of_less_than_a_second_is_not_told() {
        let mut teller = Teller::default();
        assert!(teller.lines(&run(&[StepState::Open]), 0).is_empty());
        let mut running = run(&[StepState::Open]);
        running.steps[0].live = 1;
        assert_eq!(teller.lines(&running, 900), ["00:00:00 step-0: running, 0/1 done, 1 running"]);
        // Its retry waits anew.
        assert!(teller.lines(&run(&[StepState::Open]), 2000).is_empty());
        assert_eq!(teller.lines(&run(&[StepState::Open]), 4000), ["00:00:04 step-0: waiting, 0/1 done"]);
    }

    #[test]
    fn a_small_terminal_shows_the_steps_that_are_at_work() {
        let mut states = vec![StepState::Succeeded; 30];
        states[20] = StepState::Open;
        let lines = screen(&run(&states), 0, 40, 10);
        assert_eq!(lines.len(), 9);
        assert!(lines.iter().any(|line| line.contains("step-20")), "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() < 40), "{lines:?}");
    }
}
