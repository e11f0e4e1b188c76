//! The configuration of both daemons: one tree, one file, `[server]`, `[agent]` and `[log]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use berth_core::name::Named;
use berth_core::resources::{CPU, MEMORY};
use berth_daemon::config::{self, Flag, Kind, Loaded, Problem, Sections};
use berth_daemon::{listen, telemetry};
use serde::{Deserialize, Serialize};

use crate::args::SERVER_VARIABLE;
use crate::failure::Failure;
use crate::span::Span;

/// Everything that can be set for `berth server` and `berth agent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tree {
    pub(crate) server: Server,
    pub(crate) agent: Agent,
    pub(crate) log: telemetry::Config,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    /// Where clients and agents reach it.
    pub(crate) listen: SocketAddr,
    /// Where its peers reach it.
    pub(crate) peer_listen: SocketAddr,
    /// Where `/metrics` is.
    pub(crate) metrics_listen: SocketAddr,
    /// What clients are told to use instead of `listen`, as host:port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advertise: Option<String>,
    /// Log and snapshots.
    pub(crate) data_dir: PathBuf,
    /// The name of the cluster, of which its id is made at its birth.
    pub(crate) cluster: String,
    /// Which member this is.
    pub(crate) id: u64,
    /// The first members, as `ID=HOST:PORT` of their peer listeners; none for a cluster of this one alone.
    pub(crate) members: Vec<String>,
    /// The id of the cluster that this new member joins, as `berth operator add` has printed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) join: Option<String>,
    /// Listens on other addresses than loopback, without any check of who calls.
    pub(crate) insecure: bool,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Agent {
    /// The node's name; the host's name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The servers, as HOST:PORT of their client listeners.
    pub(crate) servers: Vec<String>,
    /// Where `/metrics` is.
    pub(crate) metrics_listen: SocketAddr,
    /// Journal, attempts and logs.
    pub(crate) data_dir: PathBuf,
    /// A directory that other nodes see too, for the directories of runs. They are below `data_dir` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shared_dir: Option<PathBuf>,
    /// The name of the shared directory: nodes with equal names share one.
    pub(crate) shared_name: String,
    /// The executors that it offers: `exec`, `docker`, and `fake` for trying things out.
    pub(crate) executors: Vec<String>,
    /// Cores it offers, such as `4` or `500m`; what the machine has, less a reserve, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<String>,
    /// Memory it offers, such as `1.5Gi`; what the machine has, less a reserve, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<String>,
    /// Facts about the node, such as `class`; they win over those of the machine.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The control group of this agent below the mount; `berth-NAME` when absent. Two agents of one machine need two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<String>,
    /// The socket of the Docker engine; when absent that of `DOCKER_HOST`, or else the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) docker_socket: Option<String>,
    /// How long logs of ended attempts are kept.
    pub(crate) keep_logs: Span,
    /// Serves metrics on other addresses than loopback.
    pub(crate) insecure: bool,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            listen: loopback(7070),
            peer_listen: loopback(7071),
            metrics_listen: loopback(7072),
            advertise: None,
            data_dir: "/var/lib/berth/server".into(),
            cluster: "berth".to_owned(),
            id: 1,
            members: Vec::new(),
            join: None,
            insecure: false,
        }
    }
}

impl Default for Agent {
    fn default() -> Agent {
        Agent {
            name: None,
            servers: vec!["127.0.0.1:7070".to_owned()],
            metrics_listen: loopback(7073),
            data_dir: "/var/lib/berth/agent".into(),
            shared_dir: None,
            shared_name: "shared".to_owned(),
            executors: vec!["exec".to_owned(), "docker".to_owned()],
            cpu: None,
            memory: None,
            attributes: BTreeMap::new(),
            cgroup: None,
            docker_socket: None,
            keep_logs: Span::from_secs(7 * 24 * 3600),
            insecure: false,
        }
    }
}

impl Sections for Tree {
    const OPTIONAL: &'static [(&'static str, Kind)] = &[
        ("server.advertise", Kind::String),
        ("server.join", Kind::String),
        ("agent.name", Kind::String),
        ("agent.shared_dir", Kind::String),
        ("agent.cpu", Kind::String),
        ("agent.memory", Kind::String),
        ("agent.cgroup", Kind::String),
        ("agent.docker_socket", Kind::String),
        ("agent.attributes", Kind::Map),
    ];

    /// Where users' verbs find the cluster, its agents find it too.
    const ALIASES: &'static [(&'static str, &'static str)] = &[(SERVER_VARIABLE, "agent.servers")];
}

impl Agent {
    /// Thousandths of a core that it offers, where they are given.
    pub(crate) fn cpu_milli(&self) -> Result<Option<u64>, String> {
        offered(CPU, self.cpu.as_deref())
    }

    /// Bytes of memory that it offers, where they are given.
    pub(crate) fn memory_bytes(&self) -> Result<Option<u64>, String> {
        offered(MEMORY, self.memory.as_deref())
    }
}

