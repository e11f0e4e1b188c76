//! Finding attempts again after the agent was restarted.
//!
//! | on disk and at the engine | answer |
//! |---|---|
//! | `exit.rec` | ended as recorded |
//! | neither `container.rec` nor a container | no trace: it was never begun |
//! | begun in another boot of the machine | node_lost |
//! | the engine does not answer in time | running; its task finds out more when there is an engine |
//! | container runs | running |
//! | container is over | running; its task takes the rest of its log and tells the end |
//! | container was never started | start_failed, once the container is gone |
//! | no container, start is noted | failed(signal 9): somebody removed it by force |
//! | no container, no start | start_failed |
//!
//! One list tells of all containers. Only those of which it does not tell enough are looked at singly: that an attempt
//! is gone is never believed of a list.
//!
//! The engine calls the exit of a container that went down with the machine 255, or whatever the shutdown made of it, as
//! if the program had chosen that. So of a container of another boot only an end that was recorded counts.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_core::reason::EndReason;
use berth_core::time::Timestamp;
use berth_shim::clock;
use bollard::models::ContainerSummaryStateEnum as State;
use tokio::time::{Instant, timeout_at};

use super::attempt::vanished;
use super::output_log::OutputLog;
use super::sight::{Sight, see};
use super::trace::Trace;
use super::{Shared, container};
use crate::ending;
use crate::executor::{End, Found, Launch};

/// What became of one attempt.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// What the agent is told; `None` when there is no trace of it.
    pub(super) found: Option<Found>,
    /// When it began, if it is certain that it did.
    pub(super) began: Option<Timestamp>,
}

/// What the directory of an attempt tells.
enum Noted {
    Over(End),
    Begun { started: Option<Timestamp> },
    Nothing,
}

/// The answers for all of these, in their order, within this time and that of reading their directories.
pub(super) async fn look_at_all(shared: &Shared, known: &[Launch], within: Duration) -> Vec<Answer> {
    let deadline = Instant::now() + within;
    let noted: Vec<Noted> = known.iter().map(|launch| noted(launch, shared.boot_id.as_deref())).collect();
    let all_over = noted.iter().all(|noted| matches!(noted, Noted::Over(_)));
    let listed = if all_over { None } else { list(shared, deadline).await };
    let mut answers = Vec::with_capacity(known.len());
    for (launch, noted) in known.iter().zip(noted) {
        answers.push(match (noted, &listed) {
            (Noted::Over(end), _) => ended(launch, end),
            (Noted::Nothing, None) => Answer::default(),
            (Noted::Begun { started }, None) => unseen(launch, started),
            (noted, Some(listed)) => {
                let state = listed.get(&container::of_attempt(&shared.config, launch)).copied();
                compare(shared, launch, (noted, state), deadline).await
            }
        });
    }
    answers
}

/// The answer as far as the attempt's directory tells.
pub(super) fn without_engine(launch: &Launch, boot_id: Option<&str>) -> Answer {
    match noted(launch, boot_id) {
        Noted::Over(end) => ended(launch, end),
        Noted::Begun { started } => unseen(launch, started),
        Noted::Nothing => Answer::default(),
    }
}

fn noted(launch: &Launch, boot_id: Option<&str>) -> Noted {
    if let Some(end) = ending::recorded(&launch.dir) {
        return Noted::Over(end);
    }
    match Trace::find(&launch.dir) {
        Some(Some(trace)) if is_of_another_boot(&trace, boot_id) => {
            let end = End { started: trace.started, ..ending::not_started(EndReason::NodeLost) };
            Noted::Over(end)
        }
        Some(trace) => Noted::Begun { started: trace.and_then(|trace| trace.started) },
        None => Noted::Nothing,
    }
}

fn is_of_another_boot(trace: &Trace, boot_id: Option<&str>) -> bool {
    trace.boot_id.as_deref().zip(boot_id).is_some_and(|(then, now)| then != now)
}

/// The states of this agent's containers by name; `None` when the engine does not tell in time.
async fn list(shared: &Shared, deadline: Instant) -> Option<BTreeMap<String, Option<State>>> {
    let labels = container::labels_of_agent(&shared.config);
    let listed = match timeout_at(deadline, shared.engine.list(&labels)).await {
        Ok(Ok(listed)) => listed,
        Ok(Err(error)) => {
            tracing::warn!(%error, "containers are taken for running until the engine answers");
            return None;
        }
        Err(_) => {
            tracing::warn!("containers are taken for running until the engine answers: it is slow");
            return None;
        }
    };
    Some(listed.iter().filter_map(|one| Some((container::listed_name(one)?, one.state))).collect())
}

