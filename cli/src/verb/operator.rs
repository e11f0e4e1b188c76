//! `berth operator members | add | remove | status`

use berth_client::api::MemberView;
use berth_client::{AddedMember, Error};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
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
                let id = added.id;
                // It is added; that the others cannot be listed is no reason to fail.
                let members = client.members().await.unwrap_or_default();
                let command = start_command(&added, &address, &members);
                let json = || json!({ "id": id, "cluster_id": added.cluster_id, "address": address, "start": command });
                session.output.say(&format!(
                    "member {id} is expected at {}; start it there with a data directory that is empty:",
                    berth_spec::escape(&address),
                ));
                session.output.data(|| format!("{command}\n"), json)?;
            }
            Operator::Remove { id } => {
                client.remove_member(id).await?;
                session.output.data(|| format!("member {id} removed\n"), || json!({ "removed": id }))?;
            }
            Operator::Status => return status(session, client.status_of_each().await),
        }
        Ok(Exit::Ok)
    }
}

/// The line that starts a new member, with the members that are there already.
fn start_command(added: &AddedMember, address: &str, members: &[MemberView]) -> String {
    let mut command =
        format!("berth server --id {} --join {} --peer-listen {address}", added.id, added.cluster_id);
    for member in members.iter().filter(|member| member.id != added.id) {
        command.push_str(&format!(" --member {}={}", member.id, member.address));
    }
    command.push_str(" --data-dir DIR --listen IP:PORT --metrics-listen IP:PORT");
    berth_spec::escape(&command)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_member_is_started_with_the_members_that_are_there() {
        let added = AddedMember { id: 4, cluster_id: "7zq0".into() };
        let member = |id| MemberView { id, address: format!("10.0.0.{id}:7071"), ..MemberView::default() };
        assert_eq!(
            start_command(&added, "10.0.0.4:7071", &[member(1), member(2), member(4)]),
            "berth server --id 4 --join 7zq0 --peer-listen 10.0.0.4:7071 --member 1=10.0.0.1:7071 \
             --member 2=10.0.0.2:7071 --data-dir DIR --listen IP:PORT --metrics-listen IP:PORT"
        );
    }
}
