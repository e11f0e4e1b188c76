//! A disk in memory that behaves as badly as real ones do: what was not synced may be lost, torn or kept, in
//! any mixture, when the power goes.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use crate::raft::jitter;

/// Disks tear writes between sectors, never within one.
const SECTOR: usize = 512;

/// What a disk does wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Answers a sync without doing it: a planted bug that tests have to find.
    pub lies_about_sync: bool,
    /// Bytes the disk holds at most; writes past it fail.
    pub capacity: Option<u64>,
    /// The next sync fails.
    pub fail_next_sync: bool,
    /// The power goes after so many more writes and syncs: all later ones fail, until [`SimDisk::crash`] says
    /// what was left of the others.
    pub dies_after: Option<u64>,
}

/// A disk. Clones are the same disk; [`SimDisk::backend`] opens it.
#[derive(Clone)]
pub struct SimDisk {
    platter: Arc<Mutex<Platter>>,
}

struct Platter {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Change>,
    faults: Faults,
    random: u64,
    /// Rises with each crash: what was opened before can no longer touch the disk.
    life: u64,
    syncs: u64,
}

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

/// One opening of a [`SimDisk`].
#[derive(Debug)]
pub struct SimBackend {
    disk: SimDisk,
    life: u64,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let platter = self.lock();
        f.debug_struct("SimDisk")
            .field("bytes", &platter.current.len())
            .field("unsynced", &platter.unsynced.len())
            .finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk whose misbehaviour follows from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            platter: Arc::new(Mutex::new(Platter {
                durable: Vec::new(),
                current: Vec::new(),
                unsynced: Vec::new(),
                faults: Faults::default(),
                random: seed,
                life: 0,
                syncs: 0,
            })),
        }
    }

    /// A disk with these bytes on it.
    pub fn holding(bytes: &[u8]) -> Self {
        let disk = Self::new(0);
        {
            let mut platter = disk.lock();
            platter.durable = bytes.to_vec();
            platter.current = bytes.to_vec();
        }
        disk
    }

    /// Opens the disk for a database. Whatever was opened before a crash finds it gone.
    pub fn backend(&self) -> SimBackend {
        SimBackend { disk: self.clone(), life: self.lock().life }
    }

    /// Sets what the disk does wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// The power goes: of what was not synced each sector may or may not have arrived.
    pub fn crash(&self) {
        let mut platter = self.lock();
        platter.life += 1;
        platter.faults = Faults::default();
        let mut image = std::mem::take(&mut platter.durable);
        for change in std::mem::take(&mut platter.unsynced) {
            match change {
                Change::Length(length) => {
                    if platter.draw().is_multiple_of(2) {
                        image.resize(length, 0);
                    }
                }
                Change::Write { offset, bytes } => platter.tear(&mut image, offset, &bytes),
            }
        }
        platter.current.clone_from(&image);
        platter.durable = image;
    }

    /// The process dies and the machine lives on: everything written stays.
    pub fn kill(&self) {
        let mut platter = self.lock();
        platter.life += 1;
        platter.durable = platter.current.clone();
        platter.unsynced.clear();
    }

    /// Turns one bit over, as old magnetism does; counted from the beginning of the disk.
    pub fn flip(&self, bit: usize) {
        let mut platter = self.lock();
        let (byte, mask) = (bit / 8, 1u8 << (bit % 8));
        platter.durable[byte] ^= mask;
        platter.current[byte] ^= mask;
    }

    /// What is on the disk now, in bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().current.clone()
    }

    /// How many changes of the disk are not synced.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    /// How often the disk was synced.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().expect("nothing panics while it holds the platter")
    }
}

impl Platter {
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        jitter::mix(self.random)
    }

    fn tear(&mut self, image: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        // Most writes arrive whole or not at all; some arrive in part.
        let fate = self.draw() % 3;
        let mut done = 0;
        while done < bytes.len() {
            let until = ((offset + done) / SECTOR + 1) * SECTOR;
            let length = (until - offset - done).min(bytes.len() - done);
            let keep = match fate {
                0 => true,
                1 => false,
                _ => self.draw().is_multiple_of(2),
            };
            if keep {
                let end = offset + done + length;
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[offset + done..end].copy_from_slice(&bytes[done..done + length]);
            }
            done += length;
        }
    }
}

impl SimBackend {
    fn platter(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let platter = self.disk.lock();
        if platter.life != self.life {
            return Err(io::Error::other("this machine has crashed"));
        }
        Ok(platter)
    }

    /// For what changes the disk.
    fn powered(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let mut platter = self.platter()?;
        match &mut platter.faults.dies_after {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(platter)
            }
            None => Ok(platter),
        }
    }
}

impl StorageBackend for SimBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(length(self.platter()?.current.len()))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter()?;
        let offset = position(offset);
        let bytes = platter
            .current
            .get(offset..offset + out.len())
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platter = self.powered()?;
        if platter.faults.capacity.is_some_and(|capacity| len > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = position(len);
        platter.current.resize(len, 0);
        platter.unsynced.push(Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.powered()?;
        platter.syncs += 1;
        if std::mem::take(&mut platter.faults.fail_next_sync) {
            return Err(io::Error::other("the disk could not sync"));
        }
        if platter.faults.lies_about_sync {
            return Ok(());
        }
        let Platter { durable, unsynced, .. } = &mut *platter;
        for change in unsynced.drain(..) {
            match change {
                Change::Length(length) => durable.resize(length, 0),
                Change::Write { offset, bytes } => {
                    if durable.len() < offset + bytes.len() {
                        durable.resize(offset + bytes.len(), 0);
                    }
                    durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.powered()?;
        let end = offset + length(data.len());
        if platter.faults.capacity.is_some_and(|capacity| end > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (offset, end) = (position(offset), position(end));
        if platter.current.len() < end {
            platter.current.resize(end, 0);
        }
        platter.current[offset..end].copy_from_slice(data);
        platter.unsynced.push(Change::Write { offset, bytes: data.to_vec() });
        Ok(())
    }
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).expect("a simulated disk fits memory")
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}
