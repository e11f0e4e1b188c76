//! What isolation this machine and this user offer.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::{Config, IsolationChoice};
use crate::cgroups::{self, Cgroups};
use crate::executor::Isolation as Missing;

/// The isolation that tasks get.
#[derive(Debug)]
pub(super) struct Isolation {
    pub(super) cgroups: Option<Arc<dyn Cgroups>>,
    pub(super) namespaces: bool,
    /// What tasks go without.
    pub(super) missing: BTreeSet<Missing>,
    /// For people: `cgroup v2, pid namespace`, or what is missing and why.
    pub(super) detail: String,
}

impl Isolation {
    /// Tries what there is. Takes a few milliseconds.
    pub(super) fn probe(config: &Config) -> Isolation {
        if config.isolation == IsolationChoice::Plain {
            let detail = "plain: isolation is switched off".to_owned();
            let missing = [Missing::ControlGroups, Missing::PidNamespace].into();
            return Isolation { cgroups: None, namespaces: false, missing, detail };
        }
        let cgroups = cgroups::detect(&config.cgroup_root);
        let namespaces = namespaces_work(config);
        let user = if nix::unistd::geteuid().is_root() { "" } else { " (not root)" };
        let first = match &cgroups {
            Ok(cgroups) => format!("cgroup {}", cgroups.mode()),
            Err(cause) => format!("plain: no writable cgroups{user}: {cause}"),
        };
        let second = if namespaces { "pid namespace".to_owned() } else { format!("no pid namespace{user}") };
        let cgroups = cgroups.ok();
        let parts = [(cgroups.is_some(), Missing::ControlGroups), (namespaces, Missing::PidNamespace)];
        let missing = parts.into_iter().filter(|(works, _)| !works).map(|(_, part)| part).collect();
        Isolation { cgroups, namespaces, missing, detail: format!("{first}, {second}") }
    }
}

/// Whether a shim can make a pid namespace. Only a try tells: rights, seccomp filters of an outer
/// container and kernel settings all have a say.
fn namespaces_work(config: &Config) -> bool {
    Command::new(&config.shim_program)
        .args([berth_shim::SHIM, berth_shim::PROBE])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
