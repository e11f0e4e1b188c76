//! A member in a process of its own, told over standard input what to measure.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use berth_core::id::EntryId;
use berth_scheduler::raft::config::Settings;
use berth_scheduler::raft::identity::{Identity, cluster_id};
use berth_scheduler::raft::machine::{RestoreError, StateMachine, View};
use berth_scheduler::raft::membership::Membership;
use berth_scheduler::raft::metrics::Metrics;
use berth_scheduler::raft::node::{Config, Deps, Node, NodeHandle};
use berth_scheduler::raft::recovery::Birth;
use berth_scheduler::raft::transport::ForwardHandler;
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{From, PROPOSAL_BYTES};
use crate::distribution::{Distribution, millis};

/// Who a member is; its process gets it as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) directory: std::path::PathBuf,
    pub(super) addresses: Vec<String>,
}

/// A line to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Do you lead, and are you ready to?
    Leads,
    /// How often did you sync, and for how many entries?
    Syncs,
    /// Propose from here, by the leader itself or by way of it.
    Propose { forward: bool, in_flight: usize, millis: u64 },
    /// End.
    Stop,
}

/// A line from a member.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Answer {
    Leads(bool),
    Syncs { syncs: u64, entries: u64 },
    Proposed { done: u64, seconds: f64, p50_ms: f64, p99_ms: f64 },
}

/// Counts and mixes what it is given.
#[derive(Debug, Clone, Default)]
struct Tally {
    entries: u64,
    mixed: u64,
}

impl StateMachine for Tally {
    type Outcome = u64;
    type View = Tally;

    fn apply(&mut self, _: EntryId, data: &[u8]) -> u64 {
        self.entries += 1;
        self.mixed = data.iter().fold(self.mixed, |mixed, byte| mixed.rotate_left(5) ^ u64::from(*byte));
        self.entries
    }

    fn on_term_start(&mut self, _: EntryId) {}

    fn view(&self) -> Tally {
        self.clone()
    }

    fn state_hash(&self) -> u128 {
        u128::from(self.mixed)
    }

    fn feature_level(&self) -> u32 {
        1
    }

    fn restore(chunks: &mut dyn Iterator<Item = Vec<u8>>) -> Result<Self, RestoreError> {
        let chunk = chunks.next().unwrap_or_default();
        let (entries, mixed) = chunk.split_at_checked(8).ok_or_else(|| RestoreError("too short".into()))?;
        let number = |bytes: &[u8]| {
            bytes.try_into().map(u64::from_le_bytes).map_err(|_| RestoreError("wrong length".into()))
        };
        Ok(Tally { entries: number(entries)?, mixed: number(mixed)? })
    }
}

impl View for Tally {
    fn chunks(&self) -> Box<dyn Iterator<Item = Vec<u8>> + '_> {
        let bytes = [self.entries.to_le_bytes(), self.mixed.to_le_bytes()].concat();
        Box::new(std::iter::once(bytes))
    }
}

/// Proposes what other members forward. It gets the member's handle once there is one.
#[derive(Debug, Default)]
struct Door {
    handle: OnceLock<NodeHandle<u64>>,
}

#[async_trait]
impl ForwardHandler for Door {
    async fn forward(&self, request: Bytes) -> Result<Bytes, Status> {
        let handle = self.handle.get().ok_or_else(|| Status::unavailable("not yet"))?;
        let term = handle.status().borrow().term;
        match handle.propose(term, request).await {
            Ok((entry, _)) => Ok(Bytes::copy_from_slice(&entry.index.to_le_bytes())),
            Err(error) => Err(Status::unavailable(error.to_string())),
        }
    }
}

