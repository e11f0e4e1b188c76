//! What the engine says of a container.

use berth_core::time::Timestamp;
use berth_shim::record::Outcome;
use bollard::models::{ContainerInspectResponse, ContainerState};

/// What is seen of a container.
#[derive(Debug)]
pub(super) enum Sight {
    /// It was never started, or the engine could not start it; the text is the engine's.
    NotStarted(String),
    /// It runs.
    Running { started: Timestamp },
    /// It is over.
    Over(Over),
}

/// How a container ended.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
    pub(super) outcome: Outcome,
    pub(super) oom: bool,
}

/// Reads what the engine says. The state decides, not the exit code.
pub(super) fn see(answer: ContainerInspectResponse) -> Sight {
    let state = answer.state.unwrap_or_default();
    let Some(started) = instant(state.started_at.as_deref()) else {
        return Sight::NotStarted(state.error.unwrap_or_default());
    };
    if runs(&state) {
        return Sight::Running { started };
    }
    let code = state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
    Sight::Over(Over {
        started,
        finished: instant(state.finished_at.as_deref()).unwrap_or(started).max(started),
        outcome: outcome(code),
        oom: state.oom_killed.unwrap_or(false),
    })
}

fn runs(state: &ContainerState) -> bool {
    [state.running, state.paused, state.restarting].contains(&Some(true))
}

/// A signal n comes as 128 + n.
fn outcome(code: i32) -> Outcome {
    match code {
        129..=159 => Outcome::Signalled(code - 128),
        code => Outcome::Exited(code),
    }
}

/// An instant of the engine; `None` for the year 1, by which it means never.
fn instant(text: Option<&str>) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text?.parse().ok()?;
    u64::try_from(instant.as_millisecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i64, oom: bool) -> ContainerInspectResponse {
        ContainerInspectResponse {
            state: Some(ContainerState {
                running: Some(false),
                exit_code: Some(code),
                oom_killed: Some(oom),
                started_at: Some("1970-01-01T00:00:01.123456789Z".to_owned()),
                finished_at: Some("1970-01-01T00:00:02Z".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn an_exit_code_above_128_is_a_signal_and_no_oom_unless_the_engine_says_so() {
        for (code, oom, outcome) in [
            (0, false, Outcome::Exited(0)),
            (127, false, Outcome::Exited(127)),
            (137, false, Outcome::Signalled(9)),
            (137, true, Outcome::Signalled(9)),
            (255, false, Outcome::Exited(255)),
        ] {
            let Sight::Over(over) = see(ended(code, oom)) else { panic!("it is over") };
            assert_eq!((over.outcome, over.oom), (outcome, oom));
            assert_eq!((over.started, over.finished), (Timestamp(1_123), Timestamp(2_000)));
        }
    }

    #[test]
    fn a_container_that_never_ran_has_no_start() {
        let mut answer = ended(0, false);
        answer.state.as_mut().unwrap().started_at = Some("0001-01-01T00:00:00Z".to_owned());
        assert!(matches!(see(answer), Sight::NotStarted(_)));
    }
}
