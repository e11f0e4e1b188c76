//! `berth dev`: a cluster of one server and one agent in this process, which leaves nothing behind.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use berth_client::api::{NodeState, RunView, TenantSpec};
use berth_client::{Client, Config, Error, LogQuery, LogStream};
use berth_daemon::tasks::Tasks;
use berth_daemon::{shutdown, telemetry};
use clap::Args;
use futures_util::StreamExt;

use crate::daemons::{self, StartedAgent, StartedServer, TasksOfAgent};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{say, warn};
use crate::progress::{self, Followed};
use crate::session::Session;
use crate::verb::job::{JobOrFile, Started, conclude, start};
use crate::verb::logs::Printer;
use crate::verb::server::STOP_WITHIN;
use crate::{config, spec_file};

/// How long the two may take until the node is ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How many tasks of the last step have their output printed.
const OUTPUTS_MAX: u32 = 10;

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Run this spec, show how it goes, print its result and end
    #[arg(long, value_name = "FILE")]
    run: Option<String>,
    /// Where the server listens; by default on any free port with --run, and else on 127.0.0.1:7070
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// What is logged to stderr, such as info or berth_agent=debug
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    log: String,
}

/// What belongs to this process and goes with it.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    dir: &'a Path,
    cgroup: &'a str,
}

impl Dev {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        // A mistake in the spec is told before anything is started.
        let tenant = match &self.run {
            Some(file) => Some(spec_file::read(file)?.job.tenant),
            None => None,
        };
        let log = telemetry::Config { filter: self.log.clone(), ..telemetry::Config::default() };
        telemetry::init(&log).map_err(|error| Failure::new(Exit::Usage, None, error.to_string()))?;
        let dir = tempfile::Builder::new().prefix("berth-dev-").tempdir()?;
        let tasks = Tasks::new();
        let agents = tasks.group();
        let cgroup = daemons::cgroup_of_this_process();
        shutdown::on_signals(&tasks)?;
        let result = tokio::select! {
            result = Box::pin(self.live(session, Place { dir: dir.path(), cgroup: &cgroup }, tenant, &tasks, &agents)) => result,
            () = tasks.stopping() => Err(self.stopped(&tasks)),
        };
        // The agent stops its tasks and waits for their ends; only then may their directory go.
        for group in [&agents, &tasks] {
            if let Err(late) = group.shutdown(STOP_WITHIN).await {
                warn(&format!("not everything ended in time: {late}"));
            }
        }
        daemons::remove_cgroup(&cgroup);
        let path = dir.path().to_owned();
        dir.close().unwrap_or_else(|error| warn(&format!("cannot remove {}: {error}", path.display())));
        result
    }

    async fn live(
        &self,
        session: &Session,
        place: Place<'_>,
        tenant: Option<String>,
        tasks: &Tasks,
        agents: &Tasks,
    ) -> Result<Exit, Failure> {
        let server = daemons::start_server(&self.server(place.dir), tasks).await?;
        let agent =
            daemons::start_agent(&agent(place.dir, place.cgroup, server), TasksOfAgent::EndWithIt, agents)
                .await?;
        agent
            .missing
            .iter()
            .for_each(|missing| session.output.warn(&format!("less isolation here: {missing}")));
        let client = Client::connect(Config::new([server.clients.to_string()]))?;
        until_ready(&client, &agent.name).await?;
        let tenant = tenant.unwrap_or_else(|| "default".to_owned());
        ensure_tenant(&client, tenant).await?;
        match &self.run {
            Some(file) => Box::pin(run_once(session, &client, file)).await,
            None => {
                greet(server, &agent, place.dir);
                tasks.stopping().await;
                Err(self.stopped(tasks))
            }
        }
    }

    /// Ctrl-C is how it usually ends; a failed task, or a run that is cut short, is another matter.
    fn stopped(&self, tasks: &Tasks) -> Failure {
        match tasks.failure() {
            Some(failure) => Failure::new(Exit::Other, None, failure.to_string()),
            None if self.run.is_some() => Failure::silent(Exit::Interrupted),
            None => Failure::silent(Exit::Ok),
        }
    }

    fn server(&self, dir: &Path) -> config::Server {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let usual = if self.run.is_some() { any } else { config::Server::default().listen };
        config::Server {
            listen: self.listen.unwrap_or(usual),
            peer_listen: any,
            metrics_listen: any,
            data_dir: dir.join("server"),
            cluster: "dev".to_owned(),
            ..config::Server::default()
        }
    }
}

