//! Interning: equal names, requests and specs are stored once and shared.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::hash;
use crate::id::{ClassHandle, ResourceHandle, SpecHandle};
use crate::job_spec::{JobSpec, TaskSpec};
use crate::model::{RequestClass, SpecRecord};
use crate::resources::{NamedResources, Resources};
use crate::state::State;

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
        if let Some(handle) = self.known_spec(hash::of(&**spec), spec) {
            self.retain_spec(handle);
            return handle;
        }
        let classes = spec.tasks.iter().map(|task| self.intern_class(task)).collect();
        let handle = SpecHandle(self.tables.header.next.spec);
        self.tables.header.next.spec += 1;
        let record = SpecRecord::new(Arc::clone(spec), 1, classes);
        self.index.specs.insert((record.key, handle));
        self.tables.specs.insert(handle, record);
        handle
    }

    /// The spec with this content. The hash narrows the search; it does not decide, because whoever writes specs can
    /// make two with the same one.
    fn known_spec(&self, key: u128, spec: &Arc<JobSpec>) -> Option<SpecHandle> {
        let with_key = self.index.specs.range((key, SpecHandle(0))..=(key, SpecHandle(u64::MAX)));
        with_key.map(|(_, handle)| *handle).find(|handle| self.spec(*handle) == spec)
    }

    /// Adds a user to a spec that is stored.
    pub(crate) fn retain_spec(&mut self, handle: SpecHandle) {
        self.tables.specs.update(handle, |record| record.users += 1);
    }

    /// Takes a user from a spec; with the last one it goes.
    pub(crate) fn release_spec(&mut self, handle: SpecHandle) {
        let users = self.tables.specs.update(handle, |record| {
            record.users -= 1;
            record.users
        });
        if users == 0 {
            let record = self.tables.specs.remove(handle).expect("it was there a moment ago");
            self.index.specs.remove(&(record.key, handle));
        }
    }

    /// How many of these resources were never heard of.
    pub(crate) fn new_resources<'a>(&self, names: impl Iterator<Item = &'a String>) -> usize {
        names.filter(|name| !self.index.resources.contains_key(*name)).collect::<BTreeSet<_>>().len()
    }

    /// How many request classes a spec would add.
    pub(crate) fn new_classes(&self, spec: &JobSpec) -> usize {
        let known = |task: &&TaskSpec| {
            let named = task.resources.iter();
            let amounts: Option<Resources> =
                named.map(|(name, amount)| Some((*self.index.resources.get(name)?, *amount))).collect();
            amounts.is_some_and(|resources| {
                let class =
                    RequestClass { resources, executor: task.executor(), uses_run_dir: task.uses_run_dir() };
                self.index.classes.contains_key(&class)
            })
        };
        let new = spec.tasks.iter().filter(|task| !known(task));
        new.map(|task| (&task.resources, task.executor(), task.uses_run_dir())).collect::<BTreeSet<_>>().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::tests::house::{a_job, a_task};

    #[test]
    fn specs_with_the_same_hash_are_told_apart_by_their_content() {
        let mut state = State::new();
        let one = Arc::new(a_job("one", vec![a_task("a", &[])]));
        let other = Arc::new(a_job("other", vec![a_task("a", &[])]));
        let stored = state.use_spec(&one);
        // As if both had one hash.
        let key = hash::of(&*one);
        assert_eq!(state.known_spec(key, &one), Some(stored));
        assert_eq!(state.known_spec(key, &other), None);
    }
}
