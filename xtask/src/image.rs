//! The image that container tests run: a static busybox and nothing else, imported from a local
//! folder, so that no registry is needed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::command::{command, find, quiet};
use crate::http;
use crate::workspace;

/// Its name.
pub(crate) const NAME: &str = "berth-test:local";

/// Imports the image unless the engine has it.
pub(crate) fn ensure_imported(socket: &Path) -> Result<()> {
    let (status, _) = http::request(socket, "GET", &format!("/images/{NAME}/json"), b"")?;
    if status == 200 {
        return Ok(());
    }
    let root = workspace::target().join("docker/image");
    make_root(&root)?;
    let packed = command("tar", &["--numeric-owner", "--owner=0", "--group=0", "-C"])
        .arg(&root)
        .args(["-c", "."])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start tar")?;
    ensure!(packed.status.success(), "tar failed: {}", packed.status);
    let (name, tag) = NAME.split_once(':').expect("the name has a tag");
    let path = format!("/images/create?fromSrc=-&repo={name}&tag={tag}");
    let (status, answer) = http::request(socket, "POST", &path, &packed.stdout)?;
    // Failures after the first byte come inside a 200.
    ensure!(status == 200 && !answer.contains("\"error\""), "the engine refused the image {NAME}:\n{answer}");
    println!("imported the image {NAME}");
    Ok(())
}

/// A root file system of busybox with all its names.
fn make_root(root: &Path) -> Result<()> {
    let busybox = find("busybox").context("no busybox")?;
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    for folder in ["bin", "etc", "tmp", "proc", "sys", "dev", "usr/bin"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::copy(&busybox, root.join("bin/busybox"))?;
    for applet in
        quiet(command("busybox", &["--list"]).env("PATH", busybox.parent().context("no folder")?))?.lines()
    {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet))?;
        }
    }
    symlink("/bin/env", root.join("usr/bin/env"))?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    Ok(())
}
