//! What the agent knows across restarts.
//!
//! ```text
//! journal              id, cluster, epochs, term: synced before anything is done by their right
//! reported, contact    how far the server has taken reports; when it was last heard: not synced
//! attempts/<name>/
//!   spec               the order, synced before anything runs; never changed
//!   state              since when it runs, and why it was asked to stop: not synced
//!   end                how it ended: not synced, for the executor can tell it again
//!   forgotten          the server needs nothing more of it; the logs stay a while
//! ```
//! Whatever is not synced survives the end of the process but perhaps not a loss of power; after one, nothing runs
//! any more, and each attempt has ended as its executor finds it or with its node. A file that fails its checksum
//! counts as absent where a crash can have torn it. Where none can, for it was synced before anything came of it, and
//! where a file is whole and not understood, the agent does not start.

use std::io;

use berth_core::command::AttemptUpdate;
use berth_core::id::{AttemptHandle, JournalId};
use berth_core::time::Timestamp;
use berth_proto::agent as wire;
use berth_proto::convert::{order, report};
use berth_shim::record::{self, Contact, Record};
use prost::Message;

pub use records::{State, StopCause};

use crate::clock::Boot;
use crate::disk::{Disk, Durability, NewDir};
use crate::message::{Known, Order};
use records::{Forgotten, Head, Reported};

mod frame;
mod records;
#[cfg(test)]
mod tests;

/// The directory of the attempts' directories.
pub const ATTEMPTS: &str = "attempts";
/// The process has too many open files.
const EMFILE: i32 = 24;
/// The machine has too many open files.
const ENFILE: i32 = 23;
const JOURNAL: &str = "journal";
const REPORTED: &str = "reported";
/// The file that says when the servers were last heard of, for supervisors of attempts to read.
pub const CONTACT: &str = "contact";
const SPEC: &str = "spec";
const STATE: &str = "state";
const END: &str = "end";
const FORGOTTEN: &str = "forgotten";
/// In place of a report's number: it gets one when it is sent.
const NOT_SENT: u64 = 0;

/// Why the journal cannot be used. Nothing may be done without it, so the agent ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path} of the agent's journal")]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
    /// A file is whole, and this release does not know what it says. To go on as if it were not there could start what
    /// runs a second time, or obey a leader of the past.
    #[error(
        "{path} of the agent's journal is whole but not understood by this release ({why}): start the release that \
         wrote it, or, once nothing of this node runs any more, move the data directory aside and start anew"
    )]
    NotUnderstood { path: String, why: String },
    /// A file is not what was written, and no crash can have done that. To go on without it could start what runs a
    /// second time, or obey a leader of the past.
    #[error(
        "{path} of the agent's journal is damaged, and not by a crash ({why}): look at the disk; once nothing of this \
         node runs any more, move the data directory aside and start anew"
    )]
    Damaged { path: String, why: String },
    /// A file cannot be written.
    #[error("cannot write {path} of the agent's journal")]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// What the journal holds of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it was ordered to do.
    pub order: Order,
    /// The boot in which it was taken on.
    pub boot_id: String,
    /// How far it came.
    pub state: State,
    /// How it ended, if it did.
    pub end: Option<AttemptUpdate>,
    /// Since when the server needs nothing more of it.
    pub forgotten: Option<Timestamp>,
}

/// The journal of one data directory.
#[derive(Debug)]
pub struct Journal<D> {
    disk: D,
    boot_id: String,
    id: JournalId,
    known: Known,
    reported: u64,
    contact: Option<Boot>,
}

/// The id of the journal of a directory, which begins one with the id `fresh` if there is none.
///
/// # Errors
/// As [`Journal::open`].
pub fn identity(disk: &mut impl Disk, fresh: JournalId) -> Result<JournalId, Error> {
    if let Some(head) = read_head(disk)? {
        return Ok(head.id);
    }
    write_head(disk, &Head { id: fresh, known: Known::default() })?;
    Ok(fresh)
}

