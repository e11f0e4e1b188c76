//! From two databases to a member: a new one, or one that goes on where it left off.

use std::collections::BTreeSet;

use berth_core::id::EntryId;
use raft::eraftpb::HardState;
use redb::StorageBackend;

use crate::raft::applier::{Applier, SnapshotJob};
use crate::raft::config::Settings;
use crate::raft::driver::Start;
use crate::raft::identity::Identity;
use crate::raft::machine::StateMachine;
use crate::raft::membership::{MemberId, Membership};
use crate::raft::snapshots::{self, Header, SnapshotStore};
use crate::raft::store::{self, LogStore, Recovered, Tail, WriteBatch};

/// The place in the log that a cluster is born with. Learners that begin at nothing can only come in by a
/// snapshot, which tells them the members.
const BIRTH: EntryId = EntryId { term: 1, index: 1 };

/// How a data directory becomes that of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Birth {
    /// It already is; anything else is an error.
    Existing,
    /// If it is new, this is one of the first members of a new cluster.
    Bootstrap {
        /// Who this is to be. All first members have the same cluster id.
        identity: Identity,
        /// All first members.
        membership: Membership,
    },
    /// If it is new, this is a member that an existing cluster expects.
    Join {
        /// Who this is to be, with the id that the cluster has given out.
        identity: Identity,
    },
}

/// Why a member could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error(transparent)]
    Log(#[from] store::Error),
    /// The snapshots.
    #[error(transparent)]
    Snapshots(#[from] snapshots::Error),
    /// The directory is empty, but the member is known to have been there.
    #[error(
        "the log in the data directory is empty, but this member is to go on as before. Its votes are lost with \
         the old log, so it must not come back under its id: on a healthy member run `berth operator remove`, \
         then `berth operator add`, and start with the new id"
    )]
    Empty,
    /// The directory belongs to someone else.
    #[error("the data directory belongs to member {} of cluster {}", .found.member, .found.cluster)]
    OtherMember {
        /// Who it belongs to.
        found: Identity,
    },
    /// The first members do not include this one.
    #[error("member {member} is not among the first members of the cluster")]
    NotAFirstMember {
        /// This member.
        member: MemberId,
    },
}

/// A member ready to start.
#[derive(Debug)]
pub struct Opened<M> {
    /// Who it is.
    pub identity: Identity,
    /// Its log.
    pub log: LogStore,
    /// Its snapshots.
    pub snapshots: SnapshotStore,
    /// Its state, as of the newest snapshot; the log follows once the driver runs.
    pub applier: Applier<M>,
    /// For [`crate::raft::driver::Driver::new`].
    pub start: Start,
}

/// Opens or makes the databases and rebuilds the state. `initial` is the state that a cluster is born with;
/// it has to be the same on all first members.
pub fn open<M: StateMachine>(
    log: impl StorageBackend,
    snapshots: impl StorageBackend,
    birth: &Birth,
    initial: M,
    settings: &Settings,
    seed: u64,
) -> Result<Opened<M>, Error> {
    let (log, mut recovered) = LogStore::open(log)?;
    let snapshots = SnapshotStore::open::<M>(snapshots)?;
    let identity = match (recovered.identity.take(), birth) {
        (Some(found), birth) => {
            check(&found, birth)?;
            found
        }
        (None, Birth::Existing) => return Err(Error::Empty),
        (None, Birth::Bootstrap { identity, membership }) => {
            bootstrap(&log, &snapshots, identity, membership, &initial)?;
            recovered.start = BIRTH;
            recovered.unmet = others(identity, membership);
            recovered.hard_state =
                HardState { term: BIRTH.term, commit: BIRTH.index, ..HardState::default() };
            identity.clone()
        }
        (None, Birth::Join { identity }) => {
            snapshots.clear()?;
            log.found(identity, EntryId::default(), &BTreeSet::new())?;
            identity.clone()
        }
    };

    let newest = snapshots.newest()?;
    let (machine, applied, membership) = match &newest {
        Some(manifest) => {
            let machine = snapshots.restore(manifest)?;
            (machine, manifest.header.entry, manifest.header.membership.clone())
        }
        None => (initial, EntryId::default(), Membership::default()),
    };
    fit_log_to_snapshot(&log, &mut recovered, applied)?;

    let hard_state = recovered.hard_state.clone();
    let tail = Tail::new(recovered.start, recovered.entries, recovered.hard_state, &membership);
    let policy = settings.snapshots.clone();
    let applier = Applier::new(machine, identity.cluster, applied, membership.clone(), policy);
    let start = Start {
        member: identity.member,
        seed,
        settings: settings.clone(),
        tail,
        hard_state,
        applied,
        membership,
        snapshot: newest,
        unmet: recovered.unmet,
    };
    Ok(Opened { identity, log, snapshots, applier, start })
}