/// Runs a member until it is told to stop or whoever started it is gone.
pub(crate) fn run(member: &str) -> Result<ExitCode> {
    let member: Member = serde_json::from_str(member)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(member))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(member: Member) -> Result<()> {
    let at = usize::try_from(member.id - 1)?;
    let address = member.addresses.get(at).context("a member without an address")?.clone();
    let membership = Membership::first((1..).zip(member.addresses.iter().cloned()));
    let members: Vec<_> = membership.members().cloned().collect();
    let cluster = cluster_id("bench", &members);
    let identity = Identity { cluster, member: member.id, incarnation: member.id };
    let shutdown = CancellationToken::new();
    let config = Config {
        directory: member.directory,
        birth: Birth::Bootstrap { identity, membership },
        address: address.clone(),
        peers: Vec::new(),
        settings: Settings::default(),
        seed: member.id,
        runtime: tokio::runtime::Handle::current(),
        shutdown: shutdown.clone(),
    };
    let (door, metrics) = (Arc::new(Door::default()), Arc::new(Metrics::default()));
    let deps = Deps {
        initial: Tally::default(),
        observer: (),
        listener: TcpListener::bind(&address).await?,
        forward: Arc::clone(&door) as Arc<dyn ForwardHandler>,
        metrics: Arc::clone(&metrics),
    };
    let (node, handle) = tokio::task::block_in_place(|| Node::start(config, deps))?;
    if door.handle.set(handle.clone()).is_err() {
        bail!("the door has a handle already");
    }

    let (lines, mut asked) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = asked.recv().await {
        let answer = match serde_json::from_str(&line)? {
            Ask::Leads => Answer::Leads(handle.status().borrow().leader_ready_term.is_some()),
            Ask::Syncs => Answer::Syncs {
                syncs: metrics.fsync.counts().iter().sum(),
                entries: metrics.entries_written.load(Ordering::Relaxed),
            },
            Ask::Propose { forward, in_flight, millis } => {
                let from = if forward { From::Follower } else { From::Leader };
                propose(&handle, from, in_flight, Duration::from_millis(millis)).await?
            }
            Ask::Stop => break,
        };
        println!("{}", serde_json::to_string(&answer)?);
        std::io::stdout().flush()?;
    }
    drop((door, handle));
    shutdown.cancel();
    node.ended().await?;
    Ok(())
}

/// Keeps that many proposals in flight for a time.
async fn propose(handle: &NodeHandle<u64>, from: From, in_flight: usize, span: Duration) -> Result<Answer> {
    let done = Arc::new(AtomicU64::new(0));
    let refused = Arc::new(AtomicU64::new(0));
    let start = Arc::new(Semaphore::new(0));
    let mut proposers = tokio::task::JoinSet::new();
    for proposer in 0..in_flight {
        let (handle, done, refused) = (handle.clone(), Arc::clone(&done), Arc::clone(&refused));
        let start = Arc::clone(&start);
        let data = Bytes::from(vec![u8::try_from(proposer % 251).expect("less than 251"); PROPOSAL_BYTES]);
        proposers.spawn(async move {
            let _permit = start.acquire().await;
            let began = Instant::now();
            let mut spans = Vec::new();
            while began.elapsed() < span {
                let asked = Instant::now();
                let answered = match from {
                    From::Leader => {
                        let term = handle.status().borrow().term;
                        handle.propose(term, data.clone()).await.is_ok()
                    }
                    From::Follower => handle.forward(data.clone()).await.is_ok(),
                };
                if answered {
                    spans.push(asked.elapsed());
                    done.fetch_add(1, Ordering::Relaxed);
                } else {
                    refused.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
            spans
        });
    }
    let began = Instant::now();
    start.add_permits(in_flight);
    let mut spans = Vec::new();
    while let Some(more) = proposers.join_next().await {
        spans.extend(more?);
    }
    let seconds = began.elapsed().as_secs_f64();
    let (done, refused) = (done.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    if refused * 10 > done {
        bail!("{refused} proposals were refused, {done} done: the leader changed or is too busy");
    }
    let spans = Distribution::of(spans);
    let [p50_ms, p99_ms] = [500, 990].map(|share| millis(spans.per_mille(share)));
    Ok(Answer::Proposed { done, seconds, p50_ms, p99_ms })
}