impl<D: Disk> Journal<D> {
    /// Reads the journal of a directory, or begins one with the id `fresh`. Traces of attempts whose spec never
    /// became whole are removed: nothing of them was run.
    ///
    /// # Errors
    /// The directory cannot be read or written, is damaged, or was written by a release that says what this one does
    /// not know.
    pub fn open(mut disk: D, fresh: JournalId, boot_id: &str) -> Result<(Journal<D>, Vec<Kept>), Error> {
        let head = read_head(&disk)?;
        let begun = head.is_some();
        let head = head.unwrap_or(Head { id: fresh, known: Known::default() });
        let reported = read::<Reported>(&disk, REPORTED)?.filter(|_| begun).map_or(0, |reported| reported.0);
        let contact = read::<Contact>(&disk, CONTACT)?
            .filter(|contact| begun && contact.boot_id == boot_id)
            .map(|contact| Boot(contact.at_ms));
        let mut attempts = Vec::new();
        for name in disk.list(ATTEMPTS).map_err(|source| failed_read(ATTEMPTS, source))? {
            match read_attempt(&disk, &name)? {
                Some(kept) => attempts.push(kept),
                // It costs room and nothing else, and the next agent tries again.
                None => {
                    if let Err(error) = remove(&mut disk, &name) {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(attempt = name, error, "what is left of an attempt cannot be removed");
                    }
                }
            }
        }
        let boot_id = boot_id.to_owned();
        let mut journal = Journal { disk, boot_id, id: head.id, known: head.known, reported, contact };
        if !begun {
            journal.write_head()?;
        }
        Ok((journal, attempts))
    }

    /// Identifies the directory.
    pub fn id(&self) -> JournalId {
        self.id
    }

    /// What is known of the cluster.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// The last report that was acknowledged.
    pub fn reported(&self) -> u64 {
        self.reported
    }

    /// When the servers were last heard of, if that was in this boot.
    pub fn contact(&self) -> Option<Boot> {
        self.contact
    }

    /// Notes what is known of the cluster; durable when it returns.
    ///
    /// # Errors
    /// It cannot be written, and is not known then.
    pub fn learn(&mut self, known: Known) -> Result<(), Error> {
        if self.known == known {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.known, known);
        self.write_head().inspect_err(|_| self.known = before)
    }

    /// Notes the last acknowledged report.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_reported(&mut self, up_to: u64) -> Result<(), Error> {
        self.reported = up_to;
        self.write(REPORTED, &Reported(up_to).encode())
    }

    /// Notes when the servers were last heard of.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_contact(&mut self, at: Boot) -> Result<(), Error> {
        self.contact = Some(at);
        let contact = Contact { at_ms: at.0, boot_id: self.boot_id.clone() };
        self.write(CONTACT, &contact.encode())
    }

    /// Takes attempts on; all are durable when it returns, so that they can be started.
    ///
    /// # Errors
    /// They cannot be written; none may be started then.
    pub fn take_on(&mut self, orders: &[&Order]) -> Result<(), Error> {
        let dirs: Vec<NewDir> = orders
            .iter()
            .map(|order| NewDir {
                dir: format!("{ATTEMPTS}/{}", order.name),
                file: SPEC,
                bytes: frame::seal(&self.boot_id, &order::to_proto(order).encode_to_vec()),
            })
            .collect();
        if dirs.is_empty() {
            return Ok(());
        }
        self.disk
            .create(&dirs)
            .map_err(|source| Error::Write { path: format!("{ATTEMPTS}/*/{SPEC}"), source })
    }

    /// Notes how far an attempt came.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_state(&mut self, name: &str, state: &State) -> Result<(), Error> {
        self.write(&path(name, STATE), &state.encode())
    }

    /// Notes how an attempt ended.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_end(&mut self, name: &str, attempt: AttemptHandle, end: &AttemptUpdate) -> Result<(), Error> {
        let end = wire::AttemptReport {
            sequence: NOT_SENT,
            attempt: attempt.0,
            update: Some(report::update_to_proto(end)),
        };
        let bytes = frame::seal(&self.boot_id, &end.encode_to_vec());
        self.write(&path(name, END), &bytes)
    }

    /// Notes that the server needs nothing more of an attempt.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_forgotten(&mut self, name: &str, at: Timestamp) -> Result<(), Error> {
        self.write(&path(name, FORGOTTEN), &Forgotten(at).encode())
    }

    /// Removes all traces of an attempt; what was in its directory is deleted later.
    ///
    /// # Errors
    /// They cannot be removed. The journal can be used all the same.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        remove(&mut self.disk, name)
    }

    /// The disk, for a simulation that goes on with it after a crash.
    pub fn into_disk(self) -> D {
        self.disk
    }

    #[cfg(test)]
    pub(crate) fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    fn write_head(&mut self) -> Result<(), Error> {
        write_head(&mut self.disk, &Head { id: self.id, known: self.known })
    }

    /// Writes what need not be durable, for it can be found out again. So a full disk does not end the agent.
    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        match self.disk.write(path, bytes, Durability::Later) {
            Err(source) if is_shortage(&source) => {
                tracing::warn!(path, %source, "the agent's journal cannot be written");
                Ok(())
            }
            result => result.map_err(|source| Error::Write { path: path.to_owned(), source }),
        }
    }
}

