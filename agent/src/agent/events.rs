//! From the executors' threads to the driver.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use berth_daemon::tasks::Tasks;
use berth_executors::executor::Event;

use super::{AgentHandle, Request};
use crate::supervisor::Input;

/// How often the thread looks whether the agent has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Starts the thread that forwards events. It ends with the driver, or with the last executor.
pub(super) fn forward(events: Receiver<Event>, handle: AgentHandle, tasks: &Tasks) -> io::Result<()> {
    let requests = handle.requests;
    tasks.spawn_thread("agent.events", move || {
        loop {
            match events.recv_timeout(LOOK_EVERY) {
                Ok(event) => {
                    let request = Request::Input(Box::new(Input::Executor(event)));
                    if requests.blocking_send(request).is_err() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) if requests.is_closed() => return,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    })
}
