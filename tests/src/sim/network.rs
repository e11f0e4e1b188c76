//! Who reaches whom, and how long it takes.

use std::collections::BTreeMap;

use super::options::Options;
use super::random::Random;

/// An end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Server(u64),
    Agent(usize),
    Client,
}

/// What a cut keeps apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing leaves the place.
    Mute(Place),
    /// Nothing reaches the place.
    Deaf(Place),
    /// Neither.
    Alone(Place),
    /// Nothing goes between a server and its peers; the others reach it.
    FromPeers(u64),
    /// Nothing goes from one to the other, in that direction.
    Way(Place, Place),
    /// Nothing goes between two places.
    Between(Place, Place),
}

impl Cut {
    fn parts(self, from: Place, to: Place) -> bool {
        match self {
            Cut::Mute(place) => from == place,
            Cut::Deaf(place) => to == place,
            Cut::Alone(place) => from == place || to == place,
            Cut::FromPeers(server) => match (from, to) {
                (Place::Server(a), Place::Server(b)) => a == server || b == server,
                (Place::Agent(_) | Place::Client, _) | (_, Place::Agent(_) | Place::Client) => false,
            },
            Cut::Way(a, b) => from == a && to == b,
            Cut::Between(a, b) => (from, to) == (a, b) || (from, to) == (b, a),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Network {
    random: Random,
    delay_max: u64,
    loss_per_mille: u64,
    cuts: BTreeMap<u64, Cut>,
    cut_number: u64,
    /// Streams between members keep their order: nothing arrives before what was sent earlier.
    arrivals: BTreeMap<(u64, u64), u64>,
}

impl Network {
    pub(crate) fn new(options: &Options) -> Network {
        Network {
            random: Random::new(options.seed, "network"),
            delay_max: options.delay_max,
            loss_per_mille: options.loss_per_mille,
            cuts: BTreeMap::new(),
            cut_number: 0,
            arrivals: BTreeMap::new(),
        }
    }

    pub(crate) fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cuts.values().any(|cut| cut.parts(from, to))
    }

    /// Gives the cut's number, by which it heals.
    pub(crate) fn cut(&mut self, cut: Cut) -> u64 {
        self.cut_number += 1;
        self.cuts.insert(self.cut_number, cut);
        self.cut_number
    }

    pub(crate) fn heal(&mut self, number: u64) {
        self.cuts.remove(&number);
    }

    pub(crate) fn heal_all(&mut self) {
        self.cuts.clear();
        self.loss_per_mille = 0;
    }

    /// How long a message takes.
    pub(crate) fn delay(&mut self) -> u64 {
        match self.random.chance(10) {
            true => self.random.between(1, self.delay_max * 8),
            false => self.random.between(1, self.delay_max),
        }
    }

    pub(crate) fn loses(&mut self) -> bool {
        self.random.chance(self.loss_per_mille)
    }

    /// True when the sender hears that its stream broke.
    pub(crate) fn tells_of_loss(&mut self) -> bool {
        self.random.chance(500)
    }

    /// When a message between members that is sent now arrives.
    pub(crate) fn arrival(&mut self, from: u64, to: u64, now: u64) -> u64 {
        let delay = self.delay();
        // Now and then a stream is made anew, and what is on its way in the old one may come later.
        let anew = self.random.chance(2);
        let last = self.arrivals.entry((from, to)).or_default();
        if anew {
            *last = 0;
        }
        *last = (now + delay).max(*last);
        *last
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}
