//! Interning: equal names, requests and specs are stored once and shared.

use std::sync::Arc;

use crate::id::{ClassHandle, ResourceHandle, SpecHandle};
use crate::job_spec::{JobSpec, TaskSpec};
use crate::model::{RequestClass, SpecRecord};
use crate::resources::{NamedResources, Resources};
use crate::state::State;
use crate::state::index::spec_key;

impl State {
    /// The handle of a resource name; a new one if it was never heard of.
    pub(crate) fn intern_resource(&mut self, name: &str) -> ResourceHandle {
        if let Some(handle) = self.index.resources.get(name) {
            return *handle;
        }
        let handle = ResourceHandle(self.tables.header.next.resource);
        self.tables.header.next.resource += 1;
        self.tables.resources.insert(handle, name.to_owned());
        self.index.resources.insert(name.to_owned(), handle);
        handle
    }

    /// Amounts by handle.
    pub(crate) fn intern_resources(&mut self, named: &NamedResources) -> Resources {
        named.iter().map(|(name, amount)| (self.intern_resource(name), *amount)).collect()
    }

    /// The request class of a task.
    pub(crate) fn intern_class(&mut self, task: &TaskSpec) -> ClassHandle {
        let class = RequestClass {
            resources: self.intern_resources(&task.resources),
            executor: task.executor(),
            uses_run_dir: task.uses_run_dir(),
        };
        if let Some(handle) = self.index.classes.get(&class) {
            return *handle;
        }
        let handle = ClassHandle(self.tables.header.next.class);
        self.tables.header.next.class += 1;
        self.tables.classes.insert(handle, class.clone());
        self.index.classes.insert(class, handle);
        handle
    }

    /// Adds a user to a spec, which is stored if it is new.
    pub(crate) fn use_spec(&mut self, spec: &Arc<JobSpec>) -> SpecHandle {
        let key = spec_key(spec);
        if let Some(handle) = self.index.specs.get(&key).copied() {
            self.retain_spec(handle);
            return handle;
        }
        let classes = spec.tasks.iter().map(|task| self.intern_class(task)).collect();
        let handle = SpecHandle(self.tables.header.next.spec);
        self.tables.header.next.spec += 1;
        let record = SpecRecord {
            spec: Arc::clone(spec),
            users: 1,
            dependents: Arc::new(dependents_of(spec)),
            classes: Arc::new(classes),
        };
        self.tables.specs.insert(handle, record);
        self.index.specs.insert(key, handle);
        handle
    }

    /// Adds a user to a spec that is stored.
    pub(crate) fn retain_spec(&mut self, handle: SpecHandle) {
        self.tables.specs.update(&handle, |record| record.users += 1).expect("a spec in use exists");
    }

    /// Takes a user from a spec; with the last one it goes.
    pub(crate) fn release_spec(&mut self, handle: SpecHandle) {
        let users = self
            .tables
            .specs
            .update(&handle, |record| {
                record.users -= 1;
                record.users
            })
            .expect("a spec in use exists");
        if users == 0 {
            let record = self.tables.specs.remove(&handle).expect("it was there a moment ago");
            self.index.specs.remove(&spec_key(&record.spec));
        }
    }
}

/// For each task of a spec, the places of the tasks that come directly after it.
pub fn dependents_of(spec: &JobSpec) -> Vec<Vec<u16>> {
    let mut dependents = vec![Vec::new(); spec.tasks.len()];
    for (place, task) in (0u16..).zip(&spec.tasks) {
        for &before in &task.after {
            dependents[usize::from(before)].push(place);
        }
    }
    dependents
}
