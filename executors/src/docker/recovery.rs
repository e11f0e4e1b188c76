//! Finding attempts again after the agent was restarted.
//!
//! | on disk and at the engine | answer |
//! |---|---|
//! | `exit.rec` | ended as recorded |
//! | neither `container.rec` nor a container | no trace: it was never begun |
//! | the engine does not answer | running; its task finds out more when there is an engine |
//! | container runs | running |
//! | container is over | ended as the engine says, with the rest of its log |
//! | container was never started | start_failed |
//! | no container, start is noted | failed(signal 9): somebody removed it by force |
//! | no container, no start | start_failed |

use berth_core::time::Timestamp;
use berth_shim::clock;

use super::attempt::{conclude, vanished};
use super::output_log::OutputLog;
use super::sight::{Sight, see};
use super::trace::Trace;
use super::usage::Usage;
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
    let name = container::name(&shared.config, &launch.name);
    let seen = match reachable {
        true => shared.engine.inspect(&name).await,
        false => Err(super::engine::Error::Unreachable),
    };
    let end = match seen {
        Ok(answer) => match see(answer) {
            Sight::Running { started } => return Some(Found::Running { attempt, started }),
            Sight::Over(over) => {
                let log = OutputLog::resume(dir, shared.config.log);
                conclude(shared, launch, &name, log, (over, Usage::default())).await
            }
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
            let started = noted.unwrap_or(Timestamp(clock::wall_ms()));
            return Some(Found::Running { attempt, started });
        }
    };
    Some(Found::Ended { attempt, end })
}
