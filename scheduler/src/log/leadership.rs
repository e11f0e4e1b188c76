use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::raft::driver::Status;
use crate::raft::membership::MemberId;

/// A leader whose connection broke may be there again, or never: it is asked again after this time, unless another one
/// is known before.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Who leads as far as is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leadership {
    term: u64,
    leader: Option<MemberId>,
    /// This member leads, and may act as leader.
    ready: bool,
}

impl Leadership {
    pub(super) fn of(status: &Status) -> Leadership {
        Leadership { term: status.term, leader: status.leader, ready: status.leader_ready_term.is_some() }
    }

    /// Waits until another leader is known, or the same one may be asked again; `false` once it is too late.
    pub(super) async fn gives_way(self, mut status: watch::Receiver<Status>, until: Instant) -> bool {
        let another = async {
            status.wait_for(|now| now.leader.is_some() && Leadership::of(now) != self).await.is_ok()
        };
        let known = match self.leader {
            Some(_) => timeout_at(until, async { timeout(AGAIN_AFTER, another).await.unwrap_or(true) }).await,
            None => timeout_at(until, another).await,
        };
        known.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::raft::membership::Membership;

    fn status(term: u64, leader: Option<MemberId>) -> Status {
        Status { term, leader, ..Status::new(Arc::new(Membership::first([]))) }
    }

    /// Whether there is another try within a second when this comes at once.
    async fn gives_way(before: &Status, news: &Status) -> bool {
        let (sender, receiver) = watch::channel(before.clone());
        sender.send_replace(news.clone());
        let until = Instant::now() + Duration::from_secs(1);
        Leadership::of(before).gives_way(receiver, until).await
    }

    #[tokio::test]
    async fn another_leader_is_asked_as_soon_as_it_is_known() {
        for before in [status(3, None), status(3, Some(1))] {
            let again = gives_way(&before, &status(4, Some(2))).now_or_never();
            assert_eq!(again, Some(true), "it is known, so nothing is waited for");
        }
    }

    #[tokio::test]
    async fn a_leader_whose_connection_broke_is_asked_again_after_a_while() {
        let known = status(3, Some(1));
        for news in [&known, &status(4, None)] {
            let began = Instant::now();
            assert!(gives_way(&known, news).await);
            assert!(began.elapsed() >= AGAIN_AFTER, "{:?}", began.elapsed());
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_where_no_leader_is_known() {
        let began = Instant::now();
        assert!(!gives_way(&status(3, None), &status(9, None)).await);
        assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
