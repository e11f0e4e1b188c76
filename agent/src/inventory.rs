//! What the machine offers, as far as the agent can see.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use berth_core::job_spec::ExecutorKind;
use berth_core::model::{ExecutorOffer, NodeFacts};
use berth_core::resources::{CPU, MEMORY, NamedResources};
use berth_executors::cgroups::Mounts;
use berth_executors::executor::Health;

/// Cpu that is kept for the machine itself, in thousandths of a core.
const RESERVED_CPU: u64 = 100;
/// The least memory that is kept for the machine itself, in bytes; more where the machine is large.
const RESERVED_MEMORY: u64 = 256 << 20;
/// A v1 group without a limit shows a number beyond this.
const NO_LIMIT: u64 = 1 << 60;

/// What a node offers to tasks, where its operator says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capacity {
    /// Thousandths of a core; `None` for what the machine has, less a reserve of 100.
    pub cpu_milli: Option<u64>,
    /// Bytes; `None` for what the machine has, less a reserve of 5 % and at least 256 MiB.
    pub memory: Option<u64>,
}

/// A directory that several nodes see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedDir {
    /// Where it is on this node.
    pub path: PathBuf,
    /// Its name: nodes that say the same name see the same files.
    pub name: String,
}

/// What to look at.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// What the operator says instead of the machine.
    pub capacity: Capacity,
    /// The operator's own facts, such as `class`; they win over those of the machine.
    pub attributes: BTreeMap<String, String>,
    /// Below it are the directories of runs.
    pub run_dirs: PathBuf,
    /// The name of the shared directory that they are on, if they are on one.
    pub shared: Option<String>,
}

impl Inventory {
    /// Looks at the machine and at its executors.
    pub fn facts(&self, executors: impl Iterator<Item = (ExecutorKind, Health)>) -> NodeFacts {
        let executors = executors
            .map(|(kind, health)| {
                let offer = match health {
                    Health::Ready { detail, missing } => ExecutorOffer { ready: true, detail, missing },
                    Health::Unavailable { reason } => {
                        ExecutorOffer { ready: false, detail: reason, missing: BTreeSet::new() }
                    }
                };
                (kind, offer)
            })
            .collect();
        let mut attributes = machine();
        attributes.extend(self.attributes.clone());
        NodeFacts {
            capacity: self.offered(),
            attributes,
            executors,
            run_dirs: self.run_dirs.display().to_string(),
            shared: self.shared.clone(),
        }
    }

    fn offered(&self) -> NamedResources {
        let cpu = self.capacity.cpu_milli.unwrap_or_else(|| cpu_milli().saturating_sub(RESERVED_CPU));
        let memory = self.capacity.memory.unwrap_or_else(|| {
            let all = memory();
            all.saturating_sub(RESERVED_MEMORY.max(all / 20))
        });
        NamedResources::from([(CPU.to_owned(), cpu), (MEMORY.to_owned(), memory)])
    }
}

/// What this process may use of the processors: its affinity, within the quota of its control group.
fn cpu_milli() -> u64 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u64::try_from(cores).unwrap_or(1).saturating_mul(1000)
}

/// The machine's memory, or the limit of this process's control group where that is less.
fn memory() -> u64 {
    let total = read("/proc/meminfo").and_then(|text| mem_total(&text)).unwrap_or(0);
    own_limit().map_or(total, |limit| limit.min(total))
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The lowest memory limit on the way from the root to the control group of this process.
fn own_limit() -> Option<u64> {
    let mounts = Mounts::read().ok()?;
    let groups = read("/proc/self/cgroup")?;
    let v1 = mounts.v1.get("memory").map(|mount| (mount.clone(), "memory.limit_in_bytes"));
    let v2 = mounts.unified.clone().map(|mount| (mount, "memory.max"));
    let group = |controller: Option<&str>| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let fits = match controller {
                Some(name) => controllers.split(',').any(|controller| controller == name),
                None => controllers.is_empty(),
            };
            fits.then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let v1 = v1.and_then(|(mount, file)| Some(limits_above(&mount, &group(Some("memory"))?, file)));
    let v2 = v2.and_then(|(mount, file)| Some(limits_above(&mount, &group(None)?, file)));
    v1.into_iter().chain(v2).flatten().min()
}

fn limits_above(mount: &Path, group: &str, file: &str) -> Option<u64> {
    let dir = mount.join(group);
    // In a container the path may be seen from outside of it; the mount itself is then the group.
    dir.ancestors()
        .take_while(|dir| dir.starts_with(mount))
        .filter_map(|dir| fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok())
        .filter(|limit| *limit < NO_LIMIT)
        .min()
}

/// Facts of the machine itself.
fn machine() -> BTreeMap<String, String> {
    let line = |path: &str| read(path).map(|text| text.trim().to_owned());
    let cgroup_mode = Mounts::read().ok().and_then(|mounts| mounts.mode().ok()).map(|mode| mode.to_string());
    [
        ("arch", Some(std::env::consts::ARCH.to_owned())),
        ("os", Some(std::env::consts::OS.to_owned())),
        ("kernel.version", line("/proc/sys/kernel/osrelease")),
        ("hostname", line("/proc/sys/kernel/hostname")),
        ("cgroup.mode", Some(cgroup_mode.unwrap_or_else(|| "none".to_owned()))),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use berth_core::model::Isolation;

    use super::*;

    fn inventory() -> Inventory {
        Inventory {
            capacity: Capacity::default(),
            attributes: [("class".to_owned(), "db".to_owned()), ("os".to_owned(), "mine".to_owned())].into(),
            run_dirs: "/data/runs".into(),
            shared: None,
        }
    }

    #[test]
    fn the_machine_keeps_a_reserve_and_the_operator_decides_otherwise() {
        let facts = inventory().facts(std::iter::empty());
        let all = memory();
        assert!(all > 0);
        assert!(facts.capacity[MEMORY] <= all - (256 << 20));
        assert_eq!(facts.capacity[CPU] % 1000, 900);
        let capacity = Capacity { cpu_milli: Some(8_000), memory: Some(1 << 30) };
        let facts = Inventory { capacity, ..inventory() }.facts(std::iter::empty());
        assert_eq!((facts.capacity[CPU], facts.capacity[MEMORY]), (8_000, 1 << 30));
    }

    #[test]
    fn the_operators_attributes_win() {
        let facts = inventory().facts(std::iter::empty());
        assert_eq!(facts.attributes["class"], "db");
        assert_eq!(facts.attributes["os"], "mine");
        assert!(facts.attributes.contains_key("kernel.version"));
        assert!(facts.attributes.contains_key("cgroup.mode"));
    }

    #[test]
    fn an_executor_that_takes_no_work_says_why() {
        let health = Health::Unavailable { reason: "no engine".into() };
        let facts = inventory().facts([(ExecutorKind::Docker, health)].into_iter());
        let offer = &facts.executors[&ExecutorKind::Docker];
        assert_eq!((offer.ready, offer.detail.as_str()), (false, "no engine"));
    }

    #[test]
    fn what_is_missing_of_isolation_is_offered_with_the_executor() {
        let missing = BTreeSet::from([Isolation::PidNamespace]);
        let health = Health::Ready { detail: "cgroup v2".into(), missing: missing.clone() };
        let facts = inventory().facts([(ExecutorKind::Exec, health)].into_iter());
        assert_eq!(facts.executors[&ExecutorKind::Exec].missing, missing);
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        assert_eq!(mem_total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2048 << 10));
    }
}
