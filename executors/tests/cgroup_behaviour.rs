//! What control groups do on this machine, and what the exec executor makes of them: limits, OOM,
//! kill, freeze, counters, and nothing left over.
//!
//! One binary that needs nothing but a kernel with `/proc` and control groups: it is its own shim and
//! its own misbehaving task, so that the very same file runs on the host and in a guest with another
//! cgroup version. Prints `N passed, N failed`; without rights to control groups it says so and
//! counts as skipped.

#![allow(clippy::print_stdout, reason = "a test program that prints its results")]
#![allow(clippy::print_stderr, reason = "a test program that prints its results")]
#![allow(clippy::unwrap_used, reason = "a test program")]

#[path = "behaviour/deeds.rs"]
mod deeds;
#[path = "behaviour/executor.rs"]
mod executor;
#[path = "behaviour/groups.rs"]
mod groups;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use berth_executors::cgroups::{self, Mounts};

/// A named rule.
type Case = (&'static str, fn());

/// The root group of this run.
fn root() -> String {
    format!("berth-behaviour-{}", std::process::id())
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if berth_shim::is_shim(&args) {
        return berth_shim::main(&args);
    }
    if let Some(deed) = args.get(1).and_then(|deed| deed.to_str()).and_then(|deed| deed.strip_prefix("deed:"))
    {
        return deeds::act(deed);
    }
    if args.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    match cgroups::detect(&root()) {
        Ok(found) => println!("control groups: {}", found.mode()),
        Err(error) => {
            eprintln!("SKIPPED: no control groups to test with: {error}");
            println!("0 passed, 0 failed, all skipped");
            return ExitCode::SUCCESS;
        }
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in groups::CASES.iter().chain(executor::CASES) {
        let began = Instant::now();
        let ok = catch_unwind(case).is_ok();
        println!("{} {name} ({} ms)", if ok { "ok    " } else { "FAILED" }, began.elapsed().as_millis());
        if ok { passed += 1 } else { failed += 1 }
    }
    match clean_up() {
        0 => passed += 1,
        left => {
            println!("FAILED nothing is left over: {left} groups");
            failed += 1;
        }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

/// Removes the groups of this run; gives the number of those that were left in use.
fn clean_up() -> usize {
    let mounts = Mounts::read().unwrap();
    let mut left = 0;
    for mount in mounts.v1.values().chain(&mounts.unified) {
        let root = mount.join(root());
        for dir in [root.join("attempts"), root.join("shims"), root] {
            let deadline = Instant::now() + Duration::from_secs(5);
            while dir.exists() && std::fs::remove_dir(&dir).is_err() {
                if Instant::now() > deadline {
                    left += 1;
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    left
}

/// Waits for a condition; generous, because the guest is emulated.
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}
