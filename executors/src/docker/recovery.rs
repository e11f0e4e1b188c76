//! Finding attempts again after the agent was restarted.
//!
//! | on disk and at the engine | answer |
//! |---|---|
//! | `exit.rec` | ended as recorded |
//! | neither `container.rec` nor a container | no trace: it was never begun |
//! | the engine does not answer | running; its task finds out more when there is an engine |
//! | container runs | running |
//! | container is over | running; its task takes the rest of its log and tells the end |
//! | container was never started | start_failed |
//! | no container, start is noted | failed(signal 9): somebody removed it by force |
//! | no container, no start | start_failed |

use berth_core::time::Timestamp;
use berth_shim::clock;

use super::attempt::vanished;
use super::sight::{Sight, see};
use super::trace::Trace;
use super::{Shared, container};
use crate::ending;
use crate::executor::{Found, Launch};

/// The answer for one attempt; `None` when there is no trace of it. An engine that was not reachable
/// once is not asked again for the rest.
pub(super) async fn look(shared: &Shared, launch: &Launch, reachable: &mut bool) -> Option<Found> {
    let (attempt, dir) = (launch.attempt, &launch.dir);
    if let Some(end) = ending::recorded(dir) {
        return Some(Found::Ended { attempt, end });
    }
    let trace = Trace::find(dir);
    let noted = trace.as_ref().and_then(|trace| trace.as_ref()?.started);
    let name = container::of_attempt(&shared.config, launch);
    let seen = match reachable {
        true => shared.engine.inspect(&name).await,
        false => Err(super::engine::Error::Unreachable),
    };
    let end = match seen {
        Ok(answer) => match see(answer) {
            Sight::Running { started } => return Some(Found::Running { attempt, started }),
            // Logs can be long, and nobody must wait for them to learn that nothing is lost.
            Sight::Over(over) => return Some(Found::Running { attempt, started: over.started }),
            Sight::NotStarted(_) => {
                let cause = "the agent ended before it started the container";
                ending::record_not_started(dir, cause);
                ending::recorded(dir).unwrap_or_else(|| vanished(launch, None))
            }
        },
        Err(error) if error.is_absent() => {
            trace?;
            vanished(launch, noted)
        }
        Err(error) => {
            trace?;
            *reachable = false;
            tracing::warn!(container = name, %error, "taken for running until the engine answers");
            return Some(unseen(launch, noted));
        }
    };
    Some(Found::Ended { attempt, end })
}

/// The answer for an attempt that was not looked at in time, as far as its directory tells.
pub(super) fn without_engine(launch: &Launch) -> Option<Found> {
    if let Some(end) = ending::recorded(&launch.dir) {
        return Some(Found::Ended { attempt: launch.attempt, end });
    }
    let trace = Trace::find(&launch.dir)?;
    Some(unseen(launch, trace.and_then(|trace| trace.started)))
}

fn unseen(launch: &Launch, noted: Option<Timestamp>) -> Found {
    let started = noted.unwrap_or(Timestamp(clock::wall_ms()));
    Found::Running { attempt: launch.attempt, started }
}
