//! `run.rec`: the task runs.

use super::{Error, Fields, Record};
use crate::group::Groups;
use crate::process::Process;

/// What is known once the task runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// The supervisor.
    pub shim: Process,
    /// The task's first process: its init where it has a pid namespace, else the program itself.
    pub task: Process,
    /// The boot in which these pids mean something.
    pub boot_id: String,
    /// The task's control groups.
    pub groups: Groups,
    /// When the program began, wall clock, in milliseconds since the epoch.
    pub started_ms: u64,
    /// The same on the boot clock.
    pub started_boot_ms: u64,
}

impl Record for RunRecord {
    const KIND: &'static str = "run";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.put("shim_pid", self.shim.pid);
        fields.put("shim_ticks", self.shim.start_ticks);
        fields.put("task_pid", self.task.pid);
        fields.put("task_ticks", self.task.start_ticks);
        fields.put("boot", &self.boot_id);
        self.groups.put(&mut fields);
        fields.put("started", self.started_ms);
        fields.put("started_boot", self.started_boot_ms);
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, Error> {
        Ok(RunRecord {
            shim: Process { pid: fields.need("shim_pid")?, start_ticks: fields.need("shim_ticks")? },
            task: Process { pid: fields.need("task_pid")?, start_ticks: fields.need("task_ticks")? },
            boot_id: fields.need("boot")?,
            groups: Groups::take(fields),
            started_ms: fields.need("started")?,
            started_boot_ms: fields.need("started_boot")?,
        })
    }
}