fn offered(resource: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    text.map(|text| berth_spec::parse_amount(resource, text.trim()))
        .transpose()
        .map_err(|error| error.to_string())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Reads all layers and checks what depends on one another, before any port opens.
pub(crate) fn load(file: Option<&Path>, flags: Vec<Flag>) -> Result<Loaded<Tree>, Failure> {
    let loaded = config::load::<Tree>(file, config::environment(), flags)?;
    config::Error::from_problems(problems(&loaded))?;
    Ok(loaded)
}

fn problems(loaded: &Loaded<Tree>) -> Vec<Problem> {
    let Tree { server, agent, log } = &loaded.value;
    let mut problems = Vec::new();
    let mut blame =
        |key: &str, wrong: Option<String>| problems.extend(wrong.map(|why| loaded.blame(key, why)));
    for (key, what, address, insecure) in [
        ("server.listen", "clients and agents", server.listen, server.insecure),
        ("server.peer_listen", "its peers", server.peer_listen, server.insecure),
        ("server.metrics_listen", "metrics", server.metrics_listen, server.insecure),
        ("agent.metrics_listen", "metrics", agent.metrics_listen, agent.insecure),
    ] {
        blame(key, listen::check(what, address, insecure).err().map(|error| error.to_string()));
    }
    blame("server.members", members(server).err());
    blame("server.id", (server.id == 0).then(|| "ids of members count from 1".to_owned()));
    let alone = server.members.is_empty() && server.join.is_none();
    blame(
        "server.id",
        (alone && server.id > 1).then(|| "a server without other members is member 1".to_owned()),
    );
    blame("agent.cpu", agent.cpu_milli().err());
    blame("agent.memory", agent.memory_bytes().err());
    blame("agent.name", illegal_node_name(agent));
    blame("agent.servers", agent.servers.is_empty().then(|| "name at least one server".to_owned()));
    blame("agent.executors", unknown_executor(agent));
    blame("log.filter", telemetry::check(log).err().map(|error| error.to_string()));
    problems
}

fn illegal_node_name(agent: &Agent) -> Option<String> {
    let illegal = agent.name.as_ref().filter(|name| !Named::Node.fits(name))?;
    Some(format!("`{illegal}` is not a legal name of a node, which has {}", Named::Node.rule()))
}

fn unknown_executor(agent: &Agent) -> Option<String> {
    let unknown = agent.executors.iter().find(|name| !["exec", "docker", "fake"].contains(&name.as_str()))?;
    Some(format!("there is no executor `{unknown}`; known are exec, docker and fake"))
}

/// The first members with the addresses of their peer listeners.
pub(crate) fn members(server: &Server) -> Result<Vec<(u64, String)>, String> {
    if server.members.is_empty() {
        return Ok(vec![(server.id, server.peer_listen.to_string())]);
    }
    let mut members = Vec::new();
    for text in &server.members {
        let wrong = || format!("`{text}` is not ID=HOST:PORT, such as 1=10.0.0.1:7071");
        let (id, address) = text.split_once('=').ok_or_else(wrong)?;
        let id: u64 = id.trim().parse().ok().filter(|&id| id > 0).ok_or_else(wrong)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        if members.iter().any(|(other, known): &(u64, String)| *other == id || known == address) {
            return Err(format!("`{text}` repeats an id or an address"));
        }
        members.push((id, address.to_owned()));
    }
    if ![1, 3, 5].contains(&members.len()) && server.join.is_none() {
        return Err(format!("a cluster begins with 1, 3 or 5 members, not {}", members.len()));
    }
    if server.join.is_none() && !members.iter().any(|(id, _)| *id == server.id) {
        return Err(format!("this member, {}, is not among them", server.id));
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(flags: Vec<Flag>) -> Result<Loaded<Tree>, config::Error> {
        loaded_with(&[], flags)
    }

    fn loaded_with(env: &[(&str, &str)], flags: Vec<Flag>) -> Result<Loaded<Tree>, config::Error> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let loaded = config::load::<Tree>(None, env, flags)?;
        config::Error::from_problems(problems(&loaded))?;
        Ok(loaded)
    }

    #[test]
    fn the_defaults_are_valid_and_every_flag_has_a_key() {
        loaded(Vec::new()).unwrap();
        let members =
            Flag::new("server.members", "--member", "1=127.0.0.1:7071,2=127.0.0.1:7171,3=127.0.0.1:7271");
        let loaded = loaded(vec![members, Flag::new("server.id", "--id", 2)]).unwrap();
        assert_eq!(super::members(&loaded.value.server).unwrap().len(), 3);
    }

    #[test]
    fn a_listener_that_others_reach_is_refused_without_insecure() {
        let listen = || Flag::new("server.listen", "--listen", "0.0.0.0:7070");
        let text = loaded(vec![listen()]).unwrap_err().to_string();
        assert!(text.contains("--insecure") && text.contains("--listen"), "{text}");
        loaded(vec![listen(), Flag::new("server.insecure", "--insecure", true)]).unwrap();
    }

    #[test]
    fn the_servers_of_an_agent_come_from_the_flag_or_the_variable_of_clients() {
        let env = [("BERTH_SERVER", "a:7070,b:7070")];
        let found = loaded_with(&env, Vec::new()).unwrap();
        assert_eq!(found.value.agent.servers, ["a:7070", "b:7070"]);
        assert_eq!(found.origin("agent.servers").to_string(), "from env BERTH_SERVER");
        let flag = Flag::new("agent.servers", "--server", "c:7070");
        assert_eq!(loaded_with(&env, vec![flag]).unwrap().value.agent.servers, ["c:7070"]);
    }

    #[test]
    fn an_agent_takes_amounts_as_they_are_shown() {
        let agent =
            |memory: &str| loaded(vec![Flag::new("agent.memory", "memory", memory)]).map(|l| l.value.agent);
        assert_eq!(agent("1.5Gi").unwrap().memory_bytes(), Ok(Some(3 << 29)));
        assert!(agent("1.5").unwrap_err().to_string().contains("512Mi"));
    }

    #[test]
    fn a_list_of_members_that_cannot_be_is_refused() {
        for wrong in ["1=a", "x=a:1", "1=a:1,2=b:1", "2=a:1", "1=a:1,1=b:1,3=c:1"] {
            assert!(loaded(vec![Flag::new("server.members", "--member", wrong)]).is_err(), "{wrong}");
        }
    }
}
