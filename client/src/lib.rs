//! The Rust SDK of Berth: submit jobs, wait for them, watch them and read their logs from a program.
//!
//! ```text
//!   Client ── ask ──> endpoints: http://a:7070   http://b:7070   http://c:7070
//!     │        └ goes round them with a backoff, repeats writes under the same key
//!     ├ jobs, runs, nodes, tenants, operator     one question, one answer
//!     └ watch, follow, wait, logs                streams that go on at another server
//! ```
//!
//! A [`Client`] connects lazily and fails over by itself: a server that is down, frozen, cut off or without a leader
//! costs time, up to [`Config::deadline`], and never a second execution, because every write carries a
//! [`RequestKey`]. What cannot be solved by asking again comes back as a typed [`Error`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use berth_client::{Client, Config, Submit};
//!
//! let client = Client::connect(Config::new(["http://127.0.0.1:7070"]))?;
//! let spec = berth_client::parse_spec("hello.yaml", r#"
//! apiVersion: berth/v1
//! kind: Job
//! name: hello
//! tenant: default
//! tasks:
//!   - name: greet
//!     exec: { command: ["echo", "hello"] }
//!     resources: { cpu: 100m, memory: 32Mi }
//! "#)?;
//! let submitted = client.submit(Submit::spec(spec).start()).await?;
//! let result = client.wait(submitted.run.as_deref().expect("it was started")).await?;
//! println!("{}", result.reason);
//! # Ok(())
//! # }
//! ```
//!
//! It never: decides anything that the servers decide, keeps state on disk, reads the environment, or holds what
//! only the command line needs.

mod config;
mod key;

mod error;

mod backoff;
mod endpoint;
mod pool;
// Not for programs: the simulation asks by it.
#[doc(hidden)]
pub mod round;
mod status;

mod client;

mod pages;
mod run_ref;

mod jobs;
mod nodes;
mod operator;
mod runs;
mod tenants;
mod text;

mod follow;
mod log_text;
mod logs;
mod watch;

pub use client::Client;
pub use config::Config;
pub use error::{Error, Missing, Refusal, Tried, Violation};
pub use follow::{Followed, RunResult};
pub use jobs::{Submit, Submitted, Validation, too_large};
pub use key::{NotAKey, RequestKey};
pub use log_text::{LogDecoder, LogText};
pub use logs::{LogFrom, LogPiece, LogQuery, LogStream, Logs};
pub use operator::AddedMember;
pub use pages::Pages;
pub use run_ref::RunRef;
pub use runs::{RunFilter, TaskFilter};
pub use text::{parse_spec, with_spec_dir};
pub use watch::{RunWatch, WatchFilter, Watched};

/// What a job is, as the servers understand it: the type of [`Submit::spec`].
pub use berth_core::job_spec::JobSpec;
/// Why something ended or waits.
pub use berth_core::reason::{EndReason, WaitReason};
/// The views that the servers answer with, as they go over the wire.
pub use berth_proto::v1 as api;
