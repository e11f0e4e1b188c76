//! What this machine is, and installing from its distribution.

use std::env;

use anyhow::Result;

use crate::command::{command, find, quiet};

/// The machine, as far as it decides what can be installed and started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// `CI=true`: install what is missing, and count a skip as a failure.
    pub(crate) ci: bool,
    /// Whether this process is root.
    pub(crate) root: bool,
    /// Whether packages come by apt.
    apt: bool,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let root = quiet(&mut command("id", &["-u"])).is_ok_and(|id| id.trim() == "0");
        let ci = env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        Self { ci, root, apt: find("apt-get").is_some() }
    }

    /// The command a person types to install packages.
    pub(crate) fn install_command(self, packages: &[&str]) -> String {
        let sudo = if self.root { "" } else { "sudo " };
        let packages = packages.join(" ");
        if self.apt {
            format!("{sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends {packages}")
        } else {
            format!("install what Debian calls {packages}, with this system's own package manager")
        }
    }

    /// Installs packages in silence; its output is shown when it fails.
    pub(crate) fn install(self, packages: &[&str]) -> Result<()> {
        anyhow::ensure!(self.apt, "this system has no apt-get: {}", self.install_command(packages));
        println!("installing {}", packages.join(" "));
        quiet(&mut self.apt_get(&["update", "-qq"]))?;
        let install = ["install", "-y", "-qq", "--no-install-recommends"];
        quiet(&mut self.apt_get(&[&install, packages].concat()))?;
        Ok(())
    }

    fn apt_get(self, arguments: &[&str]) -> std::process::Command {
        let environment = "DEBIAN_FRONTEND=noninteractive";
        if self.root {
            command("env", &[&[environment, "apt-get"], arguments].concat())
        } else {
            // -n: nobody is there to type a password.
            command("sudo", &[&["-n", "env", environment, "apt-get"], arguments].concat())
        }
    }
}
