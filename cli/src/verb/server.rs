//! `berth server`

use std::path::PathBuf;
use std::time::Duration;

use berth_daemon::config::Flag;
use berth_daemon::tasks::Tasks;
use berth_daemon::{shutdown, telemetry};
use clap::Args;

use crate::daemons;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// How long a daemon may take to stop in order.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Flags stand above BERTH_SERVER_* variables, these above the file, this above the defaults: `berth config show`.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The configuration file
    #[arg(long, env = "BERTH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where log and snapshots are kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where clients and agents reach this server
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Where the other servers reach this one
    #[arg(long, value_name = "IP:PORT")]
    peer_listen: Option<String>,
    /// Where /metrics is
    #[arg(long, value_name = "IP:PORT")]
    metrics_listen: Option<String>,
    /// What clients are told to use instead of --listen
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Which member this is
    #[arg(long, value_name = "N")]
    id: Option<u64>,
    /// The first members with their peer listeners, all of them on each; repeat it or separate them with commas
    #[arg(long = "member", value_name = "ID=HOST:PORT")]
    members: Vec<String>,
    /// Join the cluster with this id as a new member: see `berth operator add`
    #[arg(long, value_name = "CLUSTER-ID")]
    join: Option<String>,
    /// Listen on addresses that other machines reach; nothing checks who calls
    #[arg(long)]
    insecure: bool,
}

impl Server {
    pub(crate) async fn run(self, _session: &Session) -> Result<Exit, Failure> {
        let config = self.config.clone();
        let loaded = crate::config::load(config.as_deref(), self.flags())?.value;
        telemetry::init(&loaded.log).map_err(|error| Failure::new(Exit::Other, None, error.to_string()))?;
        let tasks = Tasks::new();
        shutdown::on_signals(&tasks)?;
        let started = daemons::start_server(&loaded.server, &tasks).await?;
        tracing::info!(clients = %started.clients, metrics = %started.metrics, "server is up");
        until_stopped(&tasks).await
    }

    fn flags(self) -> Vec<Flag> {
        let mut flags = Vec::new();
        let mut flag =
            |key, name, value: Option<String>| flags.extend(value.map(|value| Flag::new(key, name, value)));
        flag("server.data_dir", "--data-dir", self.data_dir);
        flag("server.listen", "--listen", self.listen);
        flag("server.peer_listen", "--peer-listen", self.peer_listen);
        flag("server.metrics_listen", "--metrics-listen", self.metrics_listen);
        flag("server.advertise", "--advertise", self.advertise);
        flag("server.id", "--id", self.id.map(|id| id.to_string()));
        flag("server.join", "--join", self.join);
        flag("server.insecure", "--insecure", self.insecure.then(|| "true".to_owned()));
        self.members.into_iter().for_each(|member| flag("server.members", "--member", Some(member)));
        flags
    }
}

/// Waits for a signal or the failure of a task, then for the end of all tasks.
pub(crate) async fn until_stopped(tasks: &Tasks) -> Result<Exit, Failure> {
    tasks.stopping().await;
    let late = tasks.shutdown(STOP_WITHIN).await;
    if let Some(failure) = tasks.failure() {
        return Err(Failure::new(Exit::Other, None, failure.to_string()));
    }
    late.map_err(|late| Failure::new(Exit::Other, None, late.to_string()))?;
    Ok(Exit::Ok)
}
