//! How a server is told what to be.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use berth_core::id::ClusterId;
use berth_core::time::Millis;

use crate::leader;
use crate::raft::config::Settings;
use crate::raft::membership::MemberId;
use crate::rates::Pace;

/// A server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its data directory; one process at a time.
    pub data_dir: PathBuf,
    /// Where clients and agents reach it; port 0 takes any free one.
    pub listen: SocketAddr,
    /// What clients and agents are told to use instead of `listen`, as `host:port`.
    pub advertise: Option<String>,
    /// Where its peers reach it; port 0 takes any free one.
    pub peer_listen: SocketAddr,
    /// Lets it listen where other machines can reach it, without authentication or encryption.
    pub insecure: bool,
    /// How a new data directory becomes that of a member. An existing one goes on as what it is, if that is the member
    /// with this id.
    pub birth: Birth,
    /// How agents are kept.
    pub leader: leader::Config,
    /// How the log is kept.
    pub raft: Settings,
    /// How fast each tenant may submit.
    pub pace: Pace,
}

/// How a new data directory becomes that of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Birth {
    /// The only member of a new cluster.
    Alone {
        /// Its name, which tells clusters apart.
        cluster: String,
    },
    /// One of the first members of a new cluster; each of them is started with the same list.
    Together {
        /// The cluster's name.
        cluster: String,
        /// Which of them this is.
        id: MemberId,
        /// All of them, with where their peers reach them.
        members: Vec<(MemberId, String)>,
    },
    /// A member that an existing cluster was told of with `berth operator add`.
    Join {
        /// The id that was given out.
        id: MemberId,
        /// The cluster's id.
        cluster: ClusterId,
        /// Members that exist, with where their peers reach them.
        members: Vec<(MemberId, String)>,
    },
}

/// Why a configuration is no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Only these sizes make a majority worth its members.
    #[error("a cluster has 1, 3 or 5 first members, not {0}")]
    Size(usize),
    /// The list has to name this member.
    #[error("member {0} is not in the list of members")]
    NotListed(MemberId),
    /// An id or an address occurs twice.
    #[error("`{0}` occurs twice in the list of members")]
    Twice(String),
    /// Ids are counted from 1.
    #[error("member ids are counted from 1")]
    Zero,
    /// Peers could not find each other.
    #[error("the first members have to know each other's ports; member {0} has none")]
    NoPort(MemberId),
    /// A lease that is too short declares nodes lost that are there.
    #[error("a lease is at least three heartbeats long")]
    ShortLease,
}

impl Config {
    /// Checks what can be checked before anything opens.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), Error> {
        if self.leader.lease.0 < 3 * self.leader.heartbeat.0 {
            return Err(Error::ShortLease);
        }
        match &self.birth {
            Birth::Alone { .. } => Ok(()),
            Birth::Together { id, members, .. } => {
                if !matches!(members.len(), 1 | 3 | 5) {
                    return Err(Error::Size(members.len()));
                }
                if !members.iter().any(|(listed, _)| listed == id) {
                    return Err(Error::NotListed(*id));
                }
                distinct(members)
            }
            Birth::Join { members, .. } => distinct(members),
        }
    }
}

fn distinct(members: &[(MemberId, String)]) -> Result<(), Error> {
    for (at, (id, address)) in members.iter().enumerate() {
        if *id == 0 {
            return Err(Error::Zero);
        }
        if address.ends_with(":0") {
            return Err(Error::NoPort(*id));
        }
        if members[..at].iter().any(|(other, _)| other == id) {
            return Err(Error::Twice(id.to_string()));
        }
        if members[..at].iter().any(|(_, other)| other == address) {
            return Err(Error::Twice(address.clone()));
        }
    }
    Ok(())
}

/// How long a server waits for its tasks when it stops.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// A lease and a heartbeat, as they are configured.
pub fn leases(lease: Duration, heartbeat: Duration) -> leader::Config {
    let millis = |span: Duration| Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    leader::Config { lease: millis(lease), heartbeat: millis(heartbeat) }
}
