//! What the command line says and by which codes it ends, beside a real cluster.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cluster::{Cluster, with_cluster};
use crate::{ports, programs};

const GOOD: &str = r#"
apiVersion: berth/v1
kind: Job
name: good
tenant: default
tasks:
  - name: work
    exec: { command: ["sh", "-c", "echo out; echo err >&2; exit CODE"] }
    resources: { cpu: 100m, memory: 16Mi }
"#;

#[test]
fn a_waiting_command_ends_by_how_the_run_ended() {
    with_cluster(3, async |cluster| {
        cluster.add_agent("a", "1")?;
        cluster.node_ready("a").await?;
        for (file, code, exit, word) in [("good.yaml", 0, 0, "succeeded"), ("bad.yaml", 3, 20, "failed")] {
            fs::write(cluster.path().join(file), GOOD.replace("CODE", &code.to_string()))?;
            let output = cluster.berth(&["job", "run", file, "--wait"])?;
            says(&output, exit, &[word])?;
            let output = cluster.berth(&["job", "run", file, "--wait", "-o", "json"])?;
            says(&output, exit, &[])?;
            let documents = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
            let documents: Vec<Value> = documents.collect::<Result<_, _>>()?;
            let last = documents.last().context("it prints how the run ended")?;
            ensure!(last["state"] == "ended" && last["tasks"] == 1, "{last}");
            let run = last["id"].as_str().context("the run has an id")?.to_owned();
            let logs = cluster.berth(&["logs", &run])?;
            says(&logs, 0, &["out"])?;
        }
        every_list_is_json(cluster)?;
        specs_with_mistakes(cluster)?;
        a_cancelled_run_has_cancelled_steps(cluster)?;
        losing_the_cluster_says_that_the_run_goes_on(cluster)
    });
}

fn a_cancelled_run_has_cancelled_steps(cluster: &Cluster) -> Result<()> {
    fs::write(cluster.path().join("long.yaml"), GOOD.replace("exit CODE", "sleep 60"))?;
    let run = String::from_utf8(cluster.berth(&["job", "run", "long.yaml"])?.stdout)?;
    says(&cluster.berth(&["run", "cancel", run.trim()])?, 0, &[])?;
    says(&cluster.berth(&["run", "wait", run.trim()])?, 20, &["cancelled"])?;
    let output = cluster.berth(&["run", "show", run.trim(), "-o", "json"])?;
    let shown: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(shown["steps"][0]["state"] == "cancelled", "{shown}");
    Ok(())
}

fn losing_the_cluster_says_that_the_run_goes_on(cluster: &mut Cluster) -> Result<()> {
    let mut command = cluster.command();
    let command = command.args(["job", "run", "long.yaml", "--wait", "--timeout", "3s"]);
    let mut waiting = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut told = BufReader::new(waiting.stderr.take().context("it is piped")?);
    let mut first = String::new();
    told.read_line(&mut first)?;
    ensure!(first.starts_with("run "), "{first}");
    for server in 0..cluster.servers.len() {
        cluster.kill_server(server)?;
    }
    let mut stderr = Vec::new();
    told.read_to_end(&mut stderr)?;
    let output = Output { status: waiting.wait()?, stdout: Vec::new(), stderr };
    says(&output, 7, &["runs go on with their cluster", "berth run wait "])
}

fn every_list_is_json(cluster: &Cluster) -> Result<()> {
    for arguments in [
        "job list",
        "job show good",
        "run list",
        "node list",
        "node show a",
        "tenant list",
        "tenant show default",
        "operator members",
        "operator status",
    ] {
        let arguments: Vec<&str> = arguments.split(' ').chain(["-o", "json"]).collect();
        let output = cluster.berth(&arguments)?;
        says(&output, 0, &[])?;
        let value: Value =
            serde_json::from_slice(&output.stdout).with_context(|| format!("{arguments:?}"))?;
        ensure!(value.is_object(), "{arguments:?}: {value}");
    }
    let output = cluster.berth(&["run", "show", "000000", "-o", "json"])?;
    says(&output, 4, &[])?;
    let error: Value = serde_json::from_slice(&output.stderr)?;
    ensure!(error["error"]["exit"] == 4, "{error}");
    Ok(())
}

