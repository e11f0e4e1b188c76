//! What the users' verbs work with.

use berth_client::{Client, Config};

use crate::args::Global;
use crate::failure::Failure;
use crate::output::Output;

/// The form of output and the way to the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) output: Output,
    config: Config,
}

impl Session {
    pub(crate) fn new(global: &Global) -> Session {
        let config = Config::new(global.servers()).deadline(global.timeout.get());
        Session { output: global.output(), config }
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect(self.config.clone())?)
    }

    /// For what is of use without an answer too: waits at most this long for one.
    pub(crate) fn impatient_client(&self, patience: std::time::Duration) -> Result<Client, Failure> {
        let deadline = self.config.deadline.min(patience);
        Ok(Client::connect(self.config.clone().deadline(deadline))?)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use crate::args::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn servers_come_as_a_list_or_repeated_and_before_or_after_the_verb() {
        let cli = Cli::parse_from(["berth", "--server", "a:1,b:2", "node", "list", "-o", "json"]);
        assert_eq!(cli.global.server, ["a:1", "b:2"]);
        assert!(cli.global.output().is_json());
        let cli = Cli::parse_from(["berth", "node", "list", "--server", "a:1", "--server", "b:2"]);
        assert_eq!(cli.global.server, ["a:1", "b:2"]);
    }
}
