//! The one place that decides whether an order may be taken.

use crate::message::{Fence, Known};

/// Why an order is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It comes from another cluster.
    #[error("it is of another cluster")]
    Cluster,
    /// It comes from before the cluster was made anew.
    #[error("it is of cluster epoch {got}; this agent has seen {known}")]
    ClusterEpoch { known: u64, got: u64 },
    /// It comes from a leader that was replaced.
    #[error("it is of term {got}; this agent has seen {known}")]
    Term { known: u64, got: u64 },
    /// It is meant for another registration of this node.
    #[error("it is for registration {got}; this agent has {known}")]
    Epoch { known: u64, got: u64 },
}

/// What is checked of the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// It must be the one that the agent has.
    Same,
    /// It may be new; the one that the agent has or a later one.
    Renewed,
}

/// What the agent knows after it took something with this fence.
///
/// # Errors
/// The fence is of another cluster, older than what the agent knows, or of another registration.
pub fn admit(known: &Known, fence: &Fence, registration: Registration) -> Result<Known, Error> {
    if known.cluster.is_some_and(|cluster| cluster != fence.cluster) {
        return Err(Error::Cluster);
    }
    if fence.cluster_epoch < known.cluster_epoch {
        return Err(Error::ClusterEpoch { known: known.cluster_epoch, got: fence.cluster_epoch });
    }
    // A cluster that was made anew counts its terms and registrations afresh, and says so in a welcome.
    let anew = fence.cluster_epoch > known.cluster_epoch && registration == Registration::Renewed;
    if fence.term < known.term && !anew {
        return Err(Error::Term { known: known.term, got: fence.term });
    }
    let fits = match registration {
        Registration::Same => fence.epoch == known.epoch,
        Registration::Renewed => anew || fence.epoch >= known.epoch,
    };
    if !fits {
        return Err(Error::Epoch { known: known.epoch.0, got: fence.epoch.0 });
    }
    Ok(Known {
        cluster: Some(fence.cluster),
        cluster_epoch: fence.cluster_epoch,
        term: fence.term,
        epoch: fence.epoch,
    })
}

#[cfg(test)]
mod tests {
    use berth_core::id::{ClusterId, NodeEpoch};

    use super::*;

    const KNOWN: Known =
        Known { cluster: Some(ClusterId(1)), cluster_epoch: 2, term: 3, epoch: NodeEpoch(4) };
    const FENCE: Fence = Fence { cluster: ClusterId(1), cluster_epoch: 2, term: 3, epoch: NodeEpoch(4) };

    #[test]
    fn an_order_of_the_present_is_taken_and_a_later_term_is_remembered() {
        assert_eq!(admit(&KNOWN, &FENCE, Registration::Same), Ok(KNOWN));
        let later = Fence { term: 9, ..FENCE };
        assert_eq!(admit(&KNOWN, &later, Registration::Same).map(|known| known.term), Ok(9));
    }

    #[test]
    fn another_cluster_an_older_term_and_another_registration_are_refused() {
        let cases = [
            (Fence { cluster: ClusterId(7), ..FENCE }, Error::Cluster),
            (Fence { cluster_epoch: 1, ..FENCE }, Error::ClusterEpoch { known: 2, got: 1 }),
            (Fence { term: 2, ..FENCE }, Error::Term { known: 3, got: 2 }),
            (Fence { epoch: NodeEpoch(3), ..FENCE }, Error::Epoch { known: 4, got: 3 }),
        ];
        for (fence, error) in cases {
            assert_eq!(admit(&KNOWN, &fence, Registration::Same), Err(error));
            assert_eq!(admit(&KNOWN, &fence, Registration::Renewed), Err(error));
        }
        let newer = Fence { epoch: NodeEpoch(5), ..FENCE };
        assert!(admit(&KNOWN, &newer, Registration::Same).is_err());
        assert!(admit(&KNOWN, &newer, Registration::Renewed).is_ok());
    }

    #[test]
    fn a_cluster_made_anew_may_count_from_the_beginning_but_only_in_a_welcome() {
        let anew = Fence { cluster_epoch: 3, term: 1, epoch: NodeEpoch(1), ..FENCE };
        assert!(admit(&KNOWN, &anew, Registration::Renewed).is_ok());
        assert!(admit(&KNOWN, &anew, Registration::Same).is_err());
    }
}
