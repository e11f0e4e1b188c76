//! `order.rec`: what the agent wants to be run.

use std::path::PathBuf;

use super::{Error, Fields, Record};
use crate::group::Groups;
use crate::process::Process;

/// How much of each output stream is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSizes {
    /// Bytes of one segment file at most.
    pub segment_bytes: u64,
    /// Number of segments kept; older ones are deleted.
    pub segments: u64,
}

impl Default for LogSizes {
    fn default() -> Self {
        LogSizes { segment_bytes: 10 << 20, segments: 5 }
    }
}

/// The order for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The attempt's handle, as a number.
    pub attempt: u64,
    /// Its readable name.
    pub name: String,
    /// The boot in which the order was given.
    pub boot_id: String,
    /// Program and arguments; never empty.
    pub command: Vec<String>,
    /// The task's whole environment.
    pub environment: Vec<(String, String)>,
    /// Whether the task gets a pid and a mount namespace.
    pub namespaces: bool,
    /// The task's control groups, already made and limited; may be none.
    pub groups: Groups,
    /// Where the shim itself moves first, so that it does not count as part of the agent.
    pub shim_groups: Vec<PathBuf>,
    /// When this process ends, the task is stopped.
    pub end_with: Option<Process>,
    /// How long it goes on without contact to the servers; `None` for as long as it takes.
    pub leash: Option<LeashOrder>,
    /// How many files the task may have open until it asks for more; `None` for as many as the agent.
    pub open_files: Option<u64>,
    /// Bounds of the log.
    pub log: LogSizes,
}

/// How long a task goes on without contact to the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeashOrder {
    /// So many milliseconds after the last contact it is stopped.
    pub span_ms: u64,
    /// So many milliseconds after that it is killed.
    pub grace_ms: u64,
    /// The file that says when the last contact was, a [`Contact`](super::Contact).
    pub contact: PathBuf,
}

impl Record for Order {
    const KIND: &'static str = "order";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.put("attempt", self.attempt);
        fields.put("name", &self.name);
        fields.put("boot", &self.boot_id);
        for argument in &self.command {
            fields.put("arg", argument);
        }
        for (key, value) in &self.environment {
            fields.put("env", format_args!("{key}={value}"));
        }
        fields.put("namespaces", self.namespaces);
        self.groups.put(&mut fields);
        for group in &self.shim_groups {
            fields.put("shim_group", group.display());
        }
        if let Some(process) = self.end_with {
            fields.put("end_with_pid", process.pid);
            fields.put("end_with_ticks", process.start_ticks);
        }
        if let Some(leash) = &self.leash {
            fields.put("leash", leash.span_ms);
            fields.put("leash_grace", leash.grace_ms);
            fields.put("leash_contact", leash.contact.display());
        }
        fields.put_some("open_files", self.open_files);
        fields.put("segment_bytes", self.log.segment_bytes);
        fields.put("segments", self.log.segments);
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, Error> {
        let command: Vec<String> = fields.all("arg").map(str::to_owned).collect();
        if command.is_empty() {
            return Err(Error::Field("arg"));
        }
        let environment = fields
            .all("env")
            .map(|line| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect::<Option<_>>()
            .ok_or(Error::Field("env"))?;
        let end_with = match fields.get("end_with_pid")? {
            Some(pid) => Some(Process { pid, start_ticks: fields.need("end_with_ticks")? }),
            None => None,
        };
        let leash = match fields.get("leash")? {
            Some(span_ms) => Some(LeashOrder {
                span_ms,
                grace_ms: fields.need("leash_grace")?,
                contact: fields.need("leash_contact")?,
            }),
            None => None,
        };
        Ok(Order {
            attempt: fields.need("attempt")?,
            name: fields.need("name")?,
            boot_id: fields.need("boot")?,
            command,
            environment,
            namespaces: fields.need("namespaces")?,
            groups: Groups::take(fields),
            shim_groups: fields.all("shim_group").map(PathBuf::from).collect(),
            end_with,
            leash,
            open_files: fields.get("open_files")?,
            log: LogSizes {
                segment_bytes: fields.need("segment_bytes")?,
                segments: fields.need("segments")?,
            },
        })
    }
}
