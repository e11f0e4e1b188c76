//! What each part of a process says about itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Whether a part does its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Ready,
    /// It does not yet, or no longer, for this reason.
    NotReady(String),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::NotReady(reason) => write!(f, "not ready: {reason}"),
        }
    }
}

/// The parts of a process and their states. Cheap to clone. A process without parts is ready.
#[derive(Clone, Debug)]
pub struct Health {
    parts: Arc<watch::Sender<BTreeMap<&'static str, Status>>>,
}

impl Default for Health {
    fn default() -> Self {
        Self { parts: Arc::new(watch::Sender::new(BTreeMap::new())) }
    }
}

impl Health {
    /// Nothing reported yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the state of one part.
    pub fn report(&self, part: &'static str, status: Status) {
        self.parts
            .send_if_modified(|parts| parts.insert(part, status.clone()).is_none_or(|old| old != status));
    }

    /// Whether every part is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.parts.borrow().values().all(|status| *status == Status::Ready)
    }

    /// Waits until every part that has reported is ready.
    pub async fn ready(&self) {
        let mut seen = self.parts.subscribe();
        let ready = |parts: &BTreeMap<_, _>| parts.values().all(|status| *status == Status::Ready);
        seen.wait_for(ready).await.expect("self keeps the sender alive");
    }

    /// The parts and their states, by name.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<&'static str, Status> {
        self.parts.borrow().clone()
    }
}
