use crate::canonical::canonical;

/// What an attempt used, as its node measured it at its end. Small, for there is one of it for each attempt that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The most memory in use at once, in KiB, rounded up; 0 if unknown.
    pub memory_peak_kib: u32,
    /// Processor time in milliseconds, up to 49 days; 0 if unknown.
    pub cpu_ms: u32,
}

canonical!(Usage { 1: memory_peak_kib, 2: cpu_ms });

impl Usage {
    /// From bytes and milliseconds. What is too large to be kept is kept as the largest value.
    pub fn new(memory_peak: u64, cpu_ms: u64) -> Usage {
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Usage { memory_peak_kib: small(memory_peak.div_ceil(1024)), cpu_ms: small(cpu_ms) }
    }

    /// The most memory in use at once, in bytes.
    pub fn memory_peak(self) -> u64 {
        u64::from(self.memory_peak_kib) * 1024
    }

    /// True when nothing was measured.
    pub fn is_unknown(self) -> bool {
        self == Usage::default()
    }
}
