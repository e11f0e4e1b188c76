//! A process that runs beside the test and never outlives it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::waiting::until;

/// How many lines of its log are shown when a test fails.
const LINES_SHOWN: usize = 25;

/// A child; killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; what it writes to stderr is added to the file `log`, and stdout is what `command` says.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Daemon> {
        let stderr = File::options().create(true).append(true).open(log)?;
        let child = command.stdin(Stdio::null()).stderr(stderr).spawn();
        let child = child.with_context(|| format!("cannot start {name}"))?;
        Ok(Daemon { name: name.to_owned(), child, log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for its orderly end.
    pub(crate) async fn stop(&mut self) -> Result<ExitStatus> {
        signal(self.pid(), Signal::SIGTERM)?;
        self.end(Duration::from_secs(20)).await
    }

    /// Waits for its own end.
    pub(crate) async fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        until(&what, within, async || Ok(self.child.try_wait()?)).await
    }

    /// What it has written to stderr so far.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// The end of its log, for a test that failed.
    #[expect(clippy::print_stdout, reason = "it is a part of what a failed test says")]
    pub(crate) fn show(&self) {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
        println!("--- {} ({} lines)\n{}", self.name, lines.len(), last.join("\n"));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Sends a signal to a process that the test has started.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).context("a pid")?;
    kill(Pid::from_raw(pid), signal).with_context(|| format!("cannot signal process {pid}"))
}
