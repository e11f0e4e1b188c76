//! The state of the connection to the leader.
//!
//! ```text
//! Waiting --> Dialing --> Greeting --welcome--> Open
//!    ^___________|___________|__________________|   refused, lost, silent for too long
//! ```

use berth_core::id::EntryId;
use berth_core::time::Millis;

use crate::clock::Boot;
use crate::dialing::Dialing;
use crate::message::{Desired, Refusal};

/// How long a connection may take to be made.
const CONNECT_MAX: Millis = Millis(2_000);
/// How long a server may take to answer a hello.
const GREETING_MAX: Millis = Millis(5_000);
/// The longest wait after a refusal that only a person can change, or a full cluster.
const REFUSED_MAX: Millis = Millis(30_000);
/// The longest wait after a connection failed. Shorter than any lease, so that after an outage of all servers the
/// agents are back before the new leader declares their nodes lost.
const LOST_MAX: Millis = Millis(2_500);
/// What holds until the first welcome says otherwise.
const LEASE: Millis = Millis(5_000);
const HEARTBEAT: Millis = Millis(1_000);

/// Names one connection, so that what is late of an earlier one is known as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Waiting { until: Boot },
    Dialing { address: String, since: Boot },
    Greeting { address: String, since: Boot },
    Open { heartbeat_due: Boot, heard: Boot, full: bool },
}

/// What the session wants to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Open a connection.
    Dial { session: SessionId, address: String },
    /// End a connection; it has gone on without an answer for too long.
    HangUp { session: SessionId },
    /// Send a heartbeat.
    Heartbeat { session: SessionId },
}

/// A version that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Changes came before the whole set.
    #[error("changes came before the whole set")]
    ChangesFirst,
    /// Parts of two versions are mixed.
    #[error("parts of two generations are mixed")]
    Mixed,
}

/// The connection to the leader.
#[derive(Debug)]
pub struct Session {
    dialing: Dialing,
    id: SessionId,
    state: State,
    lease: Millis,
    heartbeat: Millis,
    /// When what was answered last had been sent.
    contact: Boot,
    applied: EntryId,
    parts: Option<Desired>,
}

impl Session {
    /// Dials at once. `contact` is when the servers were last heard of.
    pub fn new(servers: Vec<String>, seed: u64, now: Boot, contact: Boot) -> Session {
        Session {
            dialing: Dialing::new(servers, seed),
            id: SessionId(0),
            state: State::Waiting { until: now },
            lease: LEASE,
            heartbeat: HEARTBEAT,
            contact,
            applied: EntryId::default(),
            parts: None,
        }
    }

    /// The session that was welcomed and holds.
    pub fn open(&self) -> Option<SessionId> {
        matches!(self.state, State::Open { .. }).then_some(self.id)
    }

    /// True when that is the connection in use.
    pub fn is(&self, id: SessionId) -> bool {
        self.id == id && !matches!(self.state, State::Waiting { .. })
    }

    /// True while the hello is not answered.
    pub fn is_greeting(&self) -> bool {
        matches!(self.state, State::Greeting { .. })
    }

    /// True while a welcome makes sense: the first answer to a hello, or another registration of a session that holds.
    pub fn may_be_welcomed(&self) -> bool {
        matches!(self.state, State::Greeting { .. } | State::Open { .. })
    }

    /// When what was answered last had been sent: until then the servers know that this node is there.
    pub fn contact(&self) -> Boot {
        self.contact
    }

    /// The last version that was taken.
    pub fn applied(&self) -> EntryId {
        self.applied
    }

    /// How long the server keeps the node's lease.
    pub fn lease(&self) -> Millis {
        self.lease
    }

    /// The connection stands; true when the hello is to be sent now.
    pub fn connected(&mut self, id: SessionId, now: Boot) -> bool {
        match &self.state {
            State::Dialing { address, .. } if self.id == id => {
                self.state = State::Greeting { address: address.clone(), since: now };
                true
            }
            State::Waiting { .. } | State::Dialing { .. } | State::Greeting { .. } | State::Open { .. } => {
                false
            }
        }
    }