fn write_head(disk: &mut impl Disk, head: &Head) -> Result<(), Error> {
    let written = disk.write(JOURNAL, &head.encode(), Durability::Now);
    written.map_err(|source| Error::Write { path: JOURNAL.to_owned(), source })
}

/// True when there is no room for what was to be written.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// True when a write failed for want of something that comes back: room, or file descriptors.
pub fn is_shortage(error: &io::Error) -> bool {
    is_full(error) || matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

fn path(name: &str, file: &str) -> String {
    format!("{ATTEMPTS}/{name}/{file}")
}

fn failed_read(path: &str, source: io::Error) -> Error {
    Error::Read { path: path.to_owned(), source }
}

fn not_understood(path: &str, why: impl std::fmt::Display) -> Error {
    Error::NotUnderstood { path: path.to_owned(), why: why.to_string() }
}

/// What the directory is, if it is one already. It is never replaced before the new one is on the disk.
fn read_head(disk: &impl Disk) -> Result<Option<Head>, Error> {
    let head = read::<Head>(disk, JOURNAL)?;
    if head.is_none() && disk.read(JOURNAL).map_err(|source| failed_read(JOURNAL, source))?.is_some() {
        let why = "its checksum is wrong".to_owned();
        return Err(Error::Damaged { path: JOURNAL.to_owned(), why });
    }
    Ok(head)
}

/// A record, if it is there and whole.
fn read<R: Record>(disk: &impl Disk, path: &str) -> Result<Option<R>, Error> {
    let Some(bytes) = disk.read(path).map_err(|source| failed_read(path, source))? else { return Ok(None) };
    match R::decode(&bytes) {
        Ok(record) => Ok(Some(record)),
        Err(record::Error::Torn) => Ok(None),
        Err(error) => Err(not_understood(path, error)),
    }
}

/// A message with the boot in which it was written, if the file is there and whole.
fn read_message<M: Message + Default>(disk: &impl Disk, path: &str) -> Result<Option<(String, M)>, Error> {
    let Some(bytes) = disk.read(path).map_err(|source| failed_read(path, source))? else { return Ok(None) };
    match frame::open(&bytes) {
        Ok((boot_id, body)) => {
            let message = M::decode(body).map_err(|error| not_understood(path, error))?;
            Ok(Some((boot_id.to_owned(), message)))
        }
        Err(frame::Error::Torn) => Ok(None),
        Err(frame::Error::Version(version)) => Err(not_understood(path, format!("its form is {version}"))),
    }
}

fn remove(disk: &mut impl Disk, name: &str) -> Result<(), Error> {
    let dir = format!("{ATTEMPTS}/{name}");
    disk.remove(&dir).map_err(|source| Error::Write { path: dir.clone(), source })
}

/// Whether a file in an attempt's directory is one of the journal's.
fn is_own(file: &str) -> bool {
    [SPEC, STATE, END, FORGOTTEN].contains(&file.strip_suffix(".new").unwrap_or(file))
}

/// An attempt; `None` where one was never taken on, or not even its logs are needed and its spec cannot be read.
fn read_attempt(disk: &impl Disk, name: &str) -> Result<Option<Kept>, Error> {
    let spec = path(name, SPEC);
    let forgotten = read::<Forgotten>(disk, &path(name, FORGOTTEN))?.map(|forgotten| forgotten.0);
    let Some((boot_id, order)) = read_message::<wire::Order>(disk, &spec)? else {
        // It was on the disk before an executor was told of it. What the journal itself adds proves nothing: an agent
        // that died before it had synced the spec is followed by one that still reads it, and notes its end.
        let dir = format!("{ATTEMPTS}/{name}");
        let files = disk.list(&dir).map_err(|source| failed_read(&dir, source))?;
        return match files.iter().find(|file| !is_own(file)) {
            Some(file) if forgotten.is_none() => {
                let why = format!("it is not whole, and yet the attempt has left `{file}`");
                Err(Error::Damaged { path: spec, why })
            }
            Some(_) | None => Ok(None),
        };
    };
    let order = order::from_proto(order).map_err(|error| not_understood(&spec, error))?;
    if order.name != name {
        return Err(not_understood(&spec, format!("it is the order of {}", order.name)));
    }
    let end = path(name, END);
    let end = match read_message::<wire::AttemptReport>(disk, &end)? {
        Some((_, written)) => {
            let update = report::update_from_proto(written.update);
            let update = update.map_err(|error| not_understood(&end, error))?;
            (written.attempt == order.attempt.0).then_some(update)
        }
        None => None,
    };
    let state = read(disk, &path(name, STATE))?.unwrap_or_default();
    Ok(Some(Kept { order, boot_id, state, end, forgotten }))
}
