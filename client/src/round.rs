//! The way of one request over the servers: whom to ask next, after what pause, and when to give up. Without clock,
//! chance or sockets, which whoever sends the request brings; so the simulation asks as programs do.

use std::time::Duration;

use crate::backoff::Backoff;

/// How often in a row a named leader is followed before the round over all servers goes on.
const HINTS_MAX: u32 = 2;

/// One request on its way over servers of this kind.
#[derive(Debug)]
pub struct Round<S> {
    server: S,
    keyed: bool,
    /// Asked since the last pause.
    asked: usize,
    hints: u32,
    backoff: Backoff,
    no_leader: bool,
    maybe_applied: bool,
}

/// Why another server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// The one that was asked answered, but knew no leader.
    pub no_leader: bool,
    /// The request may have been applied.
    pub maybe_applied: bool,
}

/// Where the round may go on.
#[derive(Debug)]
pub struct Options<S> {
    /// The leader, if the one that was asked named it.
    pub leader: Option<S>,
    /// The server after the one that was asked.
    pub following: S,
    /// How many servers there are.
    pub servers: usize,
}

/// What is known of a request that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// It may have been applied; asked again with its key, it says so.
    OutcomeUnknown,
    /// Servers answered, and none knew a leader.
    NoLeader,
    /// No server answered.
    Unreachable,
    /// The server had too much to do for longer than there is time.
    Overloaded,
}

impl<S: Clone + PartialEq> Round<S> {
    /// A request that goes to this server first. `keyed` are those that can be repeated safely although they change
    /// something.
    pub fn new(server: S, keyed: bool) -> Round<S> {
        let backoff = Backoff::new();
        Round { server, keyed, asked: 0, hints: 0, backoff, no_leader: false, maybe_applied: false }
    }

    /// Who is to be asked.
    pub fn server(&self) -> &S {
        &self.server
    }

    /// The server refuses, and what it says stands; unless an earlier try may have been applied and the refusal says
    /// nothing of it (`blind`): a fault of this server, or something that was found before the log was asked. Every
    /// other refusal does: a request that was applied gets its first answer again.
    ///
    /// # Errors
    /// When it does not stand.
    pub fn refused(&self, blind: bool) -> Result<(), GivenUp> {
        match self.is_in_doubt() && blind {
            true => Err(GivenUp::OutcomeUnknown),
            false => Ok(()),
        }
    }

    /// The server can take it after this time; gives the pause.
    ///
    /// # Errors
    /// When there is less time than that.
    pub fn later(&self, after: Duration, remaining: Duration) -> Result<Duration, GivenUp> {
        match after < remaining {
            true => Ok(after),
            false if self.is_in_doubt() => Err(GivenUp::OutcomeUnknown),
            false => Err(GivenUp::Overloaded),
        }
    }

    /// Another server is to be asked: chooses it, and gives the pause before. `chance` is any number, and cuts a part of
    /// the pause so that clients do not come back all at once.
    ///
    /// # Errors
    /// When the time is up.
    pub fn elsewhere(
        &mut self,
        why: Passed,
        options: Options<S>,
        remaining: Duration,
        chance: u8,
    ) -> Result<Duration, GivenUp> {
        self.asked += 1;
        self.no_leader |= why.no_leader;
        self.maybe_applied |= why.maybe_applied;
        let Options { leader, following, servers } = options;
        match leader.filter(|leader| self.hints < HINTS_MAX && *leader != self.server) {
            Some(leader) => {
                self.hints += 1;
                self.server = leader;
            }
            None => self.server = following,
        }
        let mut pause = Duration::ZERO;
        if self.asked >= servers {
            pause = self.backoff.pause(chance);
            self.asked = 0;
            self.hints = 0;
        }
        if pause < remaining { Ok(pause) } else { Err(self.give_up()) }
    }

    /// An earlier try of this write may have been applied.
    fn is_in_doubt(&self) -> bool {
        self.keyed && self.maybe_applied
    }

    fn give_up(&self) -> GivenUp {
        match (self.is_in_doubt(), self.no_leader) {
            (true, _) => GivenUp::OutcomeUnknown,
            (false, true) => GivenUp::NoLeader,
            (false, false) => GivenUp::Unreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SILENT: Passed = Passed { no_leader: false, maybe_applied: true };
    const LEADERLESS: Passed = Passed { no_leader: true, maybe_applied: false };

    fn after(server: u64) -> Options<u64> {
        Options { leader: None, following: server % 3 + 1, servers: 3 }
    }

    #[test]
    fn all_servers_are_asked_before_there_is_a_pause() {
        let mut round = Round::new(2, true);
        for expected in [3, 1] {
            assert_eq!(round.elsewhere(LEADERLESS, after(*round.server()), SECOND, 0), Ok(Duration::ZERO));
            assert_eq!(*round.server(), expected);
        }
        assert!(round.elsewhere(LEADERLESS, after(1), SECOND, 0).unwrap() > Duration::ZERO);
        assert_eq!(*round.server(), 2);
    }

    #[test]
    fn a_leader_that_is_named_is_followed_but_not_for_ever() {
        let mut round = Round::new(1, true);
        let named = |leader| Options { leader: Some(leader), following: 9, servers: 5 };
        for expected in [2, 1, 9] {
            let next = if *round.server() == 1 { 2 } else { 1 };
            round.elsewhere(LEADERLESS, named(next), SECOND, 0).unwrap();
            assert_eq!(*round.server(), expected);
        }
    }

    #[test]
    fn a_write_in_doubt_stays_unknown_whatever_does_not_speak_of_it() {
        let mut round = Round::new(1, true);
        assert_eq!(round.refused(true), Ok(()));
        round.elsewhere(SILENT, after(1), SECOND, 0).unwrap();
        assert_eq!(round.refused(true), Err(GivenUp::OutcomeUnknown));
        assert_eq!(round.refused(false), Ok(()), "the log has spoken");
        assert_eq!(round.later(SECOND, SECOND), Err(GivenUp::OutcomeUnknown));
        assert_eq!(round.elsewhere(LEADERLESS, after(2), Duration::ZERO, 0), Err(GivenUp::OutcomeUnknown));
    }

    #[test]
    fn what_is_given_up_says_why() {
        let give_up = |why| Round::new(1, false).elsewhere(why, after(1), Duration::ZERO, 0);
        assert_eq!(give_up(SILENT), Err(GivenUp::Unreachable), "a read is never in doubt");
        assert_eq!(give_up(LEADERLESS), Err(GivenUp::NoLeader));
        assert_eq!(Round::new(1, true).later(SECOND, SECOND), Err(GivenUp::Overloaded));
    }
}
