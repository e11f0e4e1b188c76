//! `berth dev` and what becomes of its tasks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use berth_client::{Client, Config, Submit};

use crate::cluster::with_cluster;
use crate::daemon::Daemon;
use crate::specs;
use crate::waiting::until;
use crate::{attempts, control_groups, ports, programs};

const TASKS: u32 = 5;
const READY_WITHIN: Duration = Duration::from_secs(30);
const SHIMS_END_WITHIN: Duration = Duration::from_secs(10);

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
            let temporary = cluster.directory(if kill { "killed" } else { "stopped" })?;
            let listen = ports::free().to_string();
            let mut command = programs::command("berth");
            command.args(["dev", "--listen", &listen]).env("TMPDIR", &temporary).stdout(Stdio::null());
            let mut dev = Daemon::start("berth dev", &mut command, &cluster.path().join("dev.log"))?;
            let _rest = Rest(temporary.clone(), dev.pid());
            let running = begin_tasks(&listen, &temporary).await?;

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
