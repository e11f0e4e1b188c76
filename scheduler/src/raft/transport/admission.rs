//! Who may speak with this member.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use berth_proto::peer;
use tokio::sync::watch;

use crate::raft::driver::Status;
use crate::raft::identity::Identity;
use crate::raft::membership::MemberId;
use crate::raft::store::LogStore;

/// Why a peer is not listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It did not say who it is.
    #[error("the caller does not say who it is")]
    Unnamed,
    /// It is of another cluster.
    #[error("the members belong to different clusters")]
    OtherCluster,
    /// It looks for another member at this address.
    #[error("another member was looked for here")]
    OtherMember,
    /// It has come back with an empty data directory, and its votes are forgotten.
    #[error(
        "member {member} was seen before with another data directory; remove it with `berth operator remove`, \
         empty its directory, and add it under a new id with `berth operator add`"
    )]
    OtherIncarnation {
        /// The member.
        member: MemberId,
    },
    /// It was removed from the cluster.
    #[error(
        "member {member} was removed from the cluster; to bring its machine back empty the data directory, run \
         `berth operator add` on another member, and start with the new id"
    )]
    Removed {
        /// The member.
        member: MemberId,
    },
    /// What is remembered of it could not be read.
    #[error("this member could not look up what it remembers of its peers")]
    Unavailable,
}

/// Codes for the refusals that the refused member itself has to act upon.
const INCARNATION: &str = "berth-incarnation";
const REMOVED: &str = "berth-removed";
const CODE: &str = "berth-refusal";

impl Refusal {
    pub(super) fn to_status(self) -> tonic::Status {
        let mut status = tonic::Status::failed_precondition(self.to_string());
        let code = match self {
            Self::OtherIncarnation { .. } => Some(INCARNATION),
            Self::Removed { .. } => Some(REMOVED),
            Self::Unnamed | Self::OtherCluster | Self::OtherMember => None,
            Self::Unavailable => return tonic::Status::unavailable(self.to_string()),
        };
        if let Some(code) = code {
            status.metadata_mut().insert(CODE, code.parse().expect("plain ASCII"));
        }
        status
    }

    /// What a peer's refusal says about `member`, which is this one.
    pub(super) fn of_self(status: &tonic::Status, member: MemberId) -> Option<Self> {
        match status.metadata().get(CODE)?.to_str().ok()? {
            INCARNATION => Some(Self::OtherIncarnation { member }),
            REMOVED => Some(Self::Removed { member }),
            _ => None,
        }
    }
}

/// Checks identities against the membership and against what was seen before. Clones are the same.
#[derive(Debug, Clone)]
pub struct Admission {
    own: Identity,
    log: Arc<LogStore>,
    status: watch::Receiver<Status>,
    seen: Arc<Mutex<BTreeMap<MemberId, u64>>>,
}

impl Admission {
    /// For this member.
    pub fn new(own: Identity, log: Arc<LogStore>, status: watch::Receiver<Status>) -> Self {
        Self { own, log, status, seen: Arc::default() }
    }

    /// Whether the caller may be listened to. The first time a member is seen its incarnation is written down,
    /// which blocks on the disk.
    pub fn check(&self, caller: Option<&peer::Identity>) -> Result<Identity, Refusal> {
        let caller = self.claimed(caller)?;
        let member = caller.member;
        let mut seen = self.seen.lock().map_err(|_| Refusal::Unavailable)?;
        let known = match seen.get(&member) {
            Some(known) => *known,
            None => {
                let known = self
                    .log
                    .remember_incarnation(member, caller.incarnation)
                    .map_err(|_| Refusal::Unavailable)?;
                seen.insert(member, known);
                known
            }
        };
        same(known, caller)
    }

    /// As [`Admission::check`], without ever blocking; `None` when that is not possible, because the member was not
    /// seen yet or is being written down. Forwarded requests come by the thousand, and a thread for each is dear.
    pub fn check_at_once(&self, caller: Option<&peer::Identity>) -> Option<Result<Identity, Refusal>> {
        let caller = match self.claimed(caller) {
            Ok(caller) => caller,
            Err(refusal) => return Some(Err(refusal)),
        };
        let known = *self.seen.try_lock().ok()?.get(&caller.member)?;
        Some(same(known, caller))
    }

    /// Who the caller says it is, if such a one could be listened to.
    fn claimed(&self, caller: Option<&peer::Identity>) -> Result<Identity, Refusal> {
        let caller = caller.ok_or(Refusal::Unnamed)?;
        let caller = Identity::from_proto(caller).map_err(|_| Refusal::Unnamed)?;
        if caller.cluster != self.own.cluster {
            return Err(Refusal::OtherCluster);
        }
        let member = caller.member;
        if member == self.own.member {
            return Err(Refusal::OtherIncarnation { member });
        }
        self.check_present(member)?;
        Ok(caller)
    }

    /// A peer that was let in has let this member in too. Blocks on the disk the first time.
    pub fn met(&self, member: MemberId) -> Result<(), Refusal> {
        self.log.met(member).map_err(|_| Refusal::Unavailable)
    }

    /// Whether a member that was let in before still belongs to the cluster.
    pub fn check_present(&self, member: MemberId) -> Result<(), Refusal> {
        if self.status.borrow().membership.was_removed(member) {
            return Err(Refusal::Removed { member });
        }
        Ok(())
    }

    /// Whether a call was meant for this member.
    pub fn check_receiver(&self, to: MemberId) -> Result<(), Refusal> {
        if to == self.own.member { Ok(()) } else { Err(Refusal::OtherMember) }
    }
}

/// The caller, if it has the incarnation that is known of it.
fn same(known: u64, caller: Identity) -> Result<Identity, Refusal> {
    match caller.incarnation == known {
        true => Ok(caller),
        false => Err(Refusal::OtherIncarnation { member: caller.member }),
    }
}
