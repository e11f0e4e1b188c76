//! Where the control groups are mounted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Error, Mode};

/// The controllers without which a limit of a task could not be held.
pub(super) const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

/// The mount points of control groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The cgroup v2 tree.
    pub unified: Option<PathBuf>,
    /// The controllers that the v2 tree offers.
    pub unified_controllers: Vec<String>,
    /// The v1 hierarchies by controller.
    pub v1: BTreeMap<String, PathBuf>,
}

impl Mounts {
    /// Those of this process.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn read() -> Result<Mounts, Error> {
        let path = Path::new("/proc/self/mountinfo");
        let text =
            fs::read_to_string(path).map_err(|source| Error::List { path: path.to_owned(), source })?;
        let mut mounts = Mounts::parse(&text);
        if let Some(unified) = &mounts.unified {
            let offered = fs::read_to_string(unified.join("cgroup.controllers")).unwrap_or_default();
            mounts.unified_controllers = offered.split_whitespace().map(str::to_owned).collect();
        }
        Ok(mounts)
    }

    /// Reads the text of `mountinfo`; leaves the controllers of the v2 tree to be found out.
    pub(super) fn parse(text: &str) -> Mounts {
        let mut mounts = Mounts::default();
        for line in text.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(point) = left.split(' ').nth(4) else { continue };
            let mut right = right.split(' ');
            let (kind, options) = (right.next(), right.nth(1).unwrap_or_default());
            match kind {
                Some("cgroup2") if mounts.unified.is_none() => mounts.unified = Some(point.into()),
                Some("cgroup") => {
                    for controller in options.split(',') {
                        mounts.v1.entry(controller.to_owned()).or_insert_with(|| point.into());
                    }
                }
                _ => {}
            }
        }
        mounts
    }

    /// Which kind this makes.
    ///
    /// # Errors
    /// What is missing for any of them.
    pub fn mode(&self) -> Result<Mode, String> {
        let lacking = |has: &dyn Fn(&str) -> bool| -> Vec<&str> {
            NEEDED.into_iter().filter(|controller| !has(controller)).collect()
        };
        let v2 = lacking(&|name| self.unified_controllers.iter().any(|offered| offered == name));
        let v1 = lacking(&|name| self.v1.contains_key(name));
        match &self.unified {
            Some(_) if v2.is_empty() => Ok(Mode::V2),
            Some(_) if v1.is_empty() => Ok(Mode::Hybrid),
            None if v1.is_empty() => Ok(Mode::V1),
            None if self.v1.is_empty() => Err("no control groups are mounted".to_owned()),
            _ => Err(format!("the control groups lack the controllers {}", v2.join(", "))),
        }
    }
}
