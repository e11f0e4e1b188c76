//! Whether a container has the program that it is to run.
//!
//! The engine starts an init, and that would end with code 127 if it did not find the program. Asked
//! before, a missing program is what it is: a task that cannot be started.

use berth_shim::{DEFAULT_PATH, WORK_DIR};
use bollard::models::ImageConfig;

use super::engine::{Engine, Error};
use crate::executor::Launch;

/// The permissions of which an executable file has one.
const EXECUTABLE: u32 = 0o111;
/// Go's bit of a directory.
const DIRECTORY: u32 = 1 << 31;
/// Symbolic links that are followed in a row.
const LINKS_MAX: usize = 16;

/// Looks for the program of a container that was made; the error is a text for the user.
pub(super) async fn check(
    engine: &Engine,
    container: &str,
    launch: &Launch,
    (image_name, command): (&str, &[String]),
    image: &ImageConfig,
) -> Result<(), String> {
    let own = if command.is_empty() { image.cmd.as_deref().unwrap_or_default() } else { command };
    let Some(program) = image.entrypoint.iter().flatten().chain(own).next() else {
        return Err(format!("no command: the task has none, and neither has the image `{image_name}`"));
    };
    let mut found = Ok(Finding::Nothing);
    for path in candidates(program, launch, image) {
        found = look(engine, container, path).await;
        if !matches!(found, Ok(Finding::Nothing)) {
            break;
        }
    }
    match found {
        Ok(Finding::Program) => Ok(()),
        Ok(Finding::Nothing) => Err(format!("the image `{image_name}` has no program `{program}`")),
        Ok(Finding::NoProgram) => {
            Err(format!("`{program}` in the image `{image_name}` is not an executable file"))
        }
        // The start itself will tell.
        Err(error) => {
            tracing::debug!(container, %error, "the program cannot be looked for");
            Ok(())
        }
    }
}

fn candidates(program: &str, launch: &Launch, image: &ImageConfig) -> Vec<String> {
    if program.starts_with('/') {
        return vec![program.to_owned()];
    }
    if program.contains('/') {
        let dir = image.working_dir.as_deref().unwrap_or_default().trim_end_matches('/');
        return match dir {
            // The task's own directory: what is there is not the image's matter.
            "" => Vec::from([launch.dir.join(WORK_DIR).join(program).display().to_string()]),
            dir => vec![format!("{dir}/{program}")],
        };
    }
    let given = launch.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_str());
    let own = || image.env.iter().flatten().find_map(|variable| variable.strip_prefix("PATH="));
    let path = given.or_else(own).unwrap_or(DEFAULT_PATH);
    path.split(':').filter(|dir| !dir.is_empty()).map(|dir| format!("{dir}/{program}")).collect()
}

#[derive(Debug)]
enum Finding {
    Program,
    NoProgram,
    Nothing,
}

async fn look(engine: &Engine, container: &str, mut path: String) -> Result<Finding, Error> {
    for _ in 0..LINKS_MAX {
        match engine.stat(container, &path).await? {
            None => return Ok(Finding::Nothing),
            Some(stat) if !stat.link.is_empty() => path = stat.link,
            Some(stat) if stat.mode & EXECUTABLE != 0 && stat.mode & DIRECTORY == 0 => {
                return Ok(Finding::Program);
            }
            Some(_) => return Ok(Finding::NoProgram),
        }
    }
    Ok(Finding::Nothing)
}
