//! The verbs, a file each.

pub(crate) mod agent;
pub(crate) mod config;
pub(crate) mod dev;
pub(crate) mod job;
pub(crate) mod logs;
pub(crate) mod node;
pub(crate) mod operator;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod tenant;
pub(crate) mod version;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Does what the command line asks for.
pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    let session = Session::new(&cli.global);
    match cli.command {
        Command::Dev(dev) => Box::pin(dev.run(&session)).await,
        Command::Server(server) => Box::pin(server.run(&session)).await,
        Command::Agent(agent) => Box::pin(agent.run(&session, &cli.global)).await,
        Command::Job(job) => Box::pin(job.run(&session)).await,
        Command::Run(run) => Box::pin(run.run(&session)).await,
        Command::Logs(logs) => Box::pin(logs.run(&session)).await,
        Command::Node(node) => Box::pin(node.run(&session)).await,
        Command::Tenant(tenant) => Box::pin(tenant.run(&session)).await,
        Command::Operator(operator) => Box::pin(operator.run(&session)).await,
        Command::Config(config) => config.run(&session),
        Command::Version => version::run(&session),
    }
}
