//! The list of what runs, for the message about what is late.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// The names of what runs, for the message about what is late.
#[derive(Default)]
pub(super) struct Running {
    next: AtomicU64,
    // A plain lock, held for an insert or a remove and never over an await.
    entries: Mutex<BTreeMap<u64, Entry>>,
}

struct Entry {
    name: &'static str,
    /// Absent for threads, which cannot be ended from outside.
    abort: Option<AbortHandle>,
}

impl Running {
    /// Enters a task or thread; it leaves the list when the returned guard is dropped.
    pub(super) fn enter(self: &Arc<Self>, name: &'static str) -> Removal {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(id, Entry { name, abort: None });
        Removal { running: Arc::clone(self), id }
    }

    /// Makes an entered task one that [`Running::abort_all`] can end, if it has not ended already.
    pub(super) fn can_abort(&self, id: u64, abort: AbortHandle) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.abort = Some(abort);
        }
    }

    /// Aborts what can be aborted and names everything that still runs.
    pub(super) fn abort_all(&self) -> Vec<&'static str> {
        let entries = self.lock();
        entries.values().filter_map(|entry| entry.abort.as_ref()).for_each(AbortHandle::abort);
        entries.values().map(|entry| entry.name).collect()
    }

    /// The names of what runs, in the order of starting.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.lock().values().map(|entry| entry.name).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        // A panic cannot leave the map half changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a task off the list when it ends, also when it is aborted.
pub(super) struct Removal {
    running: Arc<Running>,
    /// The place in the list.
    pub(super) id: u64,
}

impl Drop for Removal {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}
