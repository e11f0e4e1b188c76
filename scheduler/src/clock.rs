//! Whether this server's wall clock can be trusted, and what the time is when it cannot. Pure: who owns a [`Clock`]
//! feeds it with its two clocks and with what its peers answered.
//!
//! ```text
//!   wall clock ──┐
//!   boot clock ──┼─> Clock::look ──> Frame ──read(now)──> Reading { time, doubt }
//!   peers' walls ┘                    (published)
//! ```
//! A frame says for every later moment what to make of the wall clock, so that a clock that is set between two looks
//! stamps nothing. A wrong clock does two kinds of harm: it fires what is not due, and it carries state time, which
//! never goes back, into the future. So fires are held while there is doubt, and commands are stamped with the time
//! that it should be. A clock that is behind fires nothing early, but late or never: where two witnesses say so, of the
//! peers and of the time that former leaders have stamped, theirs is used.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use berth_core::time::Boot;
use berth_core::time::{Millis, Timestamp};

use crate::raft::membership::MemberId;

/// A wall clock that moves by more than this against the boot clock has been set.
const JUMP: Millis = Millis(60_000);
/// A wall clock may differ from its peers' by this much.
const APART_MAX: Millis = Millis(5_000);
/// An answer that took longer says too little about when it was given.
const ROUND_TRIP_MAX: Millis = Millis(1_000);
/// After this long without another answer, what a peer has said no longer counts.
const FRESH: Millis = Millis(10_000);
/// A server that has just started waits this long for the first answer of a peer. One that leads has peers that can be
/// reached, so that this only has to cover what keeps answers away and lets votes through.
const FIRST_ANSWER_MAX: Millis = Millis(10_000);

/// A server's two clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// What people call the time.
    pub wall: Timestamp,
    /// What cannot be set.
    pub boot: Boot,
}

/// Why a wall clock is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The server has just started and no peer has said what time it is.
    Unmeasured,
    /// The clock has been set, from where it should be to where it is, and no peer agrees with it.
    Jumped {
        /// Where it should be.
        expected: Timestamp,
        /// Where it is.
        wall: Timestamp,
    },
    /// It is ahead of the peers' median.
    Ahead {
        /// By how much.
        by: Millis,
    },
    /// It is behind the peers' median.
    Behind {
        /// By how much.
        by: Millis,
    },
}

impl Doubt {
    /// True when an operator has to see to it.
    pub fn is_alarm(&self) -> bool {
        match self {
            Doubt::Unmeasured => false,
            Doubt::Jumped { .. } | Doubt::Ahead { .. } | Doubt::Behind { .. } => true,
        }
    }

    /// True when what is due by this clock may not be due yet.
    pub fn holds_fires(&self) -> bool {
        match self {
            Doubt::Unmeasured | Doubt::Jumped { .. } | Doubt::Ahead { .. } => true,
            Doubt::Behind { .. } => false,
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Unmeasured => write!(f, "the wall clock was not compared with any peer's yet"),
            Doubt::Jumped { expected, wall } => {
                let (by, way) = match wall >= expected {
                    true => (wall.since(*expected), "ahead"),
                    false => (expected.since(*wall), "back"),
                };
                write!(f, "the wall clock was set {way} by {by}; schedules are held while this server leads")
            }
            Doubt::Ahead { by } => {
                write!(
                    f,
                    "the wall clock is {by} ahead of the other servers'; schedules are held while this server leads"
                )
            }
            Doubt::Behind { by } => {
                write!(
                    f,
                    "the wall clock is {by} behind the other servers'; schedules may be late while this server leads"
                )
            }
        }
    }
}

/// What the time is, and whether there is doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The time by the best evidence there is.
    pub time: Timestamp,
    /// Why it is not the wall clock's, or may be wrong.
    pub doubt: Option<Doubt>,
}

