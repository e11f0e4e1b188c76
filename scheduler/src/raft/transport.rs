//! Between members: gRPC on a listener of its own.
//!
//! One ordered stream a peer carries raft messages; its queue is bounded, and what does not fit is dropped and
//! reported, because raft repeats itself. Nothing is taken from or given to a member whose cluster, id and
//! incarnation were not checked.

mod admission;
mod fetch;
mod forward;
mod peer;
mod server;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use berth_proto::peer::peer_client::PeerClient;
use prost::bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::{Channel, Endpoint};

use crate::raft::backlog::Backlog;
use crate::raft::driver::ReadError;
use crate::raft::identity::Identity;
use crate::raft::membership::{MemberId, Membership};
use crate::raft::snapshots::SnapshotStore;

pub use admission::{Admission, Refusal};
pub(crate) use fetch::{Fetched, Fetcher};
pub(crate) use server::serve;

/// One message between members is at most this long. An append carries 1 MiB and possibly one more entry.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Raft messages that wait for one peer. Past them messages are dropped and the peer reported unreachable.
const QUEUE_MAX: usize = 4_096;
/// Bytes that wait for one peer: as much as raft sends before it wants answers, so that it is not met by a healthy one.
const QUEUE_BYTES_MAX: usize = 256 << 20;

/// What the transport tells the member it works for. None of these waits unless it says so.
#[async_trait]
pub trait Local: Send + Sync + 'static {
    /// A raft message from a peer whose identity was checked. Dropped if there is no room.
    fn raft_message(&self, from: MemberId, message: Bytes);
    /// A peer and this member know each other's incarnation for good. Waits until it is taken note of.
    async fn met(&self, peer: MemberId);
    /// A peer could not be reached; messages to it were lost.
    fn unreachable(&self, peer: MemberId);
    /// A peer was given a chunk of a snapshot, or asked for one that is gone.
    fn chunk_asked(&self, peer: MemberId, index: u64, found: bool);
    /// A peer says that this member must not act under its id any more.
    fn refused(&self, by: MemberId, refusal: Refusal);
    /// Confirms that this member leads and says which index a read has to wait for.
    async fn confirm_read(&self) -> Result<u64, ReadError>;
}

/// Takes requests that other members forward because this one leads.
#[async_trait]
pub trait ForwardHandler: Send + Sync + 'static {
    /// Answers a forwarded request. The bytes mean nothing to the transport.
    async fn forward(&self, request: Bytes) -> Result<Bytes, tonic::Status>;
}

/// Why the leader could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No leader is known here at the moment.
    #[error("no leader is known at the moment")]
    NoLeader,
    /// The member is not known here.
    #[error("member {0} is not known here")]
    UnknownMember(MemberId),
    /// The member did not answer in time, or another leads now. It may have taken the request.
    #[error("member {member} does not answer or has lost its leadership")]
    Unanswered {
        /// The member that was asked.
        member: MemberId,
    },
    /// Too much waits for the member; it has not seen the request.
    #[error("too many requests wait for member {member}")]
    Overloaded {
        /// The member that was to be asked.
        member: MemberId,
    },
    /// The member did not answer, or refused.
    #[error("member {member} did not answer the request")]
    Failed {
        /// The member that was asked.
        member: MemberId,
        /// What came back.
        #[source]
        status: Box<tonic::Status>,
    },
}

/// Queues and connections to all peers. Clones are the same.
#[derive(Debug, Clone)]
pub struct Transport {
    shared: Arc<Shared>,
}

struct Shared {
    own: berth_proto::peer::Identity,
    admission: Admission,
    local: Arc<dyn Local>,
    peers: ArcSwap<BTreeMap<MemberId, Peer>>,
    tasks: Tasks,
}

#[derive(Debug, Clone)]
struct Peer {
    address: String,
    queue: mpsc::Sender<Bytes>,
    /// Requests for it as the leader.
    requests: forward::Requests,
    queued: Arc<Backlog>,
    /// For everything but the raft stream, which has a connection of its own so that nothing delays it.
    channel: Channel,
    gone: CancellationToken,
}

impl Peer {
    fn offer(&self, message: Bytes) -> bool {
        let bytes = message.len();
        if !self.queued.add(bytes, QUEUE_BYTES_MAX) {
            return false;
        }
        let taken = self.queue.try_send(message).is_ok();
        if !taken {
            self.queued.remove(bytes);
        }
        taken
    }
}

/// Where the transport's tasks run, and what ends them.
#[derive(Debug, Clone)]
pub struct Tasks {
    /// The runtime.
    pub runtime: Handle,
    /// Ends all tasks.
    pub shutdown: CancellationToken,
    /// Counts them, so that their end can be waited for.
    pub tracker: TaskTracker,
}

