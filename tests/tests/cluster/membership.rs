//! Members that have lost what they knew, and their way back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use berth_client::Submit;
use berth_client::api::MemberRole;
use serde_json::Value;

use crate::cluster::{Cluster, with_cluster};
use crate::specs;
use crate::waiting::until;

const ENDS_WITHIN: Duration = Duration::from_secs(15);
const PROMOTED_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_member_with_a_lost_or_damaged_store_refuses_its_old_id_and_comes_back_under_a_new_one() {
    with_cluster(3, async |cluster| {
        register_jobs(cluster, "early").await?;
        let leader = cluster.leader().await?;
        let [lost, damaged] = [(leader + 1) % 3, (leader + 2) % 3];

        cluster.kill_server(lost)?;
        fs::remove_dir_all(&cluster.servers[lost].data_dir)?;
        refuses(cluster, lost, "another data directory").await?;
        back_under_a_new_id(cluster, lost).await?;

        register_jobs(cluster, "between").await?;
        cluster.kill_server(damaged)?;
        let log = cluster.servers[damaged].data_dir.join("raft-log.redb");
        let whole = fs::read(&log)?;
        damage_pages(&log, &whole)?;
        refuses(cluster, damaged, "damaged").await?;
        fs::write(&log, [b'x'; 100_000])?;
        refuses(cluster, damaged, "damaged").await?;
        fs::write(&log, b"")?;
        refuses(cluster, damaged, "empty").await?;
        fs::write(&log, &whole[..whole.len() / 2])?;
        refuses(cluster, damaged, "damaged").await?;
        back_under_a_new_id(cluster, damaged).await?;

        // Only their two votes can make a new leader.
        cluster.kill_server(leader)?;
        register_jobs(cluster, "late").await?;
        cluster.start_server(leader)?;
        cluster.agree().await
    });
}

async fn register_jobs(cluster: &Cluster, name: &str) -> Result<()> {
    let client = cluster.client()?;
    for number in 0..20 {
        client.submit(Submit::spec(specs::shell(&format!("{name}-{number}"), 1, "100m", "true")?)).await?;
    }
    Ok(())
}

/// Changes a byte in every page behind the header.
fn damage_pages(log: &Path, whole: &[u8]) -> Result<()> {
    let mut bytes = whole.to_owned();
    bytes.iter_mut().skip(4096 + 100).step_by(4096).for_each(|byte| *byte ^= 0xff);
    Ok(fs::write(log, bytes)?)
}

/// Starts a server as what it was, and sees it end with the way out.
async fn refuses(cluster: &mut Cluster, at: usize, why: &str) -> Result<()> {
    let known = fs::read_to_string(cluster.path().join(format!("server-{at}.log")))?.len();
    cluster.start_server(at)?;
    let mut daemon = cluster.servers[at].daemon.take().context("it was started")?;
    let status = daemon.end(ENDS_WITHIN).await?;
    let log = daemon.log()?;
    let said = log[known..].split_once("\nerror").map_or(&log[known..], |(_, said)| said);
    ensure!(status.code().is_some_and(|code| code != 0), "it ended with {status}: {said}");
    for part in [why, "berth operator remove", "berth operator add"] {
        ensure!(said.contains(part), "`{part}` is missing in: {said}");
    }
    Ok(())
}

/// The way back that the messages name, done as it is printed.
async fn back_under_a_new_id(cluster: &mut Cluster, at: usize) -> Result<()> {
    let old = &cluster.servers[at];
    let removed = cluster.berth(&["operator", "remove", &old.id.to_string()])?;
    ensure!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    let added = cluster.berth(&["operator", "add", &old.peers.to_string(), "-o", "json"])?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let added: Value = serde_json::from_slice(&added.stdout)?;
    let id = added["id"].as_u64().context("the id of the new member")?;

    let listed = cluster.berth(&["operator", "members", "-o", "json"])?;
    let listed: Value = serde_json::from_slice(&listed.stdout)?;
    let new = listed["members"].as_array().and_then(|all| all.iter().find(|member| member["id"] == id));
    ensure!(new.is_some_and(|new| new["role"] == "learner"), "it has a vote before its log: {listed}");

    let _ = fs::remove_dir_all(&old.data_dir);
    // What is left of the line are the places of this machine, which the operator fills in.
    let line = added["start"].as_str().and_then(|line| line.strip_prefix("berth server "));
    let (flags, places) =
        line.and_then(|line| line.split_once(" --data-dir DIR")).context("how it is started")?;
    ensure!(places == " --listen IP:PORT --metrics-listen IP:PORT", "{places}");
    let flags: Vec<&str> = flags.split_whitespace().collect();
    cluster.servers[at].id = id;
    cluster.start_server_with(at, &flags)?;
    let client = cluster.client()?;
    until("the promotion of the new member", PROMOTED_WITHIN, async || {
        let members = client.members().await?;
        ensure!(members.len() == 3, "{members:?}");
        let new = members.iter().find(|member| member.id == id).context("it is a member")?;
        let caught_up = new.reachable == Some(true) && new.match_index.is_some_and(|index| index > 0);
        Ok((new.role() != MemberRole::Learner && caught_up && !new.client_address.is_empty()).then_some(()))
    })
    .await?;
    cluster.agree().await
}
