//! The messages of Berth's protocols and stores, and the checked way between them and the core's types.
//!
//! ```text
//!   .proto files ──> v1, agent, peer, store (generated)
//!                          │
//!                       convert ──> berth_core types
//! ```
//!
//! What comes from outside is checked here, field by field, before the rest of the program sees it. This crate
//! decides nothing: it never says what should happen, only what was said.

/// All messages and services as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Generated code is not written to the house's lints.
macro_rules! generated {
    ($(#[$doc:meta])* $module:ident, $package:literal) => {
        $(#[$doc])*
        #[allow(
            clippy::all,
            clippy::allow_attributes_without_reason,
            unused_qualifications,
            missing_debug_implementations,
            unreachable_pub,
            reason = "generated code"
        )]
        pub mod $module {
            tonic::include_proto!($package);
        }
    };
}

/// The packages with their versions, nested as the generated code refers to them.
pub mod berth {
    generated!(
        /// The public API.
        v1,
        "berth.v1"
    );

    /// Between agents and the leader.
    pub mod agent {
        generated!(
            /// The first version.
            v1,
            "berth.agent.v1"
        );
    }

    /// Between the members of one cluster.
    pub mod peer {
        generated!(
            /// The first version.
            v1,
            "berth.peer.v1"
        );
    }

    /// The log and the snapshots.
    pub mod store {
        generated!(
            /// The first version.
            v1,
            "berth.store.v1"
        );
    }
}

pub use berth::agent::v1 as agent;
pub use berth::peer::v1 as peer;
pub use berth::store::v1 as store;
pub use berth::v1;

pub mod convert;
