use std::collections::BTreeMap;

use super::Change;
use crate::command::Placement;
use crate::event::Event;
use crate::id::{AttemptHandle, NodeHandle, TenantHandle};
use crate::model::{
    Attempt, AttemptState, Files, Node, RequestClass, Run, RunState, Step, StepState, TaskState,
};
use crate::orders;
use crate::reason::EndReason;
use crate::reply::{Refusal, Reply};

impl Change<'_> {
    /// Places what can be placed: each placement is checked again and refused singly.
    pub(super) fn place_all(&mut self, placements: &[Placement]) -> Reply {
        let mut refused = Vec::new();
        let mut grants: BTreeMap<TenantHandle, u64> = BTreeMap::new();
        for (at, placement) in (0u32..).zip(placements) {
            match self.place(placement) {
                Ok(tenant) => *grants.entry(tenant).or_default() += 1,
                Err(refusal) => refused.push((at, refusal)),
            }
        }
        // Once for each tenant: its record is large, and there may be thousands of places.
        for (tenant, granted) in grants {
            self.state.tables.tenants.update(&tenant, |tenant| tenant.grants += granted);
        }
        Reply::Placed { refused }
    }

    /// Gives the tenant that was granted the place.
    fn place(&mut self, placement: &Placement) -> Result<TenantHandle, Refusal> {
        let handle = placement.task;
        let step_handle = self.state.step_of(handle).ok_or(Refusal::NotReady)?;
        let step = self.state.step(step_handle);
        let (run_handle, run) = (step.run, self.state.run(step.run));
        self.check_ready(placement, step, run)?;
        let (spec, place) = (self.state.spec_record(run.spec), usize::from(step.place));
        let class_handle = spec.classes[place];
        let class = self.state.class(class_handle);
        let uses_outputs = spec.spec.tasks[place].uses_outputs();
        let node = self.check_node(placement, class, run)?;
        let tenant = self.state.job(run.job).tenant;
        self.check_quota(tenant, class)?;

        let files = match (&run.files, class.uses_run_dir) {
            (None, true) => Some(files_on(placement.node, node)),
            _ => None,
        };
        if let Some(files) = files {
            self.state.tables.runs.update(run_handle, |run| run.files = Some(files));
            self.state
                .index
                .bind_run(run_handle, self.state.tables.runs.get(run_handle).expect("a step's run exists"));
        }
        let attempt = AttemptHandle(self.state.tables.header.next.attempt);
        self.state.tables.header.next.attempt += 1;
        let (number, previous) = self.enter_attempt(step_handle, handle, attempt);
        let record = Attempt {
            task: handle,
            number,
            node: placement.node,
            class: class_handle,
            previous: previous.into(),
            placed: self.now,
            started: None,
            state: AttemptState::Starting,
        };
        self.state.index.hold(&self.state.tables, attempt, &record, tenant);
        self.state.tables.attempts.insert(attempt, record);
        self.emit(Event::AttemptPlaced { attempt, node: placement.node });
        if uses_outputs {
            self.end_if_not_orderable(attempt);
        }
        Ok(tenant)
    }

    /// Ends an attempt that names outputs which earlier tasks did not leave: no node could be told what to start.
    fn end_if_not_orderable(&mut self, attempt: AttemptHandle) {
        if let Err(cause) = orders::resolve(self.state, attempt) {
            self.attempt_ended(
                attempt,
                EndReason::StartFailed(cause.to_string().into()),
                None,
                self.now,
                &[],
            );
        }
    }

    fn check_ready(&self, placement: &Placement, step: &Step, run: &Run) -> Result<(), Refusal> {
        let waits = match self.state.tables.tasks.get(placement.task) {
            Some(task) => task.state == TaskState::Ready,
            None => step.opened < step.size && step.task(step.opened) == placement.task,
        };
        let open = step.state == StepState::Open && run.state == RunState::Active;
        if open && waits { Ok(()) } else { Err(Refusal::NotReady) }
    }

    fn check_node(&self, placement: &Placement, class: &RequestClass, run: &Run) -> Result<&Node, Refusal> {
        let unknown = || Refusal::UnknownNode(placement.node.to_string());
        let node = self.state.tables.nodes.get(placement.node).ok_or_else(unknown)?;
        if node.epoch != placement.epoch {
            return Err(Refusal::StaleEpoch);
        }
        if let Some(why) = node.closed() {
            return Err(Refusal::NodeClosed(why.to_owned()));
        }
        if !node.facts.executors.get(&class.executor).is_some_and(|offer| offer.ready) {
            return Err(Refusal::DoesNotFit(format!("it lacks the executor {}", class.executor.word())));
        }
        if class.uses_run_dir && !run.files.as_ref().is_none_or(|files| reaches(node, placement.node, files))
        {
            return Err(Refusal::DoesNotFit("the run's files are elsewhere".to_owned()));
        }
        let used = self.state.index.used_on(placement.node);
        match used.first_over(&class.resources, &node.capacity, |_| true) {
            Some(resource) => {
                Err(Refusal::DoesNotFit(format!("not enough {}", self.state.resource_name(resource))))
            }
            None => Ok(node),
        }
    }

    fn check_quota(&self, handle: TenantHandle, class: &RequestClass) -> Result<(), Refusal> {
        let tenant = self.state.tenant(handle);
        let used = self.state.index.used_by(handle);
        for (resource, asked) in class.resources.iter() {
            let name = self.state.resource_name(resource);
            let total = used.get(resource).saturating_add(asked);
            if tenant.limit.get(name).is_some_and(|limit| total > *limit) {
                return Err(Refusal::OverLimit { tenant: tenant.name.clone(), resource: name.to_owned() });
            }
        }
        Ok(())
    }
}

fn files_on(handle: NodeHandle, node: &Node) -> Files {
    match &node.facts.shared {
        Some(name) => Files::Shared(name.clone()),
        None => Files::Node(handle),
    }
}

/// True when a node sees the files of a run.
pub(crate) fn reaches(node: &Node, handle: NodeHandle, files: &Files) -> bool {
    match files {
        Files::Node(home) => *home == handle,
        Files::Shared(name) => node.facts.shared.as_ref() == Some(name),
    }
}
