//! Starting the task: everything is prepared first, so that little is left to do between clone and
//! exec, where nothing is allocated.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, write};

use crate::init;
use crate::record::Order;
use crate::sandbox::{self, Step};
use crate::sys::{self, ExecStrings};

/// The task's working directory within the attempt's.
pub const WORK_DIR: &str = "task";
/// Its directory for temporary files.
pub const TMP_DIR: &str = "tmp";
/// Where programs are looked for when the task's environment has no `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A task that runs.
#[derive(Debug)]
pub(crate) struct Task {
    /// The shim's child: the init, or without namespaces the program itself.
    pub(crate) child: Pid,
    pub(crate) stdout: File,
    pub(crate) stderr: File,
    /// Where the init tells how the program ended.
    pub(crate) status: Option<File>,
}

/// Why a task could not be started; worded for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("program `{program}` was not found in PATH ({path})")]
    NotInPath { program: String, path: String },
    #[error("`{0}` holds a NUL character")]
    Nul(String),
    #[error("cannot {what}: {source}")]
    Prepare { what: String, source: io::Error },
    #[error("cannot {what}: {errno}")]
    Child { what: String, errno: Errno },
}

/// What the child needs, made beforehand.
struct Prepared {
    program: CString,
    arguments: ExecStrings,
    environment: ExecStrings,
    work_dir: CString,
    null: File,
    stdout: OwnedFd,
    stderr: OwnedFd,
    failure: OwnedFd,
    status: Option<OwnedFd>,
    open_files: Option<u64>,
    /// The `tasks` files of v1 groups.
    joins: Vec<File>,
}

/// Starts the task of an order in the current directory, and waits until its program has begun.
pub(crate) fn launch(order: &Order) -> Result<Task, Error> {
    let prepare = |what: &str| {
        let what = what.to_owned();
        move |source: io::Error| Error::Prepare { what, source }
    };
    let (stdout, stdout_end) = pipe().map_err(prepare("make a pipe"))?;
    let (stderr, stderr_end) = pipe().map_err(prepare("make a pipe"))?;
    let (failure, failure_end) = pipe().map_err(prepare("make a pipe"))?;
    let (status, status_end) = if order.namespaces {
        let (status, end) = pipe().map_err(prepare("make a pipe"))?;
        (Some(File::from(status)), Some(end))
    } else {
        (None, None)
    };
    let unified = order.groups.unified.as_deref();
    let group = unified.map(open_dir).transpose().map_err(prepare("open the control group"))?;
    let work_dir = std::env::current_dir().map_err(prepare("find the attempt's directory"))?.join(WORK_DIR);
    let prepared = Prepared {
        program: c_string(find(order, &work_dir)?.as_os_str().as_bytes())?,
        arguments: strings(order.command.iter().cloned())?,
        environment: strings(order.environment.iter().map(|(key, value)| format!("{key}={value}")))?,
        work_dir: c_string(work_dir.as_os_str().as_bytes())?,
        null: OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(prepare("open /dev/null"))?,
        stdout: stdout_end,
        stderr: stderr_end,
        failure: failure_end,
        status: status_end,
        open_files: order.open_files,
        joins: open_joins(order).map_err(prepare("open the control group"))?,
    };
    let child = || prepared.run(failure.as_fd());
    let child = sys::clone_process(order.namespaces, group.as_ref().map(File::as_fd), child)
        .map_err(prepare(if order.namespaces { "make a pid namespace" } else { "fork" }))?;
    let child = Pid::from_raw(child);
    // The child holds the other ends now; with ours closed, an empty read means exec.
    drop(prepared);
    if let Some(error) = read_failure(failure, order) {
        // It ends right after its report.
        let _ = waitpid(child, None);
        return Err(error);
    }
    for end in [&stdout, &stderr] {
        let _ = fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
    }
    Ok(Task { child, stdout: stdout.into(), stderr: stderr.into(), status })
}

impl Prepared {
    /// The child's way from clone to exec. Gives an exit code only when that failed. `reader` is the shim's end of
    /// the failure pipe: this process has a copy of it, and while it has, the shim's end never looks gone.
    fn run(&self, reader: BorrowedFd<'_>) -> i32 {
        // Nobody uses this copy: the child never returns to the code that owns the original.
        let _ = nix::unistd::close(reader.as_raw_fd());
        match self.become_task() {
            Ok(code) => code,
            Err((step, errno)) => {
                self.report(step, errno);
                127
            }
        }
    }

    fn become_task(&self) -> Result<i32, (Step, Errno)> {
        // Without its shim a task has nobody to record its end: it goes too.
        let _ = set_pdeathsig(Signal::SIGKILL);
        if self.shim_is_gone() {
            return Ok(1);
        }
        for join in &self.joins {
            // "0" is the writer itself. Through `tasks`, and not `cgroup.procs`, the kernel need not
            // halt every fork and exec on the machine: this process has one thread.
            write(join, b"0").map_err(|error| (Step::JoinGroup, error))?;
        }
        let fork = |error| (Step::Fork, error);
        dup2_stdin(&self.null).map_err(fork)?;
        dup2_stdout(&self.stdout).map_err(fork)?;
        dup2_stderr(&self.stderr).map_err(fork)?;
        let Some(status) = &self.status else { return Err(self.exec()) };
        sandbox::prepare_mounts();
        let task = sys::clone_process(false, None, || {
            let (step, errno) = self.exec();
            self.report(step, errno);
            127
        })
        .map_err(|_| fork(Errno::last()))?;
        Ok(init::run(Pid::from_raw(task), status.as_fd(), self.null.as_fd()))
    }

