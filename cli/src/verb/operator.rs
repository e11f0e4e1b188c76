//! `berth operator members | add | remove | status`

use berth_client::Error;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::say;
use crate::session::Session;
use crate::view::operator as view;

#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    /// List the members of the cluster
    Members,
    /// Add a member; it gets the log, and a vote when it has caught up
    Add {
        /// Where its peers will reach it
        #[arg(value_name = "HOST:PORT")]
        address: String,
    },
    /// Remove a member
    Remove { id: u64 },
    /// Ask each server given with --server how it is
    Status,
}

impl Operator {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Operator::Members => {
                let members = match client.members().await {
                    // Without a leader any member can still say what it knows.
                    Err(Error::NoLeader { .. }) => client.reading_stale().members().await?,
                    members => members?,
                };
                let json = || json!({ "members": members.iter().map(json::member).collect::<Vec<Value>>() });
                session.output.data(|| view::members(&members), json)?;
            }
            Operator::Add { address } => {
                let added = client.add_member(&address).await?;
                let (id, cluster) = (added.id, &added.cluster_id);
                let json = || json!({ "id": id, "cluster_id": cluster, "address": address });
                session.output.data(|| format!("{id}\n"), json)?;
                let members = client.members().await.unwrap_or_default();
                say(&format!(
                    "member {id} is expected at {}; start it with an empty data directory:\n  {}",
                    berth_spec::escape(&address),
                    view::start_of(id, cluster, &address, &members),
                ));
            }
            Operator::Remove { id } => {
                client.remove_member(id).await?;
                say(&format!("member {id} removed"));
                if session.output.is_json() {
                    session.output.data(String::new, || json!({ "removed": id }))?;
                }
            }
            Operator::Status => return status(session, client.status_of_each().await),
        }
        Ok(Exit::Ok)
    }
}

fn status(
    session: &Session,
    answers: Vec<(String, Result<berth_client::api::StatusReply, Error>)>,
) -> Result<Exit, Failure> {
    let json = || {
        let servers: Vec<Value> = answers
            .iter()
            .map(|(endpoint, answer)| match answer {
                Ok(status) => json!({ "server": endpoint, "status": json::status(status) }),
                Err(error) => json!({ "server": endpoint, "error": error.to_string() }),
            })
            .collect();
        json!({ "servers": servers })
    };
    session.output.data(|| view::status(&answers), json)?;
    let silent = answers.iter().all(|(_, answer)| answer.is_err());
    Ok(if silent { Exit::Unavailable } else { Exit::Ok })
}
