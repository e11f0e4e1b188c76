//! The cgroup v2 tests in a QEMU guest.
//!
//! Many machines mount the old cgroup hierarchies, and those cannot be taken away from a running
//! host. A small guest with a stock kernel has v2 alone, under software emulation, because nested
//! hardware virtualisation cannot be relied on. It is 20 to 60 times slower than the host: what
//! runs in it asserts behaviour and never a time.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::command::{cargo, command, find, quiet, run as run_command};
use crate::kernel;
use crate::machine::Machine;
use crate::setup::{self, Missing};
use crate::workspace;

const TIMEOUT: Duration = Duration::from_secs(300);
/// The test programs whose subject is another one under control groups v2.
pub(crate) const TESTS: [&str; 2] = ["cgroup_behaviour", "exec_contract"];

/// How a guest ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// Its suite reported.
    Reported { passed: u32, failed: u32 },
    /// It never came up: a hiccup of the emulation, worth one more try.
    NotBooted,
    /// It came up and then gave no result.
    NoResult,
}

/// `cargo xtask guest [--test NAME | PROGRAM] [ARG..]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Err(missing) = ready(Machine::here())? {
        bail!("this machine lacks {}; to have it: {}", missing.what, missing.install);
    }
    let (first, rest) =
        arguments.split_first().map_or((None, arguments), |(first, rest)| (Some(first.as_str()), rest));
    match (first, rest.split_first()) {
        (None, _) => TESTS.iter().try_for_each(|name| test(name, &[])),
        (Some("--test"), Some((name, rest))) => test(name, rest),
        (Some("--test"), None) => bail!("--test wants the name of a test program"),
        (Some(program), _) => {
            let program =
                Path::new(program).canonicalize().with_context(|| format!("no program {program}"))?;
            start(&program, &[], rest)
        }
    }
}

/// Whether the guest can run here.
pub(crate) fn ready(machine: Machine) -> Result<Result<(), Missing>> {
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) || find("apt-get").is_none() {
        let what = "an x86-64 Debian or Ubuntu, whose kernel package the guest boots".to_owned();
        return Ok(Err(Missing { what, install: "run the suite on such a machine".to_owned() }));
    }
    setup::guest_tools(machine)
}

/// Builds a test program of the workspace and runs it in the guest.
pub(crate) fn test(name: &str, arguments: &[String]) -> Result<()> {
    let (program, others) = build(name)?;
    start(&program, &others, arguments)
}

/// The test program, and the programs that it starts by the absolute path known when it was built.
fn build(name: &str) -> Result<(PathBuf, Vec<PathBuf>)> {
    // --workspace, because the features of `cargo test --workspace` need nothing compiled again.
    let arguments =
        ["test", "--quiet", "--workspace", "--no-run", "--message-format=json-render-diagnostics", "--test"];
    let mut build = cargo(&arguments);
    let output = build.arg(name).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the test program {name} was not built");
    let (mut program, mut others) = (None, Vec::new());
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let Some(executable) = message["executable"].as_str().map(PathBuf::from) else { continue };
        if message["target"]["name"] == name {
            program = Some(executable);
        } else {
            others.push(executable);
        }
    }
    Ok((program.context("cargo named no test program")?, others))
}

fn start(program: &Path, others: &[PathBuf], arguments: &[String]) -> Result<()> {
    let kernel = kernel::image()?;
    let archive = pack(program, others, arguments)?;
    let mut ending = boot(&kernel, &archive)?;
    if ending == Ending::NotBooted {
        println!("guest: not booted; trying once more");
        ending = boot(&kernel, &archive)?;
    }
    match ending {
        Ending::Reported { passed: 0, failed: 0 } => bail!("no test ran in the guest"),
        Ending::Reported { failed: 0, .. } => Ok(()),
        Ending::Reported { failed, .. } => bail!("{failed} tests failed in the guest"),
        Ending::NotBooted => bail!("the guest did not boot, twice"),
        Ending::NoResult => bail!("the guest ended, or {} s passed, without a result", TIMEOUT.as_secs()),
    }
}

