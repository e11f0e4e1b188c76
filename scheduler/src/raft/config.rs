//! What can be set about consensus, with the defaults that were measured.

/// Numbers that govern elections, flow and refusals. All members of a cluster should have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Length of a tick, in milliseconds. Only the shell looks at it.
    pub tick_ms: u64,
    /// Ticks between heartbeats of a leader.
    pub heartbeat_ticks: u32,
    /// Least number of ticks without a leader before an election; the most is one less than twice this.
    pub election_ticks: u32,
    /// Bytes of entries in one append message.
    pub message_bytes_max: u64,
    /// Append messages on their way to one follower.
    pub inflight_messages_max: u32,
    /// Bytes of committed entries handed to the state machine at once.
    pub apply_batch_bytes_max: u64,
    /// Bytes of one proposal.
    pub proposal_bytes_max: usize,
    /// Bytes of proposals that have no answer yet.
    pub unanswered_bytes_max: usize,
    /// Proposals that have no answer yet.
    pub unanswered_max: usize,
    /// Bytes committed and not yet applied, past which a leader refuses proposals.
    pub apply_lag_bytes_max: u64,
    /// Entries committed and not yet applied, past which a leader refuses proposals.
    pub apply_lag_entries_max: u64,
    /// Writes handed to the disk and not yet finished, past which nothing more is taken from raft.
    pub writes_max: usize,
    /// Ticks after which a round of reads is given up.
    pub read_timeout_ticks: u64,
    /// Ticks that a follower may let pass between two chunks of a snapshot it fetches.
    pub snapshot_timeout_ticks: u64,
    /// Ticks for which a leader's disk may stall before it hands leadership over.
    pub disk_stall_ticks: u64,
    /// Entries by which a learner may lag and still be made a voter.
    pub promotion_lag_max: u64,
    /// What a refused proposer is told to wait, in milliseconds.
    pub retry_after_ms: u64,
    /// When snapshots are taken and how much log is kept behind them.
    pub snapshots: SnapshotPolicy,
}

/// When a snapshot is taken, and how much log stays behind it for followers that lag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Entries applied since the last snapshot.
    pub every_entries: u64,
    /// Bytes applied since the last snapshot.
    pub every_bytes: u64,
    /// Bytes applied since the last snapshot, past which one is taken although a follower still fetches the last:
    /// the log must not grow without end because of it.
    pub hold_bytes_max: u64,
    /// Entries kept behind the newest snapshot and the slowest live follower.
    pub keep_entries: u64,
    /// Bytes kept behind the newest snapshot and the slowest live follower; as much is kept as both of the two
    /// ask for.
    pub keep_bytes: u64,
    /// Bytes behind the newest snapshot that are kept at most, whatever a follower needs. One that is further
    /// behind gets the snapshot.
    pub keep_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tick_ms: 50,
            heartbeat_ticks: 2,
            election_ticks: 10,
            message_bytes_max: 1 << 20,
            inflight_messages_max: 256,
            apply_batch_bytes_max: 8 << 20,
            proposal_bytes_max: 1 << 20,
            unanswered_bytes_max: 64 << 20,
            unanswered_max: 8_192,
            apply_lag_bytes_max: 64 << 20,
            apply_lag_entries_max: 100_000,
            writes_max: 1_024,
            read_timeout_ticks: 20,
            snapshot_timeout_ticks: 200,
            disk_stall_ticks: 100,
            promotion_lag_max: 1_000,
            retry_after_ms: 100,
            snapshots: SnapshotPolicy::default(),
        }
    }
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            every_entries: 50_000,
            every_bytes: 64 << 20,
            hold_bytes_max: 256 << 20,
            keep_entries: 10_000,
            keep_bytes: 64 << 20,
            keep_bytes_max: 256 << 20,
        }
    }
}

impl Settings {
    /// What raft-rs has to be told, for a member that has applied everything up to `applied`.
    pub(crate) fn raft(&self, member: u64, applied: u64) -> raft::Config {
        raft::Config {
            id: member,
            election_tick: ticks(self.election_ticks),
            heartbeat_tick: ticks(self.heartbeat_ticks),
            applied,
            max_size_per_msg: self.message_bytes_max,
            max_inflight_msgs: ticks(self.inflight_messages_max),
            check_quorum: true,
            pre_vote: true,
            read_only_option: raft::ReadOnlyOption::Safe,
            skip_bcast_commit: false,
            // Unsafe in raft-rs 0.7.0, see `driver::is_coherent`; and the driver puts all proposals of a turn into
            // one step anyway, so that it would gain nothing.
            batch_append: false,
            max_uncommitted_size: u64::try_from(self.unanswered_bytes_max).unwrap_or(u64::MAX),
            max_committed_size_per_ready: self.apply_batch_bytes_max,
            ..raft::Config::default()
        }
    }
}

fn ticks(number: u32) -> usize {
    usize::try_from(number).expect("usize has at least 32 bits here")
}
