//! What only a cluster knows of a spec: what never fits it, and what has to wait for a quota.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Result, ensure};
use berth_client::Submit;
use berth_client::api::TenantSpec;
use serde_json::Value;

use crate::cluster::{Cluster, with_cluster};
use crate::command_line::says;
use crate::specs;
use crate::waiting::until;

const NODE: &str = "2";

#[test]
fn what_never_fits_is_refused_by_its_limit_or_node_and_what_is_over_quota_now_is_queued() {
    with_cluster(3, async |cluster| {
        cluster.add_agent("a", NODE)?;
        cluster.node_ready("a").await?;
        let client = cluster.client()?;
        let limit = BTreeMap::from([("cpu".to_owned(), 1000)]);
        client.apply_tenant(TenantSpec { name: "small".into(), weight: 1, limit }).await?;

        never(cluster, "small", "1500m", &["the limit of tenant small is 1", "1500m cpu"])?;
        never(cluster, "default", "64", &["the largest node has 2", "64 cpu"])?;
        let error = client.submit(Submit::spec(specs::shell("sdk", 1, "64", "true")?)).await;
        let error = error.expect_err("a program of the SDK is refused too");
        ensure!(error.code() == "E402" && error.to_string().contains("the largest node has 2"), "{error}");
        beyond_all_range(cluster)?;
        over_quota_now(cluster).await
    });
}

/// Nothing of it is registered, by whichever verb.
fn never(cluster: &Cluster, tenant: &str, cpu: &str, parts: &[&str]) -> Result<()> {
    write(cluster, "never", tenant, cpu, "true")?;
    let all: Vec<&str> = ["E402", "never.yaml:9", "^", "help:"].iter().chain(parts).copied().collect();
    for (verb, exit) in [("validate", 3), ("apply", 6), ("run", 6)] {
        says(&cluster.berth(&["job", verb, "never.yaml"])?, exit, &all)?;
    }
    let job = format!("{tenant}/never");
    says(&cluster.berth(&["job", "show", &job])?, 4, &[])
}

fn beyond_all_range(cluster: &Cluster) -> Result<()> {
    let path = write(cluster, "vast", "default", "99999999999", "true")?;
    fs::write(&path, fs::read_to_string(&path)?.replace("kind: Job", "kind: Jop"))?;
    for verb in ["validate", "apply", "run"] {
        let parts =
            ["E202", "the largest node of this cluster has 2 cpu", "vast.yaml:9", "vast.yaml:2", "Jop"];
        says(&cluster.berth(&["job", verb, "vast.yaml"])?, 3, &parts)?;
    }
    let output = cluster.berth(&["job", "validate", "vast.yaml", "-o", "json"])?;
    says(&output, 3, &[])?;
    let value: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(value["valid"] == false && value.to_string().contains("largest node"), "{value}");
    Ok(())
}

async fn over_quota_now(cluster: &Cluster) -> Result<()> {
    let gate = cluster.path().join("gate");
    let wait = format!("until [ -e {} ]; do sleep 0.1; done", gate.display());
    write(cluster, "first", "small", "900m", &wait)?;
    says(&cluster.berth(&["job", "run", "first.yaml"])?, 0, &[])?;
    let client = cluster.client()?;
    until("a running task", crate::cluster::READY_WITHIN, async || {
        Ok((client.node("a").await?.attempts == 1).then_some(()))
    })
    .await?;

    write(cluster, "second", "small", "500m", "true")?;
    let quota = ["tenant small uses 900m of its 1 cpu", "it asks for 500m"];
    let all: Vec<&str> = ["E401", "warning", "accepted and queued first in line", "second.yaml:9"]
        .iter()
        .chain(&quota)
        .copied()
        .collect();
    says(&cluster.berth(&["job", "validate", "second.yaml"])?, 0, &all)?;
    let output = cluster.berth(&["job", "run", "second.yaml"])?;
    says(&output, 0, &all)?;
    let run = String::from_utf8(output.stdout)?;
    says(&cluster.berth(&["run", "show", run.trim()])?, 0, &quota)?;
    let behind = ["E401", "behind 1 task of the tenant"];
    says(&cluster.berth(&["job", "validate", "second.yaml"])?, 0, &behind)?;
    fs::write(gate, "")?;
    says(&cluster.berth(&["run", "wait", run.trim()])?, 0, &["succeeded"])
}

/// A spec of one task, whose resources stand in line 9.
fn write(cluster: &Cluster, name: &str, tenant: &str, cpu: &str, line: &str) -> Result<std::path::PathBuf> {
    let path = cluster.path().join(format!("{name}.yaml"));
    let text = format!(
        "apiVersion: berth/v1\nkind: Job\nname: {name}\ntenant: {tenant}\n\ntasks:\n  - name: work\n    \
         exec: {{ command: [\"sh\", \"-c\", \"{line}\"] }}\n    resources: {{ cpu: {cpu}, memory: 16Mi }}\n"
    );
    fs::write(&path, text)?;
    Ok(path)
}
