//! cgroup v2: one group a task.

use std::fs;
use std::path::{Path, PathBuf};

use berth_shim::group::Groups;

use super::mounts::NEEDED;
use super::{
    Cgroups, Error, Limits, Mode, Mounts, SHIMS, TASKS, children, controllers, make, make_all, remove,
};

/// Control groups of version 2.
#[derive(Debug)]
pub struct V2 {
    root: PathBuf,
}

impl V2 {
    /// Makes the groups above those of tasks and hands the controllers down to them.
    ///
    /// # Errors
    /// The kernel refuses: no rights, or processes stand in the root group itself.
    pub fn new(mounts: &Mounts, root: &str) -> Result<V2, Error> {
        let mount =
            mounts.unified.as_ref().ok_or_else(|| Error::Unavailable("there is no cgroup v2".into()))?;
        let root = mount.join(root.trim_start_matches('/'));
        make_all(&root.join(TASKS))?;
        make_all(&root.join(SHIMS))?;
        let tasks = root.join(TASKS);
        let mut above: Vec<&Path> = tasks.ancestors().take_while(|path| path.starts_with(mount)).collect();
        above.reverse();
        for path in above {
            hand_down(path)?;
        }
        Ok(V2 { root })
    }

    fn limit(&self, path: &Path, limits: &Limits) -> Result<(), Error> {
        controllers::cpu(path, true, limits)?;
        controllers::memory(path, true, limits)?;
        controllers::pids(path, true, limits)?;
        // The kernel takes the whole task when it takes one of its processes, so that none goes on
        // half dead. The file is missing before 4.19.
        let together = path.join("memory.oom.group");
        if together.exists() {
            fs::write(&together, "1").map_err(|error| Error::Limit {
                limit: "memory",
                path: path.to_owned(),
                cause: error.to_string(),
            })?;
        }
        Ok(())
    }
}

impl Cgroups for V2 {
    fn mode(&self) -> Mode {
        Mode::V2
    }

    fn create(&self, name: &str, limits: &Limits) -> Result<Groups, Error> {
        let groups = self.groups(name);
        for path in groups.paths() {
            make(path)?;
            if let Err(error) = self.limit(path, limits) {
                // The first error is the one to tell.
                let _ = remove(&groups);
                return Err(error);
            }
        }
        Ok(groups)
    }

    fn groups(&self, name: &str) -> Groups {
        Groups { unified: Some(self.root.join(TASKS).join(name)), ..Groups::default() }
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        children(&self.root.join(TASKS))
    }

    fn trial_group(&self) -> Option<PathBuf> {
        Some(self.root.join(SHIMS))
    }

    fn roots(&self) -> Vec<PathBuf> {
        vec![self.root.clone()]
    }

    fn shim_groups(&self) -> Vec<PathBuf> {
        vec![self.root.join(SHIMS)]
    }
}

/// Offers the needed controllers to the groups below `path`, unless they have them.
fn hand_down(path: &Path) -> Result<(), Error> {
    let file = path.join("cgroup.subtree_control");
    let has = fs::read_to_string(&file).unwrap_or_default();
    if NEEDED.into_iter().all(|needed| has.split_whitespace().any(|controller| controller == needed)) {
        return Ok(());
    }
    let wish = NEEDED.map(|controller| format!("+{controller}")).join(" ");
    fs::write(&file, wish).map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::ResourceBusy {
            "; processes in it have to move to a group below it (in a systemd unit: Delegate=yes and DelegateSubgroup=)"
        } else {
            ""
        };
        Error::Unavailable(format!("cannot hand controllers down from {}: {error}{hint}", path.display()))
    })
}
