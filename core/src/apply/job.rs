use std::sync::Arc;

use super::Change;
use crate::command::Submit;
use crate::event::Event;
use crate::id::{JobHandle, RunHandle, SpecHandle, TenantHandle};
use crate::job_spec::{JobSpec, Schedule, TEXT_BYTES_MAX};
use crate::model::{Cursor, Job, Outcome, OutcomeKind, RunCause, Stopping, Timer};
use crate::reason::SkipReason;
use crate::reply::{Refusal, Reply};

/// The most jobs of a cluster.
const JOBS_MAX: u64 = 1_000_000;

impl Change<'_> {
    pub(super) fn submit(&mut self, submit: Submit) -> Result<Reply, Refusal> {
        let tenant = self
            .state
            .tenant_named(&submit.tenant)
            .ok_or_else(|| Refusal::UnknownTenant(submit.tenant.clone()))?;
        if let Some(spec) = &submit.spec {
            if spec.tenant != submit.tenant || spec.name != submit.job {
                return Err(Refusal::Invalid("the spec is of another tenant or job than the request".into()));
            }
            check_texts(spec)?;
            self.check_fits_limit(tenant, spec)?;
            self.check_room_for_names(spec)?;
        }
        if submit.start.is_some() {
            self.check_room_for_run()?;
        }

        let known = self.state.job_named(tenant, &submit.job);
        let (job, changed) = match (known, submit.spec) {
            (None, None) => return Err(Refusal::UnknownJob { tenant: submit.tenant, job: submit.job }),
            (None, Some(spec)) => (self.add_job(tenant, &spec)?, true),
            (Some(job), Some(spec)) => (job, self.update_job(job, &spec)),
            (Some(job), None) => (job, false),
        };
        let run = submit.start.map(|key| self.start_run(job, RunCause::Manual(key), self.now));
        Ok(Reply::Submitted { job, version: self.state.job(job).version, changed, run })
    }

    pub(super) fn stop_job(&mut self, tenant: &str, job: &str) -> Result<Reply, Refusal> {
        let owner =
            self.state.tenant_named(tenant).ok_or_else(|| Refusal::UnknownTenant(tenant.to_owned()))?;
        let unknown = || Refusal::UnknownJob { tenant: tenant.to_owned(), job: job.to_owned() };
        let job = self.state.job_named(owner, job).ok_or_else(unknown)?;
        if self.state.job(job).enabled {
            let schedule = self.state.spec(self.state.job(job).spec).schedule.clone();
            self.drop_undecided(job, schedule.as_ref());
            self.state.tables.jobs.update(job, |job| job.enabled = false);
            self.set_cursor(job, None);
            self.emit(Event::JobStopped(job));
        }
        let (by, until) = (self.actor.clone(), RunHandle(self.state.tables.header.next.run));
        self.stop_runs(job, Stopping { by, from: RunHandle(0), until });
        Ok(Reply::Done)
    }

    pub(super) fn go_on_stopping(&mut self, job: JobHandle) {
        let stopping = self.state.tables.jobs.get(job).and_then(|job| job.stopping.clone());
        if let Some(stopping) = stopping {
            self.stop_runs(job, stopping);
        }
    }

    /// Cancels the runs of a stopped job, as far as this entry has room.
    fn stop_runs(&mut self, handle: JobHandle, stopping: Stopping) {
        let Stopping { by, mut from, until } = stopping;
        let mut left = None;
        while let Some(run) = self.state.index.next_active_run(handle, from).filter(|run| *run < until) {
            if !self.spend() {
                left = Some(Stopping { by, from: run, until });
                self.arm(self.now, Timer::StopJob(handle));
                break;
            }
            self.cancel_run(run, &by);
            from = RunHandle(run.0 + 1);
        }
        if self.state.job(handle).stopping != left {
            self.state.tables.jobs.update(handle, |job| job.stopping = left);
        }
    }

    /// Names of resources and request classes are kept for ever, so there is an end to new ones.
    fn check_room_for_names(&self, spec: &JobSpec) -> Result<(), Refusal> {
        self.check_room_for_resources(spec.tasks.iter().flat_map(|task| task.resources.keys()))?;
        let limit = self.state.limits.classes;
        match self.state.tables.classes.len() + self.state.new_classes(spec) > limit {
            true => Err(Refusal::Full { what: "different requests of tasks".into(), limit: limit as u64 }),
            false => Ok(()),
        }
    }

    pub(super) fn check_room_for_resources<'a>(
        &self,
        names: impl Iterator<Item = &'a String>,
    ) -> Result<(), Refusal> {
        let limit = self.state.limits.resources;
        match self.state.tables.resources.len() + self.state.new_resources(names) > limit {
            true => Err(Refusal::Full { what: "names of resources".into(), limit: limit as u64 }),
            false => Ok(()),
        }
    }

    fn add_job(&mut self, tenant: TenantHandle, spec: &Arc<JobSpec>) -> Result<JobHandle, Refusal> {
        if self.state.tables.jobs.len() as u64 >= JOBS_MAX {
            return Err(Refusal::Full { what: "jobs of a cluster".into(), limit: JOBS_MAX });
        }
        let handle = JobHandle(self.state.tables.header.next.job);
        self.state.tables.header.next.job += 1;
        let record = Job {
            tenant,
            name: spec.name.clone(),
            version: 1,
            spec: self.state.use_spec(spec),
            enabled: true,
            generation: 0,
            cursor: None,
            updated: self.now,
            stopping: None,
        };
        self.state.tables.jobs.insert(handle, record);
        self.state.index.jobs.insert((tenant, spec.name.clone()), handle);
        self.begin_schedule(handle, spec.schedule.as_ref());
        self.emit(Event::JobApplied { job: handle, version: 1 });
        Ok(handle)
    }

    /// Gives a job a new version if the spec differs, and enables it. True when anything changed.
    fn update_job(&mut self, handle: JobHandle, spec: &Arc<JobSpec>) -> bool {
        let job = self.state.job(handle);
        let before = job.spec;
        let was_enabled = job.enabled;
        let old_schedule = self.state.spec(before).schedule.clone();
        let same_spec = self.state.spec(before) == spec;
        if same_spec && was_enabled {
            return false;
        }
        let after = if same_spec { before } else { self.replace_spec(before, spec) };
        let now = self.now;
        let version = self.state.tables.jobs.update(handle, |job| {
            job.spec = after;
            job.version += u64::from(!same_spec);
            job.enabled = true;
            job.updated = now;
            job.version
        });
        if !was_enabled || old_schedule != spec.schedule {
            self.drop_undecided(handle, old_schedule.as_ref());
            self.begin_schedule(handle, spec.schedule.as_ref());
        }
        self.emit(Event::JobApplied { job: handle, version });
        true
    }

    fn replace_spec(&mut self, before: SpecHandle, spec: &Arc<JobSpec>) -> SpecHandle {
        let after = self.state.use_spec(spec);
        self.state.release_spec(before);
        after
    }

    /// Instants that are due and not decided get an outcome before their schedule ends, all of them one.
    fn drop_undecided(&mut self, job: JobHandle, schedule: Option<&Schedule>) {
        let Some((schedule, cursor)) = schedule.zip(self.state.job(job).cursor) else { return };
        if let Some((nominal, count)) = schedule.when.last_of(cursor.last, self.now) {
            let kind = OutcomeKind::Skipped(SkipReason::Superseded);
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.keep_outcome(job, nominal, Outcome { kind, count });
            self.emit(Event::FireDecided { job, nominal });
        }
    }

    /// Starts a schedule in a new generation: nothing before now is fired by it, and nothing that the old one
    /// had already decided is decided again.
    fn begin_schedule(&mut self, job: JobHandle, schedule: Option<&Schedule>) {
        let last = self.state.job(job).cursor.map_or(self.now, |cursor| cursor.last.max(self.now));
        let generation = self.state.job(job).generation + 1;
        self.state.tables.jobs.update(job, |job| job.generation = generation);
        let cursor =
            schedule.map(|schedule| Cursor { generation, last, next: schedule.when.next_after(last) });
        self.set_cursor(job, cursor);
    }

    /// Moves a schedule's cursor, and its timer with it.
    pub(super) fn set_cursor(&mut self, handle: JobHandle, cursor: Option<Cursor>) {
        let before = self.state.tables.jobs.update(handle, |job| std::mem::replace(&mut job.cursor, cursor));
        if let Some(instant) = before.and_then(|cursor| cursor.next) {
            self.disarm(instant, Timer::Fire(handle));
        }
        if let Some(instant) = cursor.and_then(|cursor| cursor.next) {
            self.arm(instant, Timer::Fire(handle));
        }
    }

    /// Refuses a spec of which one task alone asks for more than its tenant may ever use.
    fn check_fits_limit(&self, tenant: TenantHandle, spec: &JobSpec) -> Result<(), Refusal> {
        let tenant = self.state.tenant(tenant);
        for task in &spec.tasks {
            for (resource, &asked) in &task.resources {
                if let Some(&limit) = tenant.limit.get(resource).filter(|limit| asked > **limit) {
                    return Err(Refusal::NeverFits {
                        tenant: tenant.name.clone(),
                        task: task.name.clone(),
                        resource: resource.clone(),
                        asked,
                        limit,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Refuses texts that no program could be started with.
fn check_texts(spec: &JobSpec) -> Result<(), Refusal> {
    for task in &spec.tasks {
        if task.templates().any(|template| template.plain_len() > TEXT_BYTES_MAX) {
            let what = format!(
                "an argument or variable of task `{}` is longer than {TEXT_BYTES_MAX} bytes",
                task.name
            );
            return Err(Refusal::Invalid(what));
        }
    }
    Ok(())
}
