//! Making the machine ready for the full suite, or saying what it lacks.

use anyhow::{Result, bail};

use crate::command::find;
use crate::docker::{Engine, Life};
use crate::image;
use crate::machine::Machine;

/// Something that a step needs and the machine does not have.
#[derive(Clone, Debug)]
pub(crate) struct Missing {
    /// What it is.
    pub(crate) what: String,
    /// The command that brings it.
    pub(crate) install: String,
}

/// `cargo xtask setup`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {}
        [stop] if stop == "--stop" => return Engine::stop_kept(),
        _ => bail!("setup takes nothing but --stop"),
    }
    let machine = Machine::here();
    if let Err(missing) = guest_tools(machine)? {
        println!("the guest tests lack {}\n  {}", missing.what, missing.install);
    }
    match docker(machine, Life::Kept)? {
        Ok(engine) => {
            println!("a Docker engine answers; for tests started by hand:");
            println!("  export BERTH_TEST_DOCKER_HOST={}", engine.host());
            println!("a private one is ended by: cargo xtask setup --stop");
            engine.keep();
        }
        Err(missing) => println!("the Docker tests lack {}\n  {}", missing.what, missing.install),
    }
    Ok(())
}

/// A Docker engine that answers and has the test image. Under `CI=true` it is installed and started
/// where it is missing; elsewhere an installed one is started when this user may.
pub(crate) fn docker(machine: Machine, life: Life) -> Result<Result<Engine, Missing>> {
    let packages = ["docker.io", "busybox-static"];
    let lacking = |what: &str| Missing { what: what.to_owned(), install: machine.install_command(&packages) };
    let running = Engine::running();
    let engine_here = running.is_some() || find("dockerd").is_some();
    if !engine_here || find("busybox").is_none() {
        if !machine.ci {
            let what = if engine_here { "a static busybox for the test image" } else { "a Docker engine" };
            return Ok(Err(lacking(what)));
        }
        machine.install(&packages)?;
    }
    let engine = match running {
        Some(engine) => engine,
        // The package may have started the system's own engine.
        None => match Engine::running() {
            Some(engine) => engine,
            None if machine.root => Engine::start(life)?,
            None => {
                let what = "a Docker engine that answers (one is installed)".to_owned();
                return Ok(Err(Missing { what, install: "sudo systemctl start docker".to_owned() }));
            }
        },
    };
    image::ensure_imported(engine.socket())?;
    Ok(Ok(engine))
}

/// The programs that the QEMU guest is made and run with.
pub(crate) fn guest_tools(machine: Machine) -> Result<Result<(), Missing>> {
    let needed = [("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("cpio", "cpio")];
    let missing: Vec<_> = needed.iter().filter(|(program, _)| find(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(Ok(()));
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    if machine.ci {
        machine.install(&packages)?;
        return Ok(Ok(()));
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    Ok(Err(Missing { what: programs.join(", "), install: machine.install_command(&packages) }))
}
