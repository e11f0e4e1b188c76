use std::sync::Arc;

use super::Change;
use crate::command::Submit;
use crate::event::Event;
use crate::id::{JobHandle, SpecHandle, TenantHandle};
use crate::job_spec::{JobSpec, Schedule, TEXT_BYTES_MAX};
use crate::model::{Cursor, Job, RunCause, Timer};
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
            self.state.tables.jobs.update(&job, |job| job.enabled = false);
            self.set_cursor(job, None);
            self.emit(Event::JobStopped(job));
        }
        let active: Vec<_> = self.state.index.active_runs_of(job).collect();
        for run in active {
            self.cancel_run(run);
        }
        Ok(Reply::Done)
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
        let version = self
            .state
            .tables
            .jobs
            .update(&handle, |job| {
                job.spec = after;
                job.version += u64::from(!same_spec);
                job.enabled = true;
                job.updated = now;
                job.version
            })
            .expect("the job was looked up");
        if !was_enabled || old_schedule != spec.schedule {
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

    /// Starts a schedule in a new generation: nothing before now is fired by it, and nothing that the old one
    /// had already decided is decided again.
    fn begin_schedule(&mut self, job: JobHandle, schedule: Option<&Schedule>) {
        let last = self.state.job(job).cursor.map_or(self.now, |cursor| cursor.last.max(self.now));
        let generation = self.state.job(job).generation + 1;
        self.state.tables.jobs.update(&job, |job| job.generation = generation);
        let cursor =
            schedule.map(|schedule| Cursor { generation, last, next: schedule.when.next_after(last) });
        self.set_cursor(job, cursor);
    }

    /// Moves a schedule's cursor, and its timer with it.
    pub(super) fn set_cursor(&mut self, handle: JobHandle, cursor: Option<Cursor>) {
        let before = self
            .state
            .tables
            .jobs
            .update(&handle, |job| std::mem::replace(&mut job.cursor, cursor))
            .expect("the job was looked up");
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
