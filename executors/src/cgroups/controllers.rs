//! Setting limits through `cgroups-rs`. Each controller is set by itself: the crate's way to set all
//! at once swallows the errors of the memory limit.

use std::path::{Path, PathBuf};

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use super::{Error, Limits};

/// Microseconds over which a hard share of processor time is counted.
const CPU_PERIOD_US: u64 = 100_000;

/// Sets the memory limit of the group at `path`.
pub(super) fn memory(path: &Path, v2: bool, limits: &Limits) -> Result<(), Error> {
    let Some(bytes) = limits.memory_max else { return Ok(()) };
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let controller = MemController::new(path.to_owned(), PathBuf::new(), v2);
    controller.set_limit(bytes).map_err(failed("memory", path))?;
    // v2 bounds swap by itself, v1 memory and swap together. Machines without swap accounting lack
    // the file, and have no swap to speak of.
    let (file, swap) = if v2 { ("memory.swap.max", 0) } else { ("memory.memsw.limit_in_bytes", bytes) };
    match controller.set_memswap_limit(swap) {
        Err(_) if !path.join(file).exists() => Ok(()),
        result => result.map_err(failed("swap", path)),
    }
}

/// Sets the share of processor time of the group at `path`.
pub(super) fn cpu(path: &Path, v2: bool, limits: &Limits) -> Result<(), Error> {
    let controller = CpuController::new(path.to_owned(), PathBuf::new(), v2);
    // A whole core is the default of an untouched group: weight 100 in v2, 1024 shares in v1.
    let shares = if v2 {
        (limits.cpu_milli / 10).clamp(1, 10_000)
    } else {
        (limits.cpu_milli.saturating_mul(1024) / 1000).clamp(2, 262_144)
    };
    controller.set_shares(shares).map_err(failed("cpu", path))?;
    if limits.cpu_hard {
        // Less than a millisecond a period is refused by the kernel.
        let quota = (limits.cpu_milli.saturating_mul(CPU_PERIOD_US) / 1000).max(1000);
        let quota = i64::try_from(quota).unwrap_or(i64::MAX);
        controller.set_cfs_quota_and_period(Some(quota), Some(CPU_PERIOD_US)).map_err(failed("cpu", path))?;
    }
    Ok(())
}

/// Sets the number of processes of the group at `path`.
pub(super) fn pids(path: &Path, v2: bool, limits: &Limits) -> Result<(), Error> {
    let most = i64::try_from(limits.pids_max).map_or(MaxValue::Max, MaxValue::Value);
    let controller = PidController::new(path.to_owned(), PathBuf::new(), v2);
    controller.set_pid_max(most).map_err(failed("pids", path))
}

fn failed(limit: &'static str, path: &Path) -> impl FnOnce(cgroups_rs::fs::error::Error) -> Error {
    let path = path.to_owned();
    move |error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Error::Limit { limit, path, cause }
    }
}
