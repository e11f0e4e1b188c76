//! Who belongs to the cluster. Changes go through the log one at a time and are applied in its order.

use std::collections::BTreeMap;

use berth_proto::peer;
use prost::Message as _;
use prost::bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, ConfState, Entry};

/// The id of a member: from a counter, never used again, never 0.
pub type MemberId = u64;

/// Whether a member's vote counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Counts for elections and commits.
    Voter,
    /// Only follows.
    Learner,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// `host:port` of its listener for peers.
    pub address: String,
    /// Whether it votes.
    pub standing: Standing,
}

/// All members, at one place of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    members: BTreeMap<MemberId, Member>,
    next_id: MemberId,
}

/// A change of the membership, as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new member follows without a vote.
    AddLearner {
        /// Has to be the next id of the counter.
        id: MemberId,
        /// `host:port` of its listener for peers.
        address: String,
    },
    /// A learner gets its vote.
    Promote {
        /// The learner.
        id: MemberId,
    },
    /// A member is gone for good.
    Remove {
        /// The member.
        id: MemberId,
    },
}

/// The bytes do not describe a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a list of members")]
pub struct NotAMembership;

impl Membership {
    /// The members a cluster is born with; they all vote.
    pub fn first(members: impl IntoIterator<Item = (MemberId, String)>) -> Self {
        let members: BTreeMap<_, _> = members
            .into_iter()
            .map(|(id, address)| (id, Member { id, address, standing: Standing::Voter }))
            .collect();
        let next_id = members.keys().next_back().map_or(1, |last| last + 1);
        Self { members, next_id }
    }

    /// All members by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// One member.
    pub fn get(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// The ids of the voters, in order.
    pub fn voters(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.members().filter(|member| member.standing == Standing::Voter).map(|member| member.id)
    }

    /// The ids of the learners, in order.
    pub fn learners(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.members().filter(|member| member.standing == Standing::Learner).map(|member| member.id)
    }

    /// The id that the next member will get.
    pub fn next_id(&self) -> MemberId {
        self.next_id
    }

    /// Whether this id was once given out and its member is gone.
    pub fn was_removed(&self, id: MemberId) -> bool {
        (1..self.next_id).contains(&id) && !self.members.contains_key(&id)
    }

    /// Makes the change if it makes sense here, and says whether it did. Every member answers the same.
    pub fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::AddLearner { id, address } => {
                if *id != self.next_id {
                    return false;
                }
                let member = Member { id: *id, address: address.clone(), standing: Standing::Learner };
                self.members.insert(*id, member);
                self.next_id += 1;
                true
            }
            Change::Promote { id } => match self.members.get_mut(id) {
                Some(member) if member.standing == Standing::Learner => {
                    member.standing = Standing::Voter;
                    true
                }
                Some(_) | None => false,
            },
            Change::Remove { id } => {
                let last_voter = self.voters().all(|voter| voter == *id);
                !last_voter && self.members.remove(id).is_some()
            }
        }
    }

    /// As raft wants it.
    pub fn conf_state(&self) -> ConfState {
        ConfState::from((self.voters().collect::<Vec<_>>(), self.learners().collect::<Vec<_>>()))
    }

    /// As it is sent and stored.
    pub fn to_proto(&self) -> peer::Membership {
        let members = self.members().map(member_to_proto).collect();
        peer::Membership { members, next_id: self.next_id }
    }

    /// Reads what [`Membership::to_proto`] made.
    pub fn from_proto(proto: &peer::Membership) -> Result<Self, NotAMembership> {
        let mut members = BTreeMap::new();
        for member in &proto.members {
            if member.id == 0 || member.id >= proto.next_id {
                return Err(NotAMembership);
            }
            let standing = if member.learner { Standing::Learner } else { Standing::Voter };
            members.insert(member.id, Member { id: member.id, address: member.address.clone(), standing });
        }
        Ok(Self { members, next_id: proto.next_id })
    }
}

impl Change {
    /// As raft proposes it.
    pub(crate) fn to_conf_change(&self) -> ConfChange {
        let mut change = ConfChange::default();
        match self {
            Self::AddLearner { id, address } => {
                change.set_change_type(ConfChangeType::AddLearnerNode);
                change.node_id = *id;
                let member = Member { id: *id, address: address.clone(), standing: Standing::Learner };
                change.set_context(Bytes::from(member_to_proto(&member).encode_to_vec()));
            }
            Self::Promote { id } => {
                change.set_change_type(ConfChangeType::AddNode);
                change.node_id = *id;
            }
            Self::Remove { id } => {
                change.set_change_type(ConfChangeType::RemoveNode);
                change.node_id = *id;
            }
        }
        change
    }

    /// Reads it from a log entry; `None` if this version has never written such a one.
    pub(crate) fn from_entry(entry: &Entry) -> Option<Self> {
        let change = ConfChange::parse_from_bytes(&entry.data).ok()?;
        let id = change.node_id;
        match change.get_change_type() {
            ConfChangeType::AddLearnerNode => {
                let member = peer::Member::decode(change.context.as_ref()).ok()?;
                Some(Self::AddLearner { id, address: member.address })
            }
            ConfChangeType::AddNode => Some(Self::Promote { id }),
            ConfChangeType::RemoveNode => Some(Self::Remove { id }),
        }
    }
}

fn member_to_proto(member: &Member) -> peer::Member {
    peer::Member {
        id: member.id,
        address: member.address.clone(),
        learner: member.standing == Standing::Learner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Membership {
        Membership::first((1..=3).map(|id| (id, format!("10.0.0.{id}:7002"))))
    }

    #[test]
    fn an_id_is_never_given_out_twice() {
        let mut members = three();
        assert!(members.apply(&Change::AddLearner { id: 4, address: "a:1".into() }));
        assert!(members.apply(&Change::Remove { id: 4 }));
        assert!(!members.apply(&Change::AddLearner { id: 4, address: "a:1".into() }));
        assert!(members.apply(&Change::AddLearner { id: 5, address: "a:1".into() }));
        assert!(members.was_removed(4));
    }

    #[test]
    fn the_last_voter_stays() {
        let mut members = Membership::first([(1, "a:1".to_owned())]);
        assert!(members.apply(&Change::AddLearner { id: 2, address: "b:1".into() }));
        assert!(!members.apply(&Change::Remove { id: 1 }));
        assert!(members.apply(&Change::Promote { id: 2 }));
        assert!(members.apply(&Change::Remove { id: 1 }));
        assert!(!members.apply(&Change::Remove { id: 2 }));
    }

    #[test]
    fn a_membership_reads_back_from_its_bytes() {
        let mut members = three();
        members.apply(&Change::AddLearner { id: 4, address: "a:1".into() });
        assert_eq!(Membership::from_proto(&members.to_proto()), Ok(members));
    }
}