/// What is known at one moment; good for reading the clock at later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The last time that was believed.
    basis: Now,
    peers: Option<Peers>,
    /// Until then a peer's answer is waited for.
    waits_until: Boot,
}

/// What the peers' clocks show at one moment. Of an even number there are two in the middle, and the one that is
/// nearer to the own clock is believed, so that a single wrong peer does not make a right clock look wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Peers {
    at: Boot,
    earlier: Timestamp,
    later: Timestamp,
    /// The earlier one is confirmed: by a second peer, or by the time that is stamped on the state.
    confirmed: bool,
}

impl Frame {
    /// Reads the clock.
    pub fn read(&self, now: Now) -> Reading {
        let mut behind = None;
        if let Some(peers) = self.peers {
            let passed = now.boot.since(peers.at);
            let (earlier, later) = (peers.earlier + passed, peers.later + passed);
            let ahead = now.wall.since(later);
            if ahead > APART_MAX {
                return Reading { time: later, doubt: Some(Doubt::Ahead { by: ahead }) };
            }
            let by = earlier.since(now.wall);
            // Peers that agree outweigh the own past: a clock that was wrong has been put right.
            if by <= APART_MAX {
                return Reading { time: now.wall, doubt: None };
            }
            behind = Some(Doubt::Behind { by });
            if peers.confirmed {
                return Reading { time: earlier, doubt: behind };
            }
        }
        let expected = self.basis.wall + now.boot.since(self.basis.boot);
        if now.wall.0.abs_diff(expected.0) > JUMP.0 {
            let doubt = Doubt::Jumped { expected, wall: now.wall };
            return Reading { time: expected, doubt: Some(doubt) };
        }
        let waits = self.peers.is_none() && now.boot < self.waits_until;
        Reading { time: now.wall, doubt: behind.or(waits.then_some(Doubt::Unmeasured)) }
    }
}

/// What a server knows about its wall clock.
#[derive(Debug)]
pub struct Clock {
    basis: Now,
    waits_until: Boot,
    peers: BTreeMap<MemberId, Now>,
}

impl Clock {
    /// The clock of a server that starts at `now`; one without peers has nobody to wait for.
    pub fn new(now: Now, alone: bool) -> Clock {
        let waits_until = if alone { now.boot } else { now.boot + FIRST_ANSWER_MAX };
        Clock { basis: now, waits_until, peers: BTreeMap::new() }
    }

    /// A peer that was asked at `sent` and heard at `heard`, both by this server's boot clock, said `wall`.
    pub fn measured(&mut self, peer: MemberId, sent: Boot, heard: Boot, wall: Timestamp) {
        let round_trip = heard.since(sent);
        if round_trip <= ROUND_TRIP_MAX {
            self.peers.insert(peer, Now { wall, boot: sent + Millis(round_trip.0 / 2) });
        }
    }

    /// Takes in what the clocks show now, and what time is stamped on the state. Small corrections add up over a long
    /// time; they are no jump, because each look begins where the one before was believed to be.
    pub fn look(&mut self, now: Now, stamped: Timestamp) -> Frame {
        self.peers.retain(|_, peer| now.boot.since(peer.boot) <= FRESH);
        let peers = self.peers_at(now, stamped);
        let frame = Frame { basis: self.basis, peers, waits_until: self.waits_until };
        self.basis = Now { wall: frame.read(now).time, boot: now.boot };
        Frame { basis: self.basis, ..frame }
    }

    fn peers_at(&self, now: Now, stamped: Timestamp) -> Option<Peers> {
        let mut walls: Vec<Timestamp> =
            self.peers.values().map(|peer| peer.wall + now.boot.since(peer.boot)).collect();
        walls.sort_unstable();
        let (earlier, later) = (*walls.get(walls.len().checked_sub(1)? / 2)?, *walls.get(walls.len() / 2)?);
        let confirmed = walls.len() > 1 || stamped.since(now.wall) > APART_MAX;
        Some(Peers { at: now.boot, earlier, later, confirmed })
    }
}
