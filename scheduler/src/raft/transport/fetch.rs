//! Fetching a snapshot from the leader, chunk by chunk.

use std::sync::Arc;
use std::time::Duration;

use berth_proto::peer::SnapshotChunkRequest;
use tokio_util::sync::CancellationToken;

use super::Transport;
use crate::raft::driver::Fetch;
use crate::raft::snapshots::{self, Manifest, SnapshotStore, StoredChunk};

const CHUNK_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries for one chunk before the leader is asked for another snapshot.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// How fetching a snapshot ended.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// It is whole and durable.
    Whole(Manifest),
    /// The peer does not have it any more, or does not answer.
    NotToBeHad,
    /// The disk here has failed.
    Failed(snapshots::Error),
}

/// Fetches one snapshot at a time.
#[derive(Debug)]
pub(crate) struct Fetcher {
    transport: Transport,
    snapshots: Arc<SnapshotStore>,
    current: CancellationToken,
}

impl Fetcher {
    pub(super) fn new(transport: Transport, snapshots: Arc<SnapshotStore>) -> Self {
        Self { transport, snapshots, current: CancellationToken::new() }
    }

    /// Begins to fetch; what was being fetched is given up. `done` is called once, unless it is given up.
    pub(crate) fn start<D, F>(&mut self, fetch: Fetch, done: D)
    where
        D: FnOnce(Fetched) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.current.cancel();
        self.current = CancellationToken::new();
        let current = self.current.clone();
        let transport = self.transport.clone();
        let snapshots = Arc::clone(&self.snapshots);
        self.transport.shared.tasks.spawn(async move {
            let fetched = match current.run_until_cancelled(run(&transport, &snapshots, &fetch)).await {
                None => return,
                Some(Ok(Some(manifest))) => Fetched::Whole(manifest),
                Some(Ok(None)) => Fetched::NotToBeHad,
                Some(Err(snapshots::Error::Absent { .. } | snapshots::Error::BadChunk { .. })) => {
                    Fetched::NotToBeHad
                }
                Some(Err(error @ snapshots::Error::Unreadable { .. })) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        from = fetch.from,
                        "a snapshot was fetched in vain"
                    );
                    Fetched::NotToBeHad
                }
                Some(Err(error)) => Fetched::Failed(error),
            };
            done(fetched).await;
        });
    }
}

async fn run(
    transport: &Transport,
    snapshots: &Arc<SnapshotStore>,
    fetch: &Fetch,
) -> Result<Option<Manifest>, snapshots::Error> {
    let tasks = &transport.shared.tasks;
    let disk = |work: Disk| {
        let (snapshots, manifest) = (Arc::clone(snapshots), fetch.manifest.clone());
        tasks.blocking(move || match work {
            Disk::Begin => snapshots.receive(&manifest),
            Disk::Put(number, chunk) => snapshots.receive_chunk(&manifest, number, &chunk),
        })
    };
    let Some(begun) = disk(Disk::Begin).await else { return Ok(None) };
    let mut next = begun?;
    while let Some(number) = next {
        let Some(chunk) = chunk(transport, fetch, number).await else { return Ok(None) };
        let Some(put) = disk(Disk::Put(number, chunk)).await else { return Ok(None) };
        next = put?;
    }
    let (snapshots, manifest) = (Arc::clone(snapshots), fetch.manifest.clone());
    tasks.blocking(move || snapshots.finish_receiving(&manifest)).await.transpose()
}

enum Disk {
    Begin,
    Put(u32, StoredChunk),
}

async fn chunk(transport: &Transport, fetch: &Fetch, number: u32) -> Option<StoredChunk> {
    let entry = fetch.manifest.header.entry;
    for _ in 0..TRIES {
        let request = SnapshotChunkRequest {
            identity: Some(transport.shared.own.clone()),
            term: entry.term,
            index: entry.index,
            number,
        };
        let mut client = transport.client(fetch.from).ok()?;
        match tokio::time::timeout(CHUNK_TIMEOUT, client.snapshot_chunk(request)).await {
            Ok(Ok(reply)) => {
                let reply = reply.into_inner();
                return Some(StoredChunk { bytes: reply.chunk, crc32c: reply.crc32c });
            }
            Ok(Err(status)) if status.code() == tonic::Code::NotFound => return None,
            Ok(Err(_)) | Err(_) => tokio::time::sleep(BETWEEN_TRIES).await,
        }
    }
    None
}
