use std::fmt;
use std::ops::AddAssign;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How often things happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl AddAssign for Counts {
            fn add_assign(&mut self, other: Counts) {
                $(self.$name += other.$name;)*
            }
        }

        impl fmt::Display for Counts {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "  {:<20} {}", stringify!($name), self.$name)?;)*
                Ok(())
            }
        }
    };
}

counts! {
    /// Entries of logs, each counted once.
    entries,
    /// Terms with a leader, after the first.
    leader_changes,
    /// Servers that stopped without warning.
    server_crashes,
    /// Crashes that found writes on their way to the disk.
    torn_writes,
    /// Snapshots written.
    snapshots_built,
    /// Snapshots fetched from another member and taken as the state.
    snapshot_installs,
    /// Cuts of the network.
    cuts,
    /// Disk stalls.
    stalls,
    /// Servers that stood still.
    pauses,
    /// Agents that stopped without warning.
    agent_crashes,
    /// Of those, machines that lost power.
    agent_reboots,
    /// Of those, machines that lost their directory.
    agents_wiped,
    /// Sessions that were welcomed.
    sessions,
    /// Messages of servers that an agent's fence refused.
    fenced,
    /// Reports of agents that the state machine refused because their node had registered anew.
    fenced_reports,
    /// Reports of agents that it refused because an earlier one was missing.
    missing_reports,
    /// Times that the facts of a machine changed under its agent.
    facts_changes,
    /// Wall clocks of servers set wrong for a while.
    wrong_clocks,
    /// Nodes declared lost.
    lost_nodes,
    /// Tasks tried again after a failure.
    retries,
    /// Requests of the client.
    requests,
    /// Times that the client asked again.
    repeated_requests,
    /// Runs made.
    runs,
    /// Due instants decided.
    fires,
    /// Attempts placed.
    attempts,
    /// Attempts that ran while an earlier one of the same task still did, on a node that was given up. Tasks that may
    /// go on without contact allow it.
    overlaps,
}
