//! cgroup v1, alone or beside a v2 tree without controllers (hybrid).
//!
//! A task has a group in each hierarchy that limits it. On hybrid machines it is also in a group of
//! the v2 tree, which tells who is in it and kills all at once; without one the v1 freezer serves.

use std::path::{Path, PathBuf};

use berth_shim::group::Groups;

use super::mounts::NEEDED;
use super::{
    Cgroups, Error, Limits, Mode, Mounts, SHIMS, TASKS, children, controllers, make, make_all, remove,
};

/// Control groups of version 1.
#[derive(Debug)]
pub struct V1 {
    /// The root group in each hierarchy, by controller.
    roots: Vec<(String, PathBuf)>,
    /// The root group in the v2 tree.
    unified: Option<PathBuf>,
}

impl V1 {
    /// Makes the groups above those of tasks.
    ///
    /// # Errors
    /// The kernel refuses: usually no rights.
    pub fn new(mounts: &Mounts, root: &str) -> Result<V1, Error> {
        let root = root.trim_start_matches('/');
        // Counting and freezing are better done in the v2 tree where there is one.
        let extra: &[&str] = if mounts.unified.is_some() { &[] } else { &["cpuacct", "freezer"] };
        let mut roots: Vec<(String, PathBuf)> = Vec::new();
        for controller in NEEDED.iter().chain(extra) {
            let Some(mount) = mounts.v1.get(*controller) else { continue };
            // Controllers that are mounted together come to the same path.
            roots.push(((*controller).to_owned(), mount.join(root)));
        }
        let unified = mounts.unified.as_ref().map(|mount| mount.join(root));
        for path in roots.iter().map(|(_, path)| path).chain(&unified) {
            make_all(&path.join(TASKS))?;
            make_all(&path.join(SHIMS))?;
        }
        Ok(V1 { roots, unified })
    }
}

fn limit(groups: &Groups, limits: &Limits) -> Result<(), Error> {
    for (controller, path) in &groups.v1 {
        match controller.as_str() {
            "cpu" => controllers::cpu(path, false, limits)?,
            "memory" => controllers::memory(path, false, limits)?,
            "pids" => controllers::pids(path, false, limits)?,
            _ => {}
        }
    }
    Ok(())
}

fn make_each(groups: &Groups) -> Result<(), Error> {
    let mut made: Vec<&Path> = Vec::new();
    for path in groups.paths() {
        if !made.contains(&path) {
            make(path)?;
            made.push(path);
        }
    }
    Ok(())
}

impl Cgroups for V1 {
    fn mode(&self) -> Mode {
        if self.unified.is_some() { Mode::Hybrid } else { Mode::V1 }
    }

    fn create(&self, name: &str, limits: &Limits) -> Result<Groups, Error> {
        let groups = self.groups(name);
        match make_each(&groups).and_then(|()| limit(&groups, limits)) {
            Ok(()) => Ok(groups),
            // Somebody else's; it must not be touched.
            Err(error @ Error::Exists { .. }) => Err(error),
            Err(error) => {
                // The first error is the one to tell.
                let _ = remove(&groups);
                Err(error)
            }
        }
    }

    fn groups(&self, name: &str) -> Groups {
        let below = |root: &PathBuf| root.join(TASKS).join(name);
        Groups {
            unified: self.unified.as_ref().map(below),
            v1: self.roots.iter().map(|(controller, root)| (controller.clone(), below(root))).collect(),
        }
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for root in self.roots.iter().map(|(_, root)| root).chain(&self.unified) {
            names.extend(children(&root.join(TASKS))?);
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn trial_group(&self) -> Option<PathBuf> {
        self.unified.as_ref().map(|root| root.join(SHIMS))
    }

    fn roots(&self) -> Vec<PathBuf> {
        self.roots.iter().map(|(_, root)| root).chain(&self.unified).cloned().collect()
    }

    fn shim_groups(&self) -> Vec<PathBuf> {
        // One is enough to be out of the agent's memory account. Service managers track processes in
        // a hierarchy of their own, which a unit with KillMode=process leaves in peace.
        self.roots.iter().filter(|(name, _)| name == "memory").map(|(_, root)| root.join(SHIMS)).collect()
    }
}
