//! Orders for tests.

use berth_core::id::{AttemptHandle, RunId};
use berth_core::job_spec::OnDisconnect;
use berth_core::reason::EndReason;
use berth_core::time::Millis;
use berth_proto::convert::order::{Labels, Limits};

use crate::message::{Intent, Launch, Order, Program};

/// Simulated work of a second.
pub(crate) fn a_launch() -> Launch {
    Launch {
        program: Program::Fake { runs_for: Millis(1_000), exit_code: 0, output: "k=v".into() },
        env: vec![("A".into(), "one\r\ntwo".into())],
        limits: Limits { cpu_milli: Some(100), memory_max: None, pids: 64 },
        run_dir: None,
        timeout: None,
        stop_grace: Millis(700),
        on_disconnect: OnDisconnect::Keep,
        labels: Labels {
            tenant: "t".into(),
            job: "j".into(),
            run: RunId(7),
            task: "a".into(),
            index: 0,
            number: 1,
        },
    }
}

pub(crate) fn start(attempt: u64) -> Order {
    start_of(attempt, a_launch())
}

pub(crate) fn start_of(attempt: u64, launch: Launch) -> Order {
    Order {
        attempt: AttemptHandle(attempt),
        incarnation: 0,
        name: format!("a{attempt}"),
        intent: Intent::Start(Box::new(launch)),
    }
}

pub(crate) fn stop(attempt: u64) -> Order {
    let intent = Intent::Stop { grace: Millis(500), reason: EndReason::Preempted };
    Order { intent, ..start(attempt) }
}
