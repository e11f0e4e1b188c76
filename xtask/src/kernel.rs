//! The guest's kernel: the distribution's cloud kernel, downloaded and unpacked, never installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::command::{command, quiet};
use crate::workspace;

/// Packages that stand for the newest kernel for virtual machines, on Debian and on Ubuntu.
const META_PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-virtual"];

/// The kernel's image file, brought when it is not there yet.
pub(crate) fn image() -> Result<PathBuf> {
    let folder = workspace::target().join("guest/kernel");
    if let Some(image) = unpacked(&folder) {
        return Ok(image);
    }
    fs::create_dir_all(&folder)?;
    let package = META_PACKAGES.iter().find_map(|meta| newest(meta));
    let package = package.context("apt knows no cloud kernel; apt-get update may help")?;
    println!("downloading {package}");
    // Root may read the folder, apt's own user may not.
    let download = ["-qq", "-o", "APT::Sandbox::User=root", "download", &package];
    quiet(command("apt-get", &download).current_dir(&folder))?;
    let archive = entries(&folder)?.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let archive = archive.context("apt-get downloaded nothing")?;
    quiet(command("dpkg-deb", &["-x"]).arg(&archive).arg(&folder))?;
    // Modules are not used in the guest and take four times the kernel's space.
    fs::remove_dir_all(folder.join("lib")).or_else(|_| fs::remove_dir_all(folder.join("usr/lib")))?;
    fs::remove_file(archive)?;
    unpacked(&folder).context("the kernel package holds no boot/vmlinuz-*")
}

/// The package that a meta package depends on at present.
fn newest(meta: &str) -> Option<String> {
    let text = quiet(&mut command("apt-cache", &["depends", meta])).ok()?;
    let depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    depends.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

fn unpacked(folder: &Path) -> Option<PathBuf> {
    let files = entries(&folder.join("boot")).ok()?;
    files
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}
