//! The command line: what holds for every verb, and the verbs.

use clap::{Args, Parser, Subcommand};

use crate::output::{Format, Output};
use crate::span::Span;
use crate::verb::{agent, config, dev, job, logs, node, operator, run, server, tenant};

/// Berth allots places to work: a multi-tenant cluster scheduler.
#[derive(Debug, Parser)]
#[command(name = "berth", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 other, 2 usage, 3 invalid spec, 4 not found, 5 auth, 6 quota or conflict, \
7 unavailable, 8 timed out, 10 plan has changes, 20 the awaited run failed, 130 interrupted while waiting (the run goes on).";

/// Where servers listen when nothing is said.
const DEFAULT_SERVER: &str = "http://127.0.0.1:7070";
/// The variable that says where else, separated by commas.
pub(crate) const SERVER_VARIABLE: &str = "BERTH_SERVER";

/// What holds for every verb.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Servers to ask, as host:port; repeat it or separate them with commas [env: BERTH_SERVER] [default: 127.0.0.1:7070]
    // The variable is read by `servers`, so that an agent can tell it from the flag.
    #[arg(long, global = true, value_delimiter = ',', value_name = "HOST:PORT")]
    pub(crate) server: Vec<String>,
    /// Form of the output; with json, errors are JSON on stderr too
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
    /// How long one request may take, over all servers and repetitions
    #[arg(long, global = true, default_value = "15s", value_name = "TIME")]
    pub(crate) timeout: Span,
}

impl Global {
    /// The servers that users' verbs ask: those of the flag, or of `BERTH_SERVER`, or the usual one.
    pub(crate) fn servers(&self) -> Vec<String> {
        if !self.server.is_empty() {
            return self.server.clone();
        }
        match std::env::var(SERVER_VARIABLE) {
            Ok(servers) if !servers.is_empty() => {
                servers.split(',').map(|server| server.trim().to_owned()).collect()
            }
            Ok(_) | Err(_) => vec![DEFAULT_SERVER.to_owned()],
        }
    }

    pub(crate) fn output(&self) -> Output {
        Output { format: self.output }
    }
}

/// The verbs, a file each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a server and an agent in this process, on a temporary directory
    Dev(dev::Dev),
    /// Run a server
    Server(server::Server),
    /// Run an agent on this node
    Agent(agent::Agent),
    /// Check, register, run and stop jobs
    #[command(subcommand)]
    Job(job::Job),
    /// Look at runs, wait for them, cancel them
    #[command(subcommand)]
    Run(run::Run),
    /// Show what tasks wrote
    Logs(logs::Logs),
    /// Look at nodes, drain them, remove them
    #[command(subcommand)]
    Node(node::Node),
    /// Look at tenants, add and change them
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Look after the cluster's servers
    #[command(subcommand)]
    Operator(operator::Operator),
    /// Show the configuration of the daemons
    #[command(subcommand)]
    Config(config::Config),
    /// Show the version of this program
    Version,
}