/// Packs programs, their shared libraries, busybox and the two scripts of `tests/guest` into an
/// initramfs.
fn pack(program: &Path, others: &[PathBuf], arguments: &[String]) -> Result<PathBuf> {
    let folder = workspace::target().join("guest");
    let root = folder.join("root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    for name in ["bin", "etc", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::copy(find("busybox").context("no busybox")?, root.join("bin/busybox"))?;
    let scripts = workspace::root().join("tests/guest");
    for script in ["init", "suite"] {
        fs::copy(scripts.join(script), root.join(script))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    fs::write(root.join("arguments"), arguments.join("\n"))?;
    place(program, &root.join("program"))?;
    for other in others {
        place(other, &inside(&root, other))?;
    }
    for library in
        libraries(program)?.into_iter().chain(others.iter().flat_map(|other| libraries(other)).flatten())
    {
        let there = inside(&root, &library);
        fs::create_dir_all(there.parent().context("a library in no folder")?)?;
        fs::copy(&library, there)?;
    }
    let archive = folder.join("initramfs");
    let list = "find . -print0 | cpio --quiet --null --create --format=newc --owner=0:0";
    run_command(command("sh", &["-c", list]).current_dir(&root).stdout(File::create(&archive)?))?;
    Ok(archive)
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Copies a program without its debugging information, which is most of its size.
fn place(program: &Path, there: &Path) -> Result<()> {
    fs::create_dir_all(there.parent().context("a program in no folder")?)?;
    if quiet(command("strip", &["-o"]).arg(there).arg(program)).is_err() {
        fs::copy(program, there)?;
    }
    Ok(())
}

/// The shared libraries of a program and its loader; none for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let Ok(text) = quiet(command("ldd", &[]).arg(program)) else { return Ok(Vec::new()) };
    let words = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(PathBuf::from).collect())
}

/// Boots once and shows what the guest writes.
fn boot(kernel: &Path, archive: &Path) -> Result<Ending> {
    // kvm is not asked for even where it opens: nested, it hangs at full load.
    let machine = "-accel tcg,thread=multi -M q35 -cpu max -smp 2 -m 1024 -nodefaults -no-reboot -display none -serial stdio";
    let arguments: Vec<&str> = machine.split(' ').collect();
    let began = Instant::now();
    let child = command("qemu-system-x86_64", &arguments)
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(archive)
        .args(["-append", "console=ttyS0 quiet panic=-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start qemu-system-x86_64")?;
    let ending = watch(child, began)?;
    println!("guest: ended after {:.1} s", began.elapsed().as_secs_f64());
    Ok(ending)
}

fn watch(mut child: Child, began: Instant) -> Result<Ending> {
    let output = BufReader::new(child.stdout.take().context("qemu has no output")?);
    let (lines, received) = sync_channel(1024);
    // Ends with the guest, whose end closes its output.
    std::thread::spawn(move || {
        for line in output.split(b'\n').map_while(Result::ok) {
            if lines.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    let mut ending = Ending::NotBooted;
    loop {
        match received.recv_timeout(TIMEOUT.saturating_sub(began.elapsed())) {
            Ok(line) => {
                println!("guest| {line}");
                if line.contains("GUEST BOOTED") {
                    ending = Ending::NoResult;
                } else if let Some((_, result)) = line.split_once("GUEST RESULT ") {
                    ending = reported(result).context("the guest's result has no counts")?;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                println!("guest: ended by force after {} s", TIMEOUT.as_secs());
                child.kill()?;
                break;
            }
        }
    }
    child.wait()?;
    Ok(ending)
}

/// Reads `30 passed, 0 failed`.
fn reported(result: &str) -> Option<Ending> {
    let mut words = result.split_whitespace();
    let passed = words.next()?.parse().ok()?;
    Some(Ending::Reported { passed, failed: words.nth(1)?.parse().ok()? })
}