impl Tasks {
    /// The one door through which the transport starts tasks. They end at shutdown; what they do until then is
    /// repeated by raft if it is lost.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tracker.spawn_on(
            async move {
                shutdown.run_until_cancelled(task).await;
            },
            &self.runtime,
        );
    }

    /// Runs what blocks, such as a disk, away from the tasks.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        // A panic over there was reported by the hook; here it counts as no answer.
        self.tracker.spawn_blocking_on(work, &self.runtime).await.ok()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Transport {
    /// Without peers as yet; see [`Transport::set_members`].
    pub fn new(
        own: &Identity,
        address: &str,
        admission: Admission,
        local: Arc<dyn Local>,
        tasks: Tasks,
    ) -> Self {
        let own = own.to_proto(address);
        Self { shared: Arc::new(Shared { own, admission, local, peers: ArcSwap::default(), tasks }) }
    }

    /// Connects to new members and lets go of those that are gone. `known` are members that were told of
    /// before this one has read it in the log.
    pub fn set_members(&self, membership: &Membership, known: &[(MemberId, String)]) {
        let mut wanted: BTreeMap<MemberId, String> = known
            .iter()
            .filter(|(id, _)| !membership.was_removed(*id))
            .map(|(id, address)| (*id, address.clone()))
            .collect();
        wanted.extend(membership.members().map(|member| (member.id, member.address.clone())));
        wanted.remove(&self.shared.own.member_id);

        let before = self.shared.peers.load_full();
        let mut after = BTreeMap::new();
        for (id, address) in wanted {
            let peer = match before.get(&id) {
                Some(peer) if peer.address == address => Some(peer.clone()),
                Some(_) | None => self.connect(id, address),
            };
            after.extend(peer.map(|peer| (id, peer)));
        }
        for (id, peer) in before.iter() {
            if after.get(id).is_none_or(|kept| kept.address != peer.address) {
                peer.gone.cancel();
            }
        }
        self.shared.peers.store(Arc::new(after));
    }

    fn connect(&self, id: MemberId, address: String) -> Option<Peer> {
        let endpoint = match endpoint(&address) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                tracing::error!(peer = id, address, %error, "the address of a member cannot be used");
                return None;
            }
        };
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let gone = self.shared.tasks.shutdown.child_token();
        // A lazy channel needs the runtime's context although nothing is connected yet.
        let _context = self.shared.tasks.runtime.enter();
        let channel = endpoint.connect_lazy();
        let queued = Arc::<Backlog>::default();
        let waiting = peer::Waiting { queue: waiting, queued: Arc::clone(&queued) };
        let link = peer::Link { shared: Arc::clone(&self.shared), peer: id, endpoint, waiting };
        let ended = gone.clone();
        self.shared.tasks.spawn(async move {
            ended.run_until_cancelled(link.run()).await;
        });
        let (requests, waiting) = forward::Requests::new();
        let forwarder =
            forward::Forwarder { shared: Arc::clone(&self.shared), channel: channel.clone(), waiting };
        let ended = gone.clone();
        self.shared.tasks.spawn(async move {
            ended.run_until_cancelled(forwarder.run()).await;
        });
        Some(Peer { address, queue, queued, requests, channel, gone })
    }

    /// Queues a raft message; `false` if there is no such peer or no room.
    pub fn send(&self, to: MemberId, message: Bytes) -> bool {
        self.shared.peers.load().get(&to).is_some_and(|peer| peer.offer(message))
    }

    /// Asks a member to answer a small question, at once.
    pub async fn ask(&self, member: MemberId, question: Bytes) -> Result<Bytes, Error> {
        let answer = forward::ask(&self.shared, self.peer(member)?.channel, question).await;
        answer.map_err(|status| failed(member, status))
    }

    /// Asks the leader to take a request, in line behind others.
    pub async fn forward(&self, member: MemberId, request: Bytes) -> Result<Bytes, Error> {
        let answer = self.peer(member)?.requests.offer(request).ok_or(Error::Overloaded { member })?;
        let gone = |_| tonic::Status::unavailable("the connection to the member is given up");
        answer.await.map_err(gone).flatten().map_err(|status| failed(member, status))
    }

    /// Asks the leader which index a read has to wait for.
    pub async fn read_index(&self, leader: MemberId) -> Result<u64, Error> {
        let request = berth_proto::peer::ReadIndexRequest { identity: Some(self.shared.own.clone()) };
        let reply = self.client(leader)?.read_index(request).await;
        Ok(reply.map_err(|status| failed(leader, status))?.into_inner().index)
    }

    pub(crate) fn fetcher(&self, snapshots: Arc<SnapshotStore>) -> Fetcher {
        Fetcher::new(self.clone(), snapshots)
    }

    fn client(&self, member: MemberId) -> Result<PeerClient<Channel>, Error> {
        Ok(client(self.peer(member)?.channel))
    }

    fn peer(&self, member: MemberId) -> Result<Peer, Error> {
        self.shared.peers.load().get(&member).cloned().ok_or(Error::UnknownMember(member))
    }
}

fn failed(member: MemberId, status: tonic::Status) -> Error {
    Error::Failed { member, status: Box::new(status) }
}

fn client(channel: Channel) -> PeerClient<Channel> {
    PeerClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    use std::time::Duration;
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5)))
}
