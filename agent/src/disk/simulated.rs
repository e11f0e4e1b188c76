//! A disk in memory that loses what was not synced, from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{Disk, Durability, NewDir};
use crate::jitter::Jitter;

const EMFILE: i32 = 24;

/// A disk in memory. It can fail at any write and lose power; both follow from what it was told, so a run with it
/// can be repeated exactly.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk {
    /// What a reader sees.
    files: BTreeMap<String, Vec<u8>>,
    /// What is on the platter, of files whose last write is not.
    before: BTreeMap<String, Option<Vec<u8>>>,
    writes: u64,
    fails_at: Option<u64>,
    lies: bool,
    full: bool,
    no_descriptors: bool,
    refuses_removals: bool,
    torn: u64,
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::default()
    }

    /// How many writes, creations and removals it has seen.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// How many files losses of power have torn or lost.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// The write after that many more fails half done, and every call after it. [`SimulatedDisk::power_loss`] and
    /// [`SimulatedDisk::repair`] end that.
    pub fn fail_after(&mut self, writes: u64) {
        self.fails_at = Some(self.writes + writes);
    }

    /// The disk works again, and nothing is lost: the process died, the machine did not.
    pub fn repair(&mut self) {
        self.fails_at = None;
    }

    /// From now on the disk claims to have synced what it has not: a fault to plant.
    pub fn lie(&mut self, lies: bool) {
        self.lies = lies;
    }

    /// While it is so, there is no room for anything new.
    pub fn fill(&mut self, full: bool) {
        self.full = full;
    }

    /// From now on no file can be opened for writing.
    pub fn run_out_of_descriptors(&mut self) {
        self.no_descriptors = true;
    }

    /// While it is so, nothing can be removed; all else works.
    pub fn refuse_removals(&mut self, refuses: bool) {
        self.refuses_removals = refuses;
    }

    /// Power fails and comes back. Every write that was not synced is kept, torn, or undone.
    pub fn power_loss(&mut self, seed: u64) {
        self.fails_at = None;
        let mut dice = Jitter::new(seed);
        for (path, old) in std::mem::take(&mut self.before) {
            let fate = dice.below(3);
            if fate == 0 {
                continue;
            }
            self.torn += 1;
            match (fate, self.files.get_mut(&path)) {
                (1, Some(bytes)) => {
                    let keep = dice.below(u64::try_from(bytes.len()).unwrap_or(u64::MAX).max(1));
                    bytes.truncate(usize::try_from(keep).unwrap_or(0));
                }
                _ => match old {
                    Some(old) => drop(self.files.insert(path, old)),
                    None => drop(self.files.remove(&path)),
                },
            }
        }
    }

    fn alive(&self) -> io::Result<()> {
        match self.fails_at {
            Some(limit) if self.writes > limit => Err(io::Error::other("the simulated disk has failed")),
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a write; an error when it is the one that fails.
    fn count(&mut self) -> io::Result<()> {
        self.alive()?;
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.no_descriptors {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        self.writes += 1;
        self.alive()
    }

    fn put(&mut self, path: String, bytes: Vec<u8>, durability: Durability) {
        let old = self.files.insert(path.clone(), bytes);
        if durability == Durability::Now && !self.lies {
            self.before.remove(&path);
        } else {
            self.before.entry(path).or_insert(old);
        }
    }
}

impl Disk for SimulatedDisk {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.alive()?;
        Ok(self.files.get(path).cloned())
    }

    fn write(&mut self, path: &str, bytes: &[u8], durability: Durability) -> io::Result<()> {
        self.count()?;
        self.put(path.to_owned(), bytes.to_vec(), durability);
        Ok(())
    }

    fn create(&mut self, dirs: &[NewDir]) -> io::Result<()> {
        for new in dirs {
            let path = format!("{}/{}", new.dir, new.file);
            self.alive()?;
            if let Err(error) = self.count() {
                // Written in place, so the file in hand is cut short, and those before it are not synced.
                let half = new.bytes[..new.bytes.len() / 2].to_vec();
                self.put(path, half, Durability::Later);
                return Err(error);
            }
            self.put(path, new.bytes.clone(), Durability::Later);
        }
        self.count()?;
        for new in dirs {
            let path = format!("{}/{}", new.dir, new.file);
            let bytes = new.bytes.clone();
            self.put(path, bytes, Durability::Now);
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.alive()?;
        let prefix = format!("{dir}/");
        let names: BTreeSet<String> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix))
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_owned)
            .collect();
        Ok(names.into_iter().collect())
    }

    fn remove(&mut self, dir: &str) -> io::Result<()> {
        self.alive()?;
        if self.refuses_removals {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if !self.full && !self.no_descriptors {
            self.count()?;
        }
        let prefix = format!("{dir}/");
        self.files.retain(|path, _| !path.starts_with(&prefix));
        self.before.retain(|path, _| !path.starts_with(&prefix));
        Ok(())
    }
}
