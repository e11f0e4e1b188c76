//! The programs under test, built once.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// All that the tests start.
const PROGRAMS: [&str; 3] = ["berth", "submit_and_wait", "watch_and_logs"];

/// A program by its name; the first call builds all of them.
pub(crate) fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(folder).join(name)
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the repository")
}

/// A command that hears nothing of Berth from the environment of the tests.
pub(crate) fn command(name: &str) -> Command {
    command_of(&program(name))
}

/// The same for a program that is somewhere else.
pub(crate) fn command_of(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (key, _) in env::vars_os() {
        if key.to_string_lossy().starts_with("BERTH_") {
            command.env_remove(key);
        }
    }
    command
}

fn folder() -> PathBuf {
    if let Some(folder) = env::var_os("BERTH_TEST_PROGRAMS") {
        return folder.into();
    }
    // target/PROFILE/deps/this-test
    let this = env::current_exe().expect("a test knows its own file");
    let folder =
        this.ancestors().nth(2).expect("tests are built into a folder of the target folder").to_owned();
    let target = folder.parent().expect("profiles are folders of the target folder");
    // As for the whole workspace, so that libraries are compiled once for all programs.
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(repository()).args(["build", "--quiet", "--workspace"]);
    build.arg("--target-dir").arg(target);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    build.args(PROGRAMS.iter().flat_map(|name| ["--bin", name]));
    let status = build.status().expect("cargo can be started");
    assert!(status.success(), "the programs cannot be built: {status}");
    folder
}
