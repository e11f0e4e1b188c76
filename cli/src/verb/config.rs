//! `berth config show`

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show every setting of server and agent with its value and where it comes from
    Show {
        /// The configuration file
        #[arg(long, env = "BERTH_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

impl Config {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Config::Show { config } = self;
        let loaded = crate::config::load(config.as_deref(), Vec::new())?;
        session.output.data(
            || loaded.show(),
            || {
                let settings: Vec<Value> = loaded
                    .settings()
                    .map(|(key, value, origin)| json!({ "key": key, "value": value, "origin": origin.to_string() }))
                    .collect();
                json!({ "settings": settings })
            },
        )?;
        Ok(Exit::Ok)
    }
}
