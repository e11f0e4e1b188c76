//! The members of the cluster.

use berth_client::Error;
use berth_client::api::{MemberView, StatusReply};
use berth_spec::escape;

use crate::table::Table;
use crate::{units, words};

pub(crate) fn members(members: &[MemberView]) -> String {
    let mut table = Table::new(["ID", "ROLE", "PEERS AT", "CLIENTS AT", "LOG", "REACHABLE"]).right([0, 4]);
    for member in members {
        let client = if member.client_address.is_empty() { "-" } else { &member.client_address };
        let reachable = member.reachable.map_or("-", |reachable| if reachable { "yes" } else { "no" });
        table.row([
            member.id.to_string(),
            words::member_role(member.role()).to_owned(),
            member.address.clone(),
            client.to_owned(),
            member.match_index.map_or_else(|| "-".to_owned(), |index| index.to_string()),
            reachable.to_owned(),
        ]);
    }
    table.render()
}

/// What each server said of itself, or why it said nothing.
pub(crate) fn status(answers: &[(String, Result<StatusReply, Error>)]) -> String {
    let mut table = Table::new(["SERVER", "MEMBER", "ROLE", "TERM", "COMMITTED", "APPLIED", "UP", "STATE"])
        .right([1, 3, 4, 5]);
    let mut totals = None;
    let mut remarks = String::new();
    for (endpoint, answer) in answers {
        match answer {
            Ok(status) => {
                table.row([
                    endpoint.clone(),
                    status.member_id.to_string(),
                    words::member_role(status.role()).to_owned(),
                    status.term.to_string(),
                    status.commit_index.to_string(),
                    status.applied_index.to_string(),
                    units::span(status.uptime_ms),
                    state(status),
                ]);
                for alarm in &status.alarms {
                    remarks.push_str(&format!("{endpoint}: {}\n", escape(alarm)));
                }
                totals = totals.max(Some((status.applied_index, totals_of(status))));
            }
            Err(error) => {
                let why = match error {
                    Error::Unreachable { tried } => {
                        tried.first().map_or_else(String::new, |t| t.answer.clone())
                    }
                    other => other.to_string(),
                };
                let none = || "-".to_owned();
                table.row([endpoint.clone(), none(), none(), none(), none(), none(), none(), why]);
            }
        }
    }
    let totals = totals.map(|(_, text)| format!("\n{text}\n")).unwrap_or_default();
    let space = if remarks.is_empty() { "" } else { "\n" };
    format!("{}{totals}{space}{remarks}", table.render())
}

fn state(status: &StatusReply) -> String {
    if status.leader_id == 0 {
        "no leader".to_owned()
    } else if status.alarms.is_empty() {
        "well".to_owned()
    } else {
        "alarm".to_owned()
    }
}

fn totals_of(status: &StatusReply) -> String {
    format!(
        "cluster {}: nodes ready {}, runs active {}, tasks running {}, waiting {}",
        status.cluster_id, status.nodes_ready, status.runs_active, status.tasks_running, status.tasks_waiting
    )
}

#[cfg(test)]
mod tests {
    use berth_client::Tried;

    use super::*;

    #[test]
    fn status_shows_each_server_and_the_silent_ones_with_their_reason() {
        let well = StatusReply {
            cluster_id: "7zq0".into(),
            member_id: 1,
            role: 1,
            term: 3,
            leader_id: 1,
            commit_index: 120,
            applied_index: 120,
            uptime_ms: 65_000,
            nodes_ready: 2,
            runs_active: 1,
            tasks_running: 8,
            tasks_waiting: 4,
            ..StatusReply::default()
        };
        let full = StatusReply {
            member_id: 2,
            role: 2,
            alarms: vec!["the disk is almost full".into()],
            ..well.clone()
        };
        let tried = vec![Tried { endpoint: "http://c:7070".into(), answer: "connection refused".into() }];
        let answers = [
            ("http://a:7070".to_owned(), Ok(well)),
            ("http://b:7070".to_owned(), Ok(full)),
            ("http://c:7070".to_owned(), Err(Error::Unreachable { tried })),
        ];
        insta::assert_snapshot!(status(&answers), @r"
        SERVER         MEMBER  ROLE    TERM  COMMITTED  APPLIED  UP     STATE
        http://a:7070       1  leader     3        120      120  1m05s  well
        http://b:7070       2  voter      3        120      120  1m05s  alarm
        http://c:7070       -  -          -          -        -  -      connection refused

        cluster 7zq0: nodes ready 2, runs active 1, tasks running 8, waiting 4

        http://b:7070: the disk is almost full
        ");
    }

    #[test]
    fn members_show_their_role_and_how_far_their_log_is() {
        let member = |id, role, match_index, reachable| MemberView {
            id,
            role,
            address: format!("10.0.0.{id}:7071"),
            client_address: format!("10.0.0.{id}:7070"),
            match_index,
            reachable,
        };
        insta::assert_snapshot!(members(&[member(1, 1, Some(120), Some(true)), member(4, 3, None, Some(false))]), @r"
        ID  ROLE     PEERS AT       CLIENTS AT     LOG  REACHABLE
         1  leader   10.0.0.1:7071  10.0.0.1:7070  120  yes
         4  learner  10.0.0.4:7071  10.0.0.4:7070    -  no
        ");
    }
}
