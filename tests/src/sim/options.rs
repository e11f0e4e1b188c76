use std::fmt;

use super::random::Random;

/// All that a seed stands for. Spans and times are in simulated milliseconds; `_every` is a mean distance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where everything comes from.
    pub seed: u64,
    /// What it dwells on.
    pub weather: Weather,
    /// Keeps a story of what happened, for people.
    pub tells_story: bool,
    /// How long the chaos lasts, in simulated seconds.
    pub seconds: u64,
    /// After that long everything must be over.
    pub quiet_max: u64,
    /// Servers answer a sync of the log without doing it: a planted bug.
    pub disks_lie: bool,
    /// The longest ordinary delay of a message.
    pub delay_max: u64,
    /// Messages lost, in a thousand.
    pub loss_per_mille: u64,
    /// The longest ordinary write.
    pub write_max: u64,
    /// Clocks are wrong by up to this much.
    pub skew_max: u64,
    /// A server loses power or is killed.
    pub server_crash_every: u64,
    /// A network cut begins.
    pub cut_every: u64,
    /// A server's disk stalls.
    pub stall_every: u64,
    /// A server stands still for a while.
    pub pause_every: u64,
    /// Leadership is handed over by request.
    pub transfer_every: u64,
    /// An agent is killed, or its machine loses power.
    pub agent_crash_every: u64,
    /// A machine changes under its agent.
    pub facts_change_every: u64,
    /// A server's wall clock is set wrong for a while.
    pub wrong_clock_every: u64,
    /// Of agents that come back, those with another kernel or another release, in a thousand.
    pub facts_change_per_mille: u64,
    /// Of crashed agents, those that stay away for longer than the lease, in a thousand.
    pub agent_lost_per_mille: u64,
    /// Of crashed agents, those that lose their directory, in a thousand.
    pub agent_wiped_per_mille: u64,
    /// Of connections of agents, those that are slow towards the server, in a thousand.
    pub slow_session_per_mille: u64,
    /// The client asks for something.
    pub ask_every: u64,
    /// Schedules are applied, in a thousand of all requests.
    pub schedules_per_mille: u64,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
    /// Entries kept behind a snapshot.
    pub log_kept: u64,
}

impl Options {
    /// What a seed stands for.
    pub fn of_seed(seed: u64, seconds: u64) -> Options {
        let mut random = Random::new(seed, "options");
        Options {
            seed,
            weather: Weather::Any,
            tells_story: false,
            seconds,
            quiet_max: 300_000,
            disks_lie: false,
            delay_max: random.pick(&[3, 10, 25, 60]),
            loss_per_mille: random.pick(&[0, 5, 20]),
            write_max: random.pick(&[4, 10, 25]),
            skew_max: random.pick(&[0, 50, 400]),
            server_crash_every: random.between(6_000, 20_000),
            cut_every: random.between(4_000, 15_000),
            stall_every: random.between(3_000, 12_000),
            pause_every: random.between(8_000, 30_000),
            transfer_every: random.between(15_000, 60_000),
            agent_crash_every: random.between(3_000, 10_000),
            facts_change_every: random.between(4_000, 20_000),
            wrong_clock_every: random.between(10_000, 60_000),
            facts_change_per_mille: 300,
            agent_lost_per_mille: 150,
            agent_wiped_per_mille: 100,
            slow_session_per_mille: 200,
            ask_every: random.between(300, 900),
            schedules_per_mille: 120,
            snapshot_every: random.pick(&[60, 150, 400]),
            log_kept: random.pick(&[10, 40, 100]),
        }
    }

    /// The same seed in another weather.
    pub fn with(self, weather: Weather) -> Options {
        match weather {
            Weather::Any => self,
            Weather::RestlessAgents => Options {
                // What takes long to be written leaves room for what is late.
                write_max: 60,
                ask_every: 150,
                agent_crash_every: 300,
                facts_change_per_mille: 300,
                agent_lost_per_mille: 0,
                agent_wiped_per_mille: 0,
                slow_session_per_mille: 600,
                weather,
                ..self
            },
            Weather::RestlessSchedules => {
                Options { ask_every: 250, schedules_per_mille: 700, weather, ..self }
            }
            Weather::WrongClocks => Options {
                wrong_clock_every: 3_000,
                transfer_every: 8_000,
                schedules_per_mille: 400,
                weather,
                ..self
            },
            Weather::LyingDisks => Options { disks_lie: true, server_crash_every: 3_000, weather, ..self },
        }
    }
}

/// What a simulation dwells on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// A bit of everything, as the seed has it.
    Any,
    /// Agents are killed all the time and are back at once, over connections that deliver late what the process before
    /// had said.
    RestlessAgents,
    /// Schedules are changed all the time, close to the instants at which they fire.
    RestlessSchedules,
    /// There is nearly always one server with a wrong wall clock, and leadership goes round.
    WrongClocks,
    /// Servers whose disks answer a sync without doing it: a planted bug.
    LyingDisks,
}

impl Weather {
    /// The weather with that name on the command line.
    pub fn named(name: &str) -> Option<Weather> {
        let all = [
            Weather::Any,
            Weather::RestlessAgents,
            Weather::RestlessSchedules,
            Weather::WrongClocks,
            Weather::LyingDisks,
        ];
        all.into_iter().find(|weather| weather.name() == name)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Weather::Any => "any",
            Weather::RestlessAgents => "restless-agents",
            Weather::RestlessSchedules => "restless-schedules",
            Weather::WrongClocks => "wrong-clocks",
            Weather::LyingDisks => "lying-disks",
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