    /// The hello is answered, or the node is registered anew; the next heartbeat is due, and the whole set follows.
    pub fn welcomed(&mut self, lease: Millis, heartbeat: Millis, now: Boot) {
        match &self.state {
            State::Greeting { address, since } => {
                self.dialing.succeeded(address);
                self.contact = self.contact.max(*since);
            }
            State::Open { .. } => {}
            State::Waiting { .. } | State::Dialing { .. } => return,
        }
        self.lease = lease.max(Millis(100));
        self.heartbeat = Millis(heartbeat.0.clamp(10, self.lease.0 / 2));
        self.parts = None;
        self.state = State::Open { heartbeat_due: now, heard: now, full: false };
    }

    /// Something came from the leader.
    pub fn heard(&mut self, now: Boot) {
        if let State::Open { heard, .. } = &mut self.state {
            *heard = now;
        }
    }

    /// A heartbeat that was sent at `sent` is answered.
    pub fn heartbeat_acknowledged(&mut self, sent: Boot, lease: Millis, now: Boot) {
        if sent <= now {
            self.contact = self.contact.max(sent);
            self.lease = lease.max(Millis(100));
        }
    }

    /// Takes a part of a version; gives the version when it is whole and not older than what was taken.
    ///
    /// # Errors
    /// As [`Error`] lists; the session is of no use then.
    pub fn take(&mut self, part: Desired) -> Result<Option<Desired>, Error> {
        let State::Open { full, .. } = &mut self.state else { return Ok(None) };
        let mut whole = match self.parts.take() {
            None => part,
            Some(mut before) if before.generation == part.generation && before.full == part.full => {
                before.set.extend(part.set);
                before.forget.extend(part.forget);
                Desired { more: part.more, ..before }
            }
            Some(_) => return Err(Error::Mixed),
        };
        if !whole.full && !*full {
            return Err(Error::ChangesFirst);
        }
        if whole.more {
            self.parts = Some(whole);
            return Ok(None);
        }
        // The whole set may come again as it was; changes may not.
        let old = match whole.full {
            true => whole.generation < self.applied,
            false => whole.generation <= self.applied,
        };
        if old {
            return Ok(None);
        }
        *full = true;
        self.applied = whole.generation;
        whole.more = false;
        Ok(Some(whole))
    }

    /// The registration is another one: what was applied before says nothing any more.
    pub fn registered_anew(&mut self) {
        self.applied = EntryId::default();
    }

    /// The connection ended, or could not be made.
    pub fn closed(&mut self, id: SessionId, refusal: Option<&Refusal>, now: Boot) {
        if !self.is(id) {
            return;
        }
        let lasting = refusal.is_some_and(|refusal| refusal.code.is_lasting());
        let longest = if lasting { REFUSED_MAX } else { Millis(LOST_MAX.0.min(self.lease.0 / 2)) };
        let hint = refusal.and_then(|refusal| refusal.leader.clone()).filter(|hint| !hint.is_empty());
        let asked = refusal.map_or(Millis(0), |refusal| refusal.retry_after.min(REFUSED_MAX));
        let wait = self.dialing.failed(hint, longest).max(asked);
        self.parts = None;
        self.state = State::Waiting { until: now + wait };
    }

    /// What is due now; to be asked until it gives nothing.
    pub fn due(&mut self, now: Boot) -> Option<Step> {
        if self.wake() > now {
            return None;
        }
        match &mut self.state {
            State::Waiting { .. } => {
                self.id = SessionId(self.id.0 + 1);
                let address = self.dialing.address();
                self.state = State::Dialing { address: address.clone(), since: now };
                Some(Step::Dial { session: self.id, address })
            }
            State::Open { heartbeat_due, heard, .. } if *heard + silence(self.lease) > now => {
                *heartbeat_due = now + self.heartbeat;
                Some(Step::Heartbeat { session: self.id })
            }
            State::Dialing { .. } | State::Greeting { .. } | State::Open { .. } => {
                let session = self.id;
                self.closed(session, None, now);
                Some(Step::HangUp { session })
            }
        }
    }

    /// When [`Session::due`] is to be asked next.
    pub fn wake(&self) -> Boot {
        match &self.state {
            State::Waiting { until } => *until,
            State::Dialing { since, .. } => *since + CONNECT_MAX,
            State::Greeting { since, .. } => *since + GREETING_MAX,
            State::Open { heartbeat_due, heard, .. } => (*heartbeat_due).min(*heard + silence(self.lease)),
        }
    }
}

/// How long an open session may be silent: long enough for two lost answers, short enough to find another leader
/// before the lease ends.
fn silence(lease: Millis) -> Millis {
    Millis(lease.0 * 3 / 5)
}
