//! `berth agent`

use std::path::PathBuf;

use berth_daemon::config::Flag;
use berth_daemon::tasks::Tasks;
use berth_daemon::{shutdown, telemetry};
use clap::Args;

use crate::args::Global;
use crate::daemons::{self, TasksOfAgent};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::verb::server::until_stopped;

/// The servers to dial are given with --server, or in BERTH_SERVER. Flags stand above BERTH_* variables, these above the
/// file, this above the defaults: `berth config show`.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The configuration file
    #[arg(long, env = "BERTH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The node's name [default: the host's name]
    #[arg(long)]
    name: Option<String>,
    /// Where journal, attempts and logs are kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// A directory that other nodes see too, for the directories of runs
    #[arg(long, value_name = "DIR")]
    shared_dir: Option<String>,
    /// Where /metrics is
    #[arg(long, value_name = "IP:PORT")]
    metrics_listen: Option<String>,
    /// Serve metrics on addresses that other machines reach
    #[arg(long)]
    insecure: bool,
}

impl Agent {
    pub(crate) async fn run(self, _session: &Session, global: &Global) -> Result<Exit, Failure> {
        let config = self.config.clone();
        let loaded = crate::config::load(config.as_deref(), self.flags(global))?.value;
        telemetry::init(&loaded.log).map_err(|error| Failure::new(Exit::Other, None, error.to_string()))?;
        let tasks = Tasks::new();
        shutdown::on_signals(&tasks)?;
        let started = daemons::start_agent(&loaded.agent, TasksOfAgent::Outlive, &tasks).await?;
        for missing in &started.missing {
            tracing::warn!(missing, "tasks are less isolated here");
        }
        tracing::info!(node.id = started.name, metrics = %started.metrics, "agent is up");
        until_stopped(&tasks).await
    }

    fn flags(self, global: &Global) -> Vec<Flag> {
        let mut flags = Vec::new();
        let mut flag =
            |key, name, value: Option<String>| flags.extend(value.map(|value| Flag::new(key, name, value)));
        flag("agent.name", "--name", self.name);
        flag("agent.data_dir", "--data-dir", self.data_dir);
        flag("agent.shared_dir", "--shared-dir", self.shared_dir);
        flag("agent.metrics_listen", "--metrics-listen", self.metrics_listen);
        flag("agent.insecure", "--insecure", self.insecure.then(|| "true".to_owned()));
        global.server.iter().for_each(|server| flag("agent.servers", "--server", Some(server.clone())));
        flags
    }
}