/// Whether a directory that belongs to `found` may go on although it was to become that of `birth`.
///
/// The list of first members only names the cluster when it is born: later it may be written down otherwise, because
/// members have come and gone, so that the cluster counts only for one that is told which to join.
///
/// # Errors
/// [`Error::OtherMember`] if it is another member.
pub fn check(found: &Identity, birth: &Birth) -> Result<(), Error> {
    let fits = match birth {
        Birth::Existing => true,
        Birth::Bootstrap { identity, .. } => identity.member == found.member,
        Birth::Join { identity } => (identity.cluster, identity.member) == (found.cluster, found.member),
    };
    if fits { Ok(()) } else { Err(Error::OtherMember { found: found.clone() }) }
}

fn others(identity: &Identity, membership: &Membership) -> BTreeSet<MemberId> {
    membership.members().map(|member| member.id).filter(|id| *id != identity.member).collect()
}

/// The snapshot first, the identity last: until it is there the directory counts as new.
fn bootstrap<M: StateMachine>(
    log: &LogStore,
    snapshots: &SnapshotStore,
    identity: &Identity,
    membership: &Membership,
    initial: &M,
) -> Result<(), Error> {
    if membership.get(identity.member).is_none() {
        return Err(Error::NotAFirstMember { member: identity.member });
    }
    snapshots.clear()?;
    let header = Header {
        cluster: identity.cluster,
        entry: BIRTH,
        membership: membership.clone(),
        feature_level: initial.feature_level(),
        state_hash: initial.state_hash(),
    };
    SnapshotJob { header, view: initial.view() }.write(snapshots)?;
    log.found(identity, BIRTH, &others(identity, membership))?;
    Ok(())
}

/// A crash may have come between a fetched snapshot and the log that should begin after it; and a log must not
/// begin after the snapshot that the state starts from.
fn fit_log_to_snapshot(log: &LogStore, recovered: &mut Recovered, snapshot: EntryId) -> Result<(), Error> {
    if recovered.start.index > snapshot.index {
        let what = format!(
            "the log begins after {} but the newest snapshot is of {}",
            recovered.start.index, snapshot.index
        );
        return Err(store::Error::Damaged { what }.into());
    }
    let matches = snapshot.index == recovered.start.index
        || recovered.entries.iter().any(|entry| entry.index == snapshot.index && entry.term == snapshot.term);
    let state = &mut recovered.hard_state;
    if matches && state.commit >= snapshot.index {
        return Ok(());
    }
    state.commit = state.commit.max(snapshot.index);
    if state.term < snapshot.term {
        state.term = snapshot.term;
        state.vote = raft::INVALID_ID;
    }
    let mut batch = WriteBatch { hard_state: Some(state.clone()), ..WriteBatch::default() };
    if !matches {
        recovered.entries.clear();
        recovered.start = snapshot;
        state.commit = snapshot.index;
        batch.hard_state = Some(state.clone());
        batch.reset = Some(snapshot);
    }
    log.write(&[batch])?;
    Ok(())
}
