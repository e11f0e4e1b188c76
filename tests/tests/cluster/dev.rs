//! `berth dev` and what becomes of its tasks.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use berth_client::{Client, Config, Submit};

use crate::cluster::with_cluster;
use crate::command_line::says;
use crate::daemon::Daemon;
use crate::doors::shows_metrics;
use crate::specs;
use crate::waiting::until;
use crate::{attempts, control_groups, ports, programs};

const TASKS: u32 = 5;
const READY_WITHIN: Duration = Duration::from_secs(30);
const SHIMS_END_WITHIN: Duration = Duration::from_secs(10);
/// A user and a group without any rights.
const NOBODY: u32 = 65_534;

/// Kills what a failed test leaves; for one that passed there is nothing.
struct Rest(PathBuf, u32);

impl Drop for Rest {
    fn drop(&mut self) {
        if let Ok(data) = agent_dir(&self.0) {
            attempts::kill_all(&data);
        }
        control_groups::remove(&format!("berth-dev-{}-", self.1));
    }
}

#[test]
fn the_tasks_of_dev_end_with_it_however_it_ends() {
    with_cluster(0, async |cluster| {
        for kill in [true, false] {
            let name = if kill { "killed" } else { "stopped" };
            let temporary = cluster.directory(name)?;
            let log = cluster.path().join(name).with_extension("log");
            let listen = ports::free().to_string();
            let mut command = programs::command("berth");
            command.args(["dev", "--listen", &listen]).env("TMPDIR", &temporary).stdout(Stdio::null());
            let mut dev = Daemon::start("berth dev", &mut command, &log)?;
            let _rest = Rest(temporary.clone(), dev.pid());
            let running = begin_tasks(&listen, &temporary).await?;
            // The cluster takes jobs a moment before it greets.
            let metrics =
                until("the greeting", READY_WITHIN, async || metrics(&dev.log()?).map(Some)).await?;
            for address in metrics {
                shows_metrics(address, "berth_").await?;
            }

            let began = Instant::now();
            if kill {
                dev.kill()?;
            } else {
                let status = dev.stop().await?;
                ensure!(status.code() == Some(0), "{status}: {}", dev.log()?);
                ensure!(fs::read_dir(&temporary)?.next().is_none(), "an orderly end leaves no files");
            }
            until("the end of shims and tasks", SHIMS_END_WITHIN, async || {
                let processes = running.iter().flat_map(|record| [record.shim, record.task]);
                Ok((!processes.into_iter().any(attempts::lives)).then_some(()))
            })
            .await?;
            println!(
                "the tasks were gone {} ms after the end of berth dev (killed: {kill})",
                began.elapsed().as_millis()
            );
        }
        Ok(())
    });
}

/// Where they are, as the greeting says: of the server and of the agent.
fn metrics(greeting: &str) -> Result<Vec<SocketAddr>> {
    let addresses = greeting.split("http://").skip(1).filter_map(|rest| rest.split_once("/metrics"));
    let addresses = addresses.map(|(address, _)| Ok(address.parse()?)).collect::<Result<Vec<_>>>()?;
    ensure!(addresses.len() == 2, "not the addresses of a server and an agent: {greeting:?}");
    Ok(addresses)
}

#[test]
fn dev_without_root_runs_its_tasks_as_plain_children_and_says_what_is_missing() {
    with_cluster(0, async |cluster| {
        let place = cluster.directory("without-root")?;
        for path in [cluster.path(), &place] {
            fs::set_permissions(path, Permissions::from_mode(0o777))?;
        }
        // Whoever may not see the repository can still see these.
        let program = place.join("berth");
        fs::copy(programs::program("berth"), &program)?;
        specs::copy_word_count(&place)?;
        let mut command = programs::command_of(&program);
        command.args(["dev", "--run", "wordcount.yaml"]).current_dir(&place).env("TMPDIR", &place);
        if nix::unistd::geteuid().is_root() {
            #[expect(clippy::disallowed_methods, reason = "a test process is small, and forks fast enough")]
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.env("HOME", &place).stdin(Stdio::null()).output()?;
        says(&output, 0, &["less isolation here", "no writable cgroups (not root)", "succeeded"])
    });
}

async fn begin_tasks(listen: &str, temporary: &Path) -> Result<Vec<berth_shim::record::RunRecord>> {
    let client = Client::connect(Config::new([listen]))?;
    let spec = specs::shell("long", TASKS, "100m", "sleep 300")?;
    until("a run", READY_WITHIN, async || Ok(Some(client.submit(Submit::spec(spec.clone()).start()).await?)))
        .await?;
    until("running tasks", READY_WITHIN, async || {
        let running = attempts::running(&agent_dir(temporary)?)?;
        Ok((running.len() == usize::try_from(TASKS)?).then(|| running.into_values().collect()))
    })
    .await
}

fn agent_dir(temporary: &Path) -> Result<PathBuf> {
    let entry = fs::read_dir(temporary)?.next().context("dev has not made its directory")??;
    Ok(entry.path().join("agent"))
}