    /// Becomes the program; comes back with what went wrong.
    fn exec(&self) -> (Step, Errno) {
        if let (Some(soft), Ok((_, hard))) = (self.open_files, getrlimit(Resource::RLIMIT_NOFILE)) {
            // Where it is refused the task may have more, and not less, than it expects.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard);
        }
        match sandbox::enter(&self.work_dir) {
            Ok(()) => (Step::Exec, sys::exec(&self.program, &self.arguments, &self.environment)),
            Err(error) => error,
        }
    }

    fn report(&self, step: Step, errno: Errno) {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&step.number().to_le_bytes());
        bytes[4..].copy_from_slice(&(errno as i32).to_le_bytes());
        let _ = write(&self.failure, &bytes);
    }

    /// Whether the shim died before its death could be told: then nobody reads the pipe any more.
    fn shim_is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self.failure.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// Waits until the program has begun (`None`) or the child has told why not.
fn read_failure(failure: OwnedFd, order: &Order) -> Option<Error> {
    let mut bytes = [0; 8];
    if File::from(failure).read_exact(&mut bytes).is_err() {
        return None;
    }
    let number = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let what = match Step::from_number(number(0)) {
        Some(Step::JoinGroup) => "join the control group".to_owned(),
        Some(Step::Fork) => "fork in the new namespace".to_owned(),
        Some(Step::WorkDir) => format!("enter the working directory `{WORK_DIR}`"),
        Some(Step::Exec) => format!("run `{}`", order.command[0]),
        Some(Step::Session) | None => "prepare the task's process".to_owned(),
    };
    Some(Error::Child { what, errno: Errno::from_raw(number(4)) })
}

/// The program's path: as given when it has a slash, else the first match in the task's `PATH`.
fn find(order: &Order, work_dir: &Path) -> Result<PathBuf, Error> {
    let program = &order.command[0];
    if program.contains('/') {
        return Ok(program.into());
    }
    let path = order.environment.iter().rev().find(|(key, _)| key == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
    std::env::split_paths(path)
        .map(|dir| work_dir.join(dir).join(program))
        .find(|candidate| is_program(candidate))
        .ok_or_else(|| Error::NotInPath { program: program.clone(), path: path.to_owned() })
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn open_dir(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path)
}

fn open_joins(order: &Order) -> io::Result<Vec<File>> {
    let open = |group: &PathBuf| OpenOptions::new().write(true).open(group.join("tasks"));
    order.groups.v1.values().map(open).collect()
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe2(OFlag::O_CLOEXEC)?)
}

fn c_string(text: &[u8]) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Nul(String::from_utf8_lossy(text).into_owned()))
}

fn strings(texts: impl Iterator<Item = String>) -> Result<ExecStrings, Error> {
    Ok(ExecStrings::new(texts.map(|text| c_string(text.as_bytes())).collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Starts the child of a launch the way a shim does, and has the shim's end of the failure pipe closed, as by the
    /// shim's death, before the child has done anything. True when the program ran all the same.
    fn runs_without_shim(shim_dies: bool) -> bool {
        let home = tempfile::tempdir().unwrap();
        let ran = home.path().join("ran");
        let null = || OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
        let (failure, failure_end) = pipe().unwrap();
        let touch = ["touch".to_owned(), ran.to_str().unwrap().to_owned()];
        let prepared = Prepared {
            program: c_string(b"/usr/bin/touch").unwrap(),
            arguments: strings(touch.into_iter()).unwrap(),
            environment: strings(std::iter::empty()).unwrap(),
            work_dir: c_string(home.path().as_os_str().as_bytes()).unwrap(),
            null: null(),
            stdout: null().into(),
            stderr: null().into(),
            failure: failure_end,
            status: None,
            open_files: None,
            joins: Vec::new(),
        };
        let (go, gone) = pipe().unwrap();
        let mut told = [0];
        let child = sys::clone_process(false, None, || {
            let _ = nix::unistd::read(&go, &mut told);
            prepared.run(failure.as_fd())
        })
        .unwrap();
        let failure = (!shim_dies).then_some(failure);
        File::from(gone).write_all(b"g").unwrap();
        let status = waitpid(Pid::from_raw(child), None).unwrap();
        drop(failure);
        assert!(!matches!(status, nix::sys::wait::WaitStatus::Signaled(..)), "{status:?}");
        ran.exists()
    }

    #[test]
    fn a_task_whose_shim_died_before_it_could_be_tied_to_it_never_begins() {
        assert!(runs_without_shim(false));
        assert!(!runs_without_shim(true));
    }
}