fn agent(dir: &Path, cgroup: &str, server: StartedServer) -> config::Agent {
    config::Agent {
        name: Some("dev".to_owned()),
        servers: vec![server.clients.to_string()],
        metrics_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: dir.join("agent"),
        cgroup: Some(cgroup.to_owned()),
        ..config::Agent::default()
    }
}

async fn until_ready(client: &Client, node: &str) -> Result<(), Failure> {
    let began = tokio::time::Instant::now();
    loop {
        let waited = match client.node(node).await {
            Ok(view) if view.state() == NodeState::Ready => return Ok(()),
            Ok(_) => "the agent has not registered".to_owned(),
            Err(Error::NotFound { .. }) => "the agent has not registered".to_owned(),
            Err(error) if error.is_safe_to_repeat() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        if began.elapsed() > READY_WITHIN {
            return Err(Failure::new(
                Exit::TimedOut,
                None,
                format!("server and agent did not get ready: {waited}"),
            )
            .help("try again with --log info"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A cluster that is new has no tenants; this one gets what its job needs.
async fn ensure_tenant(client: &Client, tenant: String) -> Result<(), Failure> {
    match client.tenant(&tenant).await {
        Ok(_) => Ok(()),
        Err(Error::NotFound { .. }) => {
            let spec = TenantSpec { name: tenant, weight: 1, ..TenantSpec::default() };
            Ok(client.apply_tenant(spec).await?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn run_once(session: &Session, client: &Client, file: &str) -> Result<Exit, Failure> {
    let what = JobOrFile { what: file.to_owned(), tenant: String::new() };
    let Started { run, warnings, .. } = start(session, client, &what, None).await?;
    match progress::follow(client, &run, None, session.output.is_json()).await? {
        Followed::Ended(view) => {
            if !session.output.is_json() {
                Box::pin(print_result(session, client, &view)).await?;
            }
            conclude(session, client, &view, &warnings).await
        }
        // Both mean the end of everything here: the cluster ends with this process.
        Followed::Interrupted | Followed::TimedOut => Err(Failure::silent(Exit::Interrupted)),
    }
}

/// What the tasks of the last step wrote to stdout is what the job is about.
async fn print_result(session: &Session, client: &Client, run: &RunView) -> Result<(), Failure> {
    let Some(last) = run.steps.last() else { return Ok(()) };
    for index in 0..last.size.unwrap_or(0).min(OUTPUTS_MAX) {
        let query = LogQuery { index, stream: Some(LogStream::Stdout), ..LogQuery::of(&run.id, &last.name) };
        let mut printer = Printer::new(session.output, false, &last.name, index);
        let mut pieces = client.logs(query);
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => printer.piece(&piece)?,
                Err(error) => {
                    warn(&format!("the output of {} cannot be read: {error}", last.name));
                    break;
                }
            }
        }
    }
    session.output.raw(b"\n")
}

fn greet(server: StartedServer, agent: &StartedAgent, dir: &Path) {
    let server_metrics = server.metrics;
    let agent_metrics = agent.metrics;
    say(&format!(
        "berth dev is up: one server, one agent, in {}\n\n  \
         export BERTH_SERVER={}\n  \
         berth job run FILE --wait\n  \
         berth node show {}\n\n\
         metrics: http://{server_metrics}/metrics and http://{agent_metrics}/metrics\n\
         Ctrl-C ends it, stops its tasks and removes everything.",
        dir.display(),
        server.clients,
        agent.name,
    ));
}
