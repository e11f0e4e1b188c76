//! How tasks end, well or badly.

use std::time::Duration;

/// What a task may end with: nothing, or a result whose error is its failure.
pub trait Outcome {
    /// The failure in words, with its causes.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| with_causes(&*error.into()))
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

/// The failure that stopped the process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{task} failed: {reason}")]
pub struct Failure {
    /// The name of the task.
    pub task: &'static str,
    /// Its error with all causes.
    pub reason: String,
}

/// Tasks that had not ended when the deadline of a shutdown passed. Async ones were aborted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("still running {} s after the stop began: {}", waited.as_secs_f64(), names.join(", "))]
pub struct Late {
    /// Their names, in the order they were started.
    pub names: Vec<&'static str>,
    /// How long they were waited for.
    pub waited: Duration,
}
