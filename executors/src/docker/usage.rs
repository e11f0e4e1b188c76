//! What a container uses, asked of the engine while it runs: when it is over the engine has forgotten.
//!
//! The figures are those of the last look, so a container that is over within the first moments has none, and a peak
//! between two looks is only known where the kernel keeps it (cgroup v1; API 1.41 does not tell that of v2).

use std::time::Duration;

use bollard::models::ContainerStatsResponse;
use tokio::time::sleep;

use super::engine::Engine;

/// When it is looked at first; each pause is twice as long as the one before.
const FIRST_LOOK: Duration = Duration::from_millis(200);
/// The longest pause.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What a container was seen to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    /// The most memory, in bytes; 0 when it was never seen.
    pub(super) memory_peak: u64,
    /// Processor time, in milliseconds.
    pub(super) cpu_ms: u64,
}

impl Usage {
    /// Looks until it is dropped.
    pub(super) async fn follow(&mut self, engine: &Engine, container: &str) {
        let mut pause = FIRST_LOOK;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_EVERY);
            match engine.stats(container).await {
                Ok(stats) => self.take(&stats),
                Err(error) => tracing::debug!(container, %error, "its use is not known now"),
            }
        }
    }

    /// A container that has just ended is said to use nothing, so nothing here ever shrinks.
    fn take(&mut self, stats: &ContainerStatsResponse) {
        let memory = stats.memory_stats.as_ref();
        let seen = memory.map(|memory| memory.usage.max(memory.max_usage).unwrap_or(0));
        self.memory_peak = self.memory_peak.max(seen.unwrap_or(0));
        let cpu = stats.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage);
        self.cpu_ms = self.cpu_ms.max(cpu.unwrap_or(0) / 1_000_000);
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerCpuStats, ContainerCpuUsage, ContainerMemoryStats};

    use super::*;

    fn seen(usage: Option<u64>, max_usage: Option<u64>, cpu_ns: u64) -> ContainerStatsResponse {
        let total_usage = Some(cpu_ns);
        let cpu_usage = Some(ContainerCpuUsage { total_usage, ..Default::default() });
        ContainerStatsResponse {
            memory_stats: Some(ContainerMemoryStats { usage, max_usage, ..Default::default() }),
            cpu_stats: Some(ContainerCpuStats { cpu_usage, ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn the_most_that_was_seen_stays_when_the_container_is_over() {
        let mut usage = Usage::default();
        usage.take(&seen(Some(10), None, 3_000_000));
        usage.take(&seen(Some(30), Some(90), 7_900_000));
        usage.take(&seen(Some(20), Some(90), 8_000_000));
        usage.take(&seen(None, None, 0));
        usage.take(&ContainerStatsResponse::default());
        assert_eq!(usage, Usage { memory_peak: 90, cpu_ms: 8 });
    }
}
