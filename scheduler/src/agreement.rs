//! Members compare the hashes of their states. One whose state differs from that of a majority stops, and does not
//! start again from it.
//!
//! Each member asks the others by itself, so that no single one, the leader least of all, decides who is wrong. With
//! no majority for any hash nobody stops: a state that may be right is worth more than none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::log::Log;
use crate::raft::membership::MemberId;

/// In the data directory of a member whose state was found to differ.
const MARK: &str = "state-differs";
/// How often the others are asked about one index before the next one is waited for.
const ROUNDS: u32 = 20;
const BETWEEN_ROUNDS: Duration = Duration::from_secs(1);

/// The state of this member differs from that of a majority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the state of this member differs from that of the majority, so it must not serve or vote with it: on a healthy \
     member run `berth operator remove`, empty this data directory, then `berth operator add` and start with the new id"
)]
pub struct Differs;

/// Compares this member with the others.
#[derive(Debug)]
pub struct Agreement {
    log: Log,
    mark: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Agrees,
    Differs,
    Open,
}

impl Agreement {
    /// For the member with this log and data directory.
    pub fn new(log: Log, data_dir: &Path) -> Agreement {
        Agreement { log, mark: data_dir.join(MARK) }
    }

    /// Whether a member may start from this directory.
    ///
    /// # Errors
    /// If the state in it was found to differ.
    pub fn check(data_dir: &Path) -> Result<(), Differs> {
        if data_dir.join(MARK).exists() { Err(Differs) } else { Ok(()) }
    }

    /// Compares every hash that is kept, until the server stops.
    ///
    /// # Errors
    /// When this member differs; the directory is marked then.
    pub async fn run(self) -> Result<(), Differs> {
        let mut views = self.log.views();
        let mut compared = 0;
        while let Some(view) = views.changed().await {
            let Some((index, hash)) = view.checkpoint.filter(|(index, _)| *index > compared) else {
                continue;
            };
            compared = index;
            drop(view);
            self.compare(index, hash).await?;
        }
        Ok(())
    }

    async fn compare(&self, index: u64, own: u128) -> Result<(), Differs> {
        let me = self.log.node().identity().member;
        let mut others = BTreeMap::new();
        for _ in 0..ROUNDS {
            let membership = self.log.node().status().borrow().membership.clone();
            for voter in membership.voters().filter(|voter| *voter != me) {
                if !others.contains_key(&voter)
                    && let Some(hash) = self.log.hash_of(voter, index).await
                {
                    others.insert(voter, hash);
                }
            }
            let voters: Vec<MemberId> = membership.voters().collect();
            match verdict(me, own, &others, &voters) {
                Verdict::Agrees => return Ok(()),
                Verdict::Differs => {
                    tracing::error!(log.index = index, "the state of this member differs; it stops");
                    if let Err(error) = std::fs::write(&self.mark, index.to_string()) {
                        tracing::error!(%error, "the data directory could not be marked");
                    }
                    return Err(Differs);
                }
                Verdict::Open => tokio::time::sleep(BETWEEN_ROUNDS).await,
            }
        }
        if others.values().any(|hash| *hash != own) {
            tracing::error!(
                log.index = index,
                "the states of members differ, and no majority says which is right"
            );
        }
        Ok(())
    }
}

fn verdict(me: MemberId, own: u128, others: &BTreeMap<MemberId, u128>, voters: &[MemberId]) -> Verdict {
    let majority = voters.len() / 2 + 1;
    let mut votes: BTreeMap<u128, usize> = BTreeMap::new();
    for voter in voters {
        let hash = if *voter == me { Some(&own) } else { others.get(voter) };
        if let Some(hash) = hash {
            *votes.entry(*hash).or_default() += 1;
        }
    }
    match votes.into_iter().find(|(_, count)| *count >= majority) {
        Some((hash, _)) if hash == own => Verdict::Agrees,
        Some(_) => Verdict::Differs,
        None => Verdict::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_three(own: u128, others: &[(MemberId, u128)]) -> Verdict {
        verdict(1, own, &others.iter().copied().collect(), &[1, 2, 3])
    }

    #[test]
    fn only_a_member_that_differs_from_a_majority_stops() {
        assert_eq!(of_three(7, &[(2, 7)]), Verdict::Agrees);
        assert_eq!(of_three(7, &[(2, 8), (3, 7)]), Verdict::Agrees, "member 2 is the one that differs");
        assert_eq!(of_three(8, &[(2, 7), (3, 7)]), Verdict::Differs);
        assert_eq!(of_three(8, &[(2, 7)]), Verdict::Open, "nobody knows which of the two is right");
        assert_eq!(of_three(8, &[(2, 7), (3, 6)]), Verdict::Open);
        assert_eq!(of_three(8, &[(7, 9), (8, 9)]), Verdict::Open, "only voters count");
    }

    #[test]
    fn a_learner_is_judged_by_the_voters_and_a_lone_member_agrees_with_itself() {
        let others = [(1, 7), (2, 7)].into();
        assert_eq!(verdict(4, 8, &others, &[1, 2, 3]), Verdict::Differs);
        assert_eq!(verdict(4, 7, &others, &[1, 2, 3]), Verdict::Agrees);
        assert_eq!(verdict(1, 7, &BTreeMap::new(), &[1]), Verdict::Agrees);
    }

    #[test]
    fn a_directory_that_was_found_to_differ_is_not_started_from() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Agreement::check(directory.path()), Ok(()));
        std::fs::write(directory.path().join(MARK), "10000").unwrap();
        assert_eq!(Agreement::check(directory.path()), Err(Differs));
    }
}
