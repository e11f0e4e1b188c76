//! From the exit record of an attempt to its end.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use berth_core::reason::EndReason;
use berth_core::time::Timestamp;
use berth_shim::clock;
use berth_shim::record::{EXIT_FILE, ExitRecord, Outcome, Record};

use crate::executor::End;

/// The file in the attempt's directory that `BERTH_OUTPUT` names.
pub(crate) const OUTPUT_FILE: &str = "output";
/// Bytes of output at most.
const OUTPUT_MAX: usize = 64 << 10;

/// The end as it was recorded, with the output of the attempt; `None` when there is no whole record.
pub(crate) fn recorded(dir: &Path) -> Option<End> {
    record(dir).map(|record| end(dir, record))
}

/// The exit record of an attempt, if it is there and whole.
pub(crate) fn record(dir: &Path) -> Option<ExitRecord> {
    ExitRecord::read(&dir.join(EXIT_FILE)).unwrap_or_else(|error| {
        tracing::error!(dir = %dir.display(), %error, "an exit record cannot be read");
        None
    })
}

/// The end that a record tells, with the output of the attempt.
pub(crate) fn end(dir: &Path, record: ExitRecord) -> End {
    let mut reason = match record.outcome {
        Outcome::Exited(0) => EndReason::Succeeded,
        Outcome::Exited(_) | Outcome::Signalled(_) if record.oom => EndReason::OomKilled,
        Outcome::Exited(code) => EndReason::FailedExit(code),
        Outcome::Signalled(signal) => EndReason::FailedSignal(signal),
        Outcome::Disconnected => EndReason::NodeLost,
        Outcome::NotStarted(cause) => EndReason::StartFailed(cause.into()),
    };
    let output = match output(&dir.join(OUTPUT_FILE)) {
        Some(output) => output,
        None => {
            // A cut output would be worse than none: later tasks would take it for whole. The true
            // failure of a program that failed anyway is the better news.
            if reason.is_success() {
                let what = format!("BERTH_OUTPUT: the output is larger than {OUTPUT_MAX} bytes");
                reason = EndReason::PostconditionFailed(what.into());
            }
            Vec::new()
        }
    };
    End {
        reason,
        started: record.started_ms.map(Timestamp),
        finished: Timestamp(record.finished_ms),
        memory_peak: record.memory_peak,
        cpu_ms: record.cpu_ms,
        output,
    }
}

/// What the task wrote; empty when it wrote nothing or put something else than a file there; `None`
/// when it is more than 64 KiB.
fn output(path: &Path) -> Option<Vec<u8>> {
    // The task chose what stands there: a link must not be followed, a pipe must not be waited for.
    let flags = libc_flags();
    let Ok(mut file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else {
        return Some(Vec::new());
    };
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Some(Vec::new());
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(OUTPUT_MAX).expect("64 KiB fit") + 1;
    if file.by_ref().take(limit).read_to_end(&mut bytes).is_err() {
        return Some(Vec::new());
    }
    (bytes.len() <= OUTPUT_MAX).then_some(bytes)
}

fn libc_flags() -> i32 {
    (nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits()
}

/// The end of an attempt that never began.
pub(crate) fn not_started(reason: EndReason) -> End {
    let finished = Timestamp(clock::wall_ms());
    End { reason, started: None, finished, memory_peak: 0, cpu_ms: 0, output: Vec::new() }
}

/// Records that an attempt never began.
pub(crate) fn record_not_started(dir: &Path, cause: &str) {
    write(dir, &ExitRecord::not_started(cause));
}

/// Puts an exit record into the attempt's directory.
pub(crate) fn write(dir: &Path, record: &ExitRecord) {
    if let Err(error) = record.write_atomically(&dir.join(EXIT_FILE)) {
        // The event that follows still says it; only a restart before its acknowledgement would not.
        tracing::error!(dir = %dir.display(), %error, "an exit record cannot be written");
    }
}