fn specs_with_mistakes(cluster: &Cluster) -> Result<()> {
    let text = GOOD.replace("resources", "resorces").replace("kind: Job", "kind: Jop");
    fs::write(cluster.path().join("wrong.yaml"), text)?;
    for verb in ["run", "validate"] {
        let output = cluster.berth(&["job", verb, "wrong.yaml"])?;
        says(&output, 3, &["wrong.yaml:3", "wrong.yaml:9", "resorces", "resources", "Jop", "^"])?;
    }
    // Only the cluster knows that.
    fs::write(cluster.path().join("nobody.yaml"), GOOD.replace("tenant: default", "tenant: nobody"))?;
    let output = cluster.berth(&["job", "run", "nobody.yaml"])?;
    says(&output, 4, &["nobody"])
}

#[test]
fn an_unreachable_cluster_is_told_with_each_server_and_its_answer() {
    with_cluster(1, async |cluster| {
        let silent = [ports::free().to_string(), ports::free().to_string()];
        let arguments = ["node", "list", "--timeout", "500ms", "--server", &silent.join(",")];
        let output = cluster.berth(&arguments)?;
        says(&output, 7, &["E501", &silent[0], &silent[1], "refused"])?;

        // One that answers is enough.
        let output = cluster.berth(&[
            "node",
            "list",
            "--server",
            &format!("{},{}", silent[0], cluster.endpoints()),
        ])?;
        says(&output, 0, &[])
    });
}

#[test]
fn a_daemon_refuses_what_would_harm_the_cluster() {
    with_cluster(1, async |cluster| {
        let agent = cluster.add_agent("a", "1")?;
        cluster.node_ready("a").await?;
        let server = cluster.servers[0].data_dir.display().to_string();
        let agent = cluster.agents[agent].data_dir.display().to_string();
        let any = "127.0.0.1:0";
        let listen = ["--listen", any, "--peer-listen", any, "--metrics-listen", any];

        let second = berth(&[&["server", "--data-dir", &server][..], &listen].concat())?;
        let owner =
            |daemon: &Option<crate::daemon::Daemon>| daemon.as_ref().map_or(0, |d| d.pid()).to_string();
        says(&second, 1, &["in use by process", &owner(&cluster.servers[0].daemon), &server])?;
        let second = berth(&["agent", "--data-dir", &agent, "--metrics-listen", any])?;
        says(&second, 1, &["in use by process", &owner(&cluster.agents[0].daemon), &agent])?;

        let new = cluster.path().join("new").display().to_string();
        let open = berth(&["server", "--data-dir", &new, "--listen", "0.0.0.0:0", "--peer-listen", any])?;
        says(&open, 3, &["--insecure", "0.0.0.0:0"])?;
        let open = berth(&["agent", "--data-dir", &new, "--metrics-listen", "0.0.0.0:0"])?;
        says(&open, 3, &["--insecure", "0.0.0.0:0"])?;

        let file = cluster.path().join("berth.toml");
        fs::write(&file, "[server]\nlisten = \"127.0.0.1:0\"\ndata_dri = \"/nowhere\"\n")?;
        let unknown = berth(&["server", "--config", &file.display().to_string()])?;
        says(&unknown, 3, &["data_dri", "data_dir", "berth.toml"])?;
        ensure!(!cluster.path().join("new").exists(), "a refused daemon made its directory");
        Ok(())
    });
}

/// A command without any cluster in its environment.
fn berth(arguments: &[&str]) -> Result<Output> {
    Ok(programs::command("berth").args(arguments).output()?)
}

/// Holds a command to its exit code, and to what is in all that it printed.
pub(crate) fn says(output: &Output, exit: i32, parts: &[&str]) -> Result<()> {
    let text = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
    ensure!(output.status.code() == Some(exit), "ended with {}, not {exit}:\n{text}", output.status);
    for part in parts {
        ensure!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    Ok(())
}
