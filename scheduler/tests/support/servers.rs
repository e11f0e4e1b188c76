//! Servers in this process: what three of them are configured with, started, led and stopped.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use berth_daemon::metrics::{Health, Registry};
use berth_daemon::tasks::Tasks;
use berth_scheduler::config::{Birth, Config};
use berth_scheduler::leader;
use berth_scheduler::raft::config::Settings;
use berth_scheduler::rates::Pace;
use berth_scheduler::server::Server;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A server, and what stops it.
pub(crate) struct Running {
    pub(crate) tasks: Tasks,
    pub(crate) server: Server,
}

impl Running {
    pub(crate) async fn start(config: Config) -> Running {
        let tasks = Tasks::new();
        let server = Server::start(config, &tasks, &Registry::new(), &Health::new()).await.unwrap();
        Running { tasks, server }
    }

    pub(crate) async fn stop(self) {
        self.tasks.begin_shutdown();
        tokio::time::timeout(DEADLINE, self.server.ended()).await.unwrap().unwrap();
    }
}

/// The only member of a cluster.
pub(crate) fn alone_config(data_dir: PathBuf) -> Config {
    config(data_dir, ([127, 0, 0, 1], 0).into(), Birth::Alone { cluster: "test".into() })
}

/// Three members of one cluster, the one with the id 1 in the first directory.
pub(crate) fn three_configs(data_dirs: [PathBuf; 3]) -> Vec<Config> {
    // Ports that were free a moment ago; the members have to know each other's before they start.
    let free: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = free.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let members: Vec<_> = (1..).zip(addresses.iter().map(ToString::to_string)).collect();
    let together = |id| Birth::Together { cluster: "test".into(), id, members: members.clone() };
    let of_each = (1..).zip(data_dirs).zip(addresses);
    of_each.map(|((id, data_dir), address)| config(data_dir, address, together(id))).collect()
}

fn config(data_dir: PathBuf, peer_listen: SocketAddr, birth: Birth) -> Config {
    Config {
        data_dir,
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        peer_listen,
        insecure: false,
        birth,
        leader: leader::Config::default(),
        raft: Settings::default(),
        pace: Pace::default(),
    }
}

pub(crate) async fn start_all(configs: &[Config]) -> Vec<Running> {
    let mut servers = Vec::new();
    for config in configs {
        servers.push(Running::start(config.clone()).await);
    }
    servers
}

/// Waits until one of them leads, and says which.
pub(crate) async fn leader(servers: &[Running]) -> usize {
    let began = Instant::now();
    loop {
        if let Some(at) = servers.iter().position(|running| running.server.log().leads()) {
            return at;
        }
        assert!(began.elapsed() < DEADLINE, "nobody leads");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