/// Joins what the directory tells with what the engine lists.
async fn compare(
    shared: &Shared,
    launch: &Launch,
    (noted, state): (Noted, Option<Option<State>>),
    deadline: Instant,
) -> Answer {
    let started = match (noted, state) {
        (Noted::Over(end), _) => return ended(launch, end),
        (Noted::Nothing, None) => return Answer::default(),
        (Noted::Nothing, Some(_)) => None,
        (Noted::Begun { started }, _) => started,
    };
    let lists_a_start =
        matches!(state.flatten(), Some(State::RUNNING | State::PAUSED | State::RESTARTING | State::EXITED));
    match started {
        // Logs can be long, and nobody must wait for those of one that is over to learn that nothing is lost.
        Some(_) if lists_a_start => unseen(launch, started),
        Some(_) | None => {
            let look = look(shared, launch, started);
            timeout_at(deadline, look).await.unwrap_or_else(|_| unseen(launch, started))
        }
    }
}

/// Asks the engine for this one.
async fn look(shared: &Shared, launch: &Launch, noted: Option<Timestamp>) -> Answer {
    let name = container::of_attempt(&shared.config, launch);
    let log = || OutputLog::resume(&launch.dir, shared.config.log);
    let end = match shared.engine.inspect(&name).await {
        Ok(answer) => match see(answer) {
            Sight::Running { started } => return unseen(launch, Some(started)),
            Sight::Over(over) => return unseen(launch, Some(over.started)),
            Sight::NotStarted(_) => {
                // The call of an agent that is gone may still be under way in the engine.
                if shared.engine.remove(&name).await.is_err() {
                    return unseen(launch, None);
                }
                let cause = "the agent ended before it started the container";
                ending::record_not_started(&launch.dir, cause);
                ending::recorded(&launch.dir).unwrap_or_else(|| vanished(launch, None, log()))
            }
        },
        Err(error) if error.is_absent() => vanished(launch, noted, log()),
        Err(error) => {
            tracing::warn!(container = name, %error, "taken for running until the engine answers");
            return unseen(launch, noted);
        }
    };
    ended(launch, end)
}

fn ended(launch: &Launch, end: End) -> Answer {
    Answer { found: Some(Found::Ended { attempt: launch.attempt, end }), began: None }
}

/// Taken for running, since nothing says otherwise.
fn unseen(launch: &Launch, began: Option<Timestamp>) -> Answer {
    let started = began.unwrap_or(Timestamp(clock::wall_ms()));
    Answer { found: Some(Found::Running { attempt: launch.attempt, started }), began }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use berth_core::id::AttemptHandle;
    use berth_shim::record::{EXIT_FILE, ExitRecord, LogEnds, Outcome, Record};

    use super::*;
    use crate::executor::{Limits, Program};

    fn launch(dir: &Path) -> Launch {
        fs::create_dir_all(dir).unwrap();
        Launch {
            attempt: AttemptHandle(7),
            name: "run.step.0.7".to_owned(),
            boot_id: String::new(),
            dir: dir.to_owned(),
            program: Program::Docker { image: "any:1".to_owned(), command: Vec::new() },
            env: Vec::new(),
            run_dir: None,
            limits: Limits { cpu_milli: 100, memory_max: None, pids_max: 64 },
            leash: None,
        }
    }

    fn begun(dir: &Path, boot_id: Option<&str>) -> Launch {
        let launch = launch(dir);
        let boot_id = boot_id.map(str::to_owned);
        let trace = Trace { container: "c".to_owned(), boot_id, started: Some(Timestamp(5)) };
        trace.begin(dir).unwrap();
        assert_eq!(Trace::find(dir), Some(Some(trace)), "it is read as it was written");
        launch
    }

    #[test]
    fn an_attempt_of_another_boot_was_lost_with_the_node_whatever_the_engine_makes_of_it() {
        let home = tempfile::tempdir().unwrap();
        let launch = begun(home.path(), Some("before"));
        match without_engine(&launch, Some("now")).found {
            Some(Found::Ended { end, .. }) => {
                assert_eq!((end.reason, end.started), (EndReason::NodeLost, Some(Timestamp(5))));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_end_that_was_recorded_before_the_machine_went_down_stays_true() {
        let home = tempfile::tempdir().unwrap();
        let launch = begun(home.path(), Some("before"));
        let record = ExitRecord {
            outcome: Outcome::Exited(3),
            oom: false,
            started_ms: Some(5),
            finished_ms: 6,
            ran_ms: 1,
            memory_peak: 0,
            cpu_ms: 0,
            log_lost: 0,
            leftover: false,
            log_ends: LogEnds::default(),
        };
        record.write(&home.path().join(EXIT_FILE)).unwrap();
        match without_engine(&launch, Some("now")).found {
            Some(Found::Ended { end, .. }) => assert_eq!(end.reason, EndReason::FailedExit(3)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_told_to_be_of_another_boot_is_taken_for_running() {
        let home = tempfile::tempdir().unwrap();
        for (noted, now) in [(Some("now"), Some("now")), (None, Some("now")), (Some("before"), None)] {
            let launch = begun(&home.path().join(format!("{noted:?}{now:?}")), noted);
            let answer = without_engine(&launch, now);
            assert!(matches!(answer.found, Some(Found::Running { .. })), "{noted:?} {now:?}");
            assert_eq!(answer.began, Some(Timestamp(5)));
        }
        let untouched = launch(&home.path().join("untouched"));
        assert_eq!(without_engine(&untouched, Some("now")).found, None);
    }
}
