//! Every bound of a spec's text in one place. What must hold for a spec however it comes is in
//! `berth_core::job_spec`.

/// The longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// How deep lists and maps may be nested.
pub const DEPTH_MAX: usize = 64;
/// The most values in a document, aliases counted as often as they are used.
pub const NODES_MAX: u64 = 1_000_000;
/// The most bytes of text in a document, aliases counted as often as they are used.
pub const EXPANDED_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The most mistakes that a report lists.
pub const DIAGNOSTICS_MAX: usize = 200;

/// The most cpu that a task can ask for, in thousandths of a core.
pub const CPU_MILLI_MAX: u64 = 100_000 * 1000;
/// The most memory that a task can ask for, in bytes: 1 Pi.
pub const MEMORY_BYTES_MAX: u64 = 1 << 50;
/// The most of another resource that a task can ask for, in thousandths.
pub const AMOUNT_MILLI_MAX: u64 = 1_000_000_000 * 1000;
