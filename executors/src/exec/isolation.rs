//! What isolation this machine and this user offer.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use berth_shim::{KERNEL_MIN, Probe};

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
    /// Why no task can run here at all.
    pub(super) unusable: Option<String>,
}

impl Isolation {
    /// Tries what there is. Takes a few milliseconds.
    pub(super) fn probe(config: &Config) -> Isolation {
        let found = match config.isolation {
            IsolationChoice::Best => Some(cgroups::detect(&config.cgroup_root)),
            IsolationChoice::Plain => None,
        };
        let trial =
            found.as_ref().and_then(|found| found.as_ref().ok()).and_then(|cgroups| cgroups.trial_group());
        let probe = try_out(config, trial);
        Isolation::of(found, probe)
    }

    /// What follows from the control groups that there are, if they are wanted, and from what a shim could do.
    fn of(
        found: Option<Result<Arc<dyn Cgroups>, cgroups::Error>>,
        probe: Result<Probe, String>,
    ) -> Isolation {
        let unusable = match &probe {
            Ok(Probe { kernel: true, .. }) => None,
            Ok(_) => Some(format!(
                "this kernel ({}) is too old, or a filter keeps Berth from its system calls: Linux {KERNEL_MIN} or \
                 later is needed",
                kernel_release()
            )),
            Err(cause) => Some(cause.clone()),
        };
        let Some(found) = found else {
            let detail = "plain: isolation is switched off".to_owned();
            let missing = [Missing::ControlGroups, Missing::PidNamespace].into();
            return Isolation { cgroups: None, namespaces: false, missing, detail, unusable };
        };
        let user = if nix::unistd::geteuid().is_root() { "" } else { " (not root)" };
        let (namespaces, born) =
            probe.map_or((false, true), |probe| (probe.namespaces, probe.birth_in_group));
        let (first, cgroups) = match found {
            Ok(cgroups) if born => (format!("cgroup {}", cgroups.mode()), Some(cgroups)),
            Ok(_) => (format!("plain: no process can be started in a cgroup v2 group{user}"), None),
            Err(cause) => (format!("plain: no writable cgroups{user}: {cause}"), None),
        };
        let second = if namespaces { "pid namespace".to_owned() } else { format!("no pid namespace{user}") };
        let parts = [(cgroups.is_some(), Missing::ControlGroups), (namespaces, Missing::PidNamespace)];
        let missing = parts.into_iter().filter(|(works, _)| !works).map(|(_, part)| part).collect();
        Isolation { cgroups, namespaces, missing, detail: format!("{first}, {second}"), unusable }
    }
}

/// Has a shim try what it can do; the error is for people.
fn try_out(config: &Config, trial_group: Option<PathBuf>) -> Result<Probe, String> {
    let program = &config.shim_program;
    if !program.is_file() {
        return Err(format!("the shim program {} is not there", program.display()));
    }
    let status = Command::new(program)
        .args([berth_shim::SHIM, berth_shim::PROBE])
        .args(trial_group)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("the shim program {} cannot be run: {error}", program.display()))?;
    let probe = status.code().and_then(Probe::from_exit_code);
    probe.ok_or_else(|| format!("the shim program {} does not work: {status}", program.display()))
}

fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if release.is_empty() { "of unknown version".to_owned() } else { release.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::{Mounts, V2};

    const ALL: Probe = Probe { kernel: true, namespaces: true, birth_in_group: true };

    fn isolation(probe: Result<Probe, String>) -> Isolation {
        let dir = tempfile::tempdir().unwrap();
        let mounts = Mounts { unified: Some(dir.path().into()), ..Mounts::default() };
        Isolation::of(Some(Ok(Arc::new(V2::new(&mounts, "berth").unwrap()))), probe)
    }

    #[test]
    fn what_a_shim_cannot_do_is_missing_of_isolation() {
        let all = isolation(Ok(ALL));
        assert_eq!((all.detail.as_str(), all.missing.len()), ("cgroup v2, pid namespace", 0));
        let no_birth = isolation(Ok(Probe { birth_in_group: false, ..ALL }));
        assert!(no_birth.cgroups.is_none() && no_birth.unusable.is_none());
        assert_eq!(no_birth.missing, [Missing::ControlGroups].into());
        assert!(
            no_birth.detail.starts_with("plain: no process can be started in a cgroup"),
            "{}",
            no_birth.detail
        );
        assert_eq!(isolation(Ok(Probe { namespaces: false, ..ALL })).missing, [Missing::PidNamespace].into());
    }

    #[test]
    fn a_kernel_that_is_too_old_is_refused_in_words() {
        let words = isolation(Ok(Probe { kernel: false, ..ALL })).unusable.unwrap();
        assert!(words.contains("Linux 5.9 or later is needed"), "{words}");
        let words = isolation(Err("the shim program x cannot be run".to_owned())).unusable.unwrap();
        assert!(words.contains("cannot be run"), "{words}");
        assert!(isolation(Ok(ALL)).unusable.is_none());
    }
}
