//! Which server to dial, and when.

use berth_core::time::Millis;

use crate::jitter::Jitter;

/// The first wait once every server was tried.
const FIRST: Millis = Millis(50);

/// Chooses the next server: where the leader was said to be, then the configured ones in turn. Each is tried at once
/// after the loss of a session; after that waits grow twofold, and of each wait a random part is taken, so that the
/// agents of a cluster do not come back in one moment.
#[derive(Debug)]
pub struct Dialing {
    servers: Vec<String>,
    next: usize,
    hint: Option<String>,
    failures: u32,
    jitter: Jitter,
}

impl Dialing {
    /// Begins with the first server. There is at least one.
    pub fn new(servers: Vec<String>, seed: u64) -> Dialing {
        Dialing { servers, next: 0, hint: None, failures: 0, jitter: Jitter::new(seed) }
    }

    /// The address to dial now.
    pub fn address(&mut self) -> String {
        if let Some(hint) = self.hint.take() {
            return hint;
        }
        let address = self.servers.get(self.next).cloned().unwrap_or_default();
        self.next = (self.next + 1) % self.servers.len().max(1);
        address
    }

    /// A session was welcomed by the server at that address.
    pub fn succeeded(&mut self, address: &str) {
        self.failures = 0;
        // After it is lost, the others are asked first.
        if let Some(at) = self.servers.iter().position(|server| server == address) {
            self.next = (at + 1) % self.servers.len();
        }
    }

    /// A try or a session has ended; the wait before the next, of which `longest` is the most.
    pub fn failed(&mut self, hint: Option<String>, longest: Millis) -> Millis {
        self.hint = hint;
        self.failures = self.failures.saturating_add(1);
        // The first round asks every server and follows one hint.
        let round = self.failures / u32::try_from(self.servers.len() + 1).unwrap_or(u32::MAX);
        if round == 0 {
            return Millis(0);
        }
        let wait = FIRST.0.saturating_mul(1 << (round - 1).min(20)).min(longest.0);
        Millis(self.jitter.below(wait + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialing() -> Dialing {
        Dialing::new(vec!["a".into(), "b".into(), "c".into()], 1)
    }

    #[test]
    fn the_hint_goes_first_and_the_servers_take_turns() {
        let mut dialing = dialing();
        assert_eq!(dialing.address(), "a");
        dialing.failed(Some("leader".into()), Millis(1000));
        let order: Vec<String> = (0..4).map(|_| dialing.address()).collect();
        assert_eq!(order, ["leader", "b", "c", "a"]);
    }

    #[test]
    fn after_a_lost_session_every_server_is_asked_at_once_beginning_with_the_others() {
        let mut dialing = dialing();
        dialing.succeeded("b");
        for expected in ["c", "a", "b"] {
            assert_eq!(dialing.failed(None, Millis(1000)), Millis(0));
            assert_eq!(dialing.address(), expected);
        }
    }

    #[test]
    fn waits_grow_up_to_the_longest() {
        let mut dialing = dialing();
        let waits: Vec<u64> = (0..200).map(|_| dialing.failed(None, Millis(2_500)).0).collect();
        assert!(waits[..3].iter().all(|wait| *wait == 0), "{waits:?}");
        assert!(waits[3..7].iter().all(|wait| *wait <= 50), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= 2_500));
        assert!(waits[100..].iter().max() > Some(&1_500));
    }
}
