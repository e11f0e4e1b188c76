//! A server, from its data directory to its last task. Reads as start order, then stop order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_core::id::ClusterId;
use berth_daemon::datadir::{self, DataDir};
use berth_daemon::listen;
use berth_daemon::metrics::{Health, Registry, Status};
use berth_daemon::tasks::{OnFailure, Tasks};
use berth_proto::agent::agents_server::AgentsServer;
use berth_proto::convert::report::MESSAGE_BYTES_MAX;
use berth_proto::v1::jobs_server::JobsServer;
use berth_proto::v1::logs_server::LogsServer;
use berth_proto::v1::nodes_server::NodesServer;
use berth_proto::v1::operator_server::OperatorServer;
use berth_proto::v1::runs_server::RunsServer;
use berth_proto::v1::tenants_server::TenantsServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Router, TcpIncoming};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower_layer::Stack;

use crate::access::{AccessLayer, Everyone, Identify};
use crate::agreement::{self, Agreement};
use crate::api::{
    About, AgentsService, JobsService, LogsService, NodesService, OperatorService, RunsService,
    TenantsService,
};
use crate::clock_watch::ClockWatch;
use crate::config::{self, Birth, Config};
use crate::disk::Prober;
use crate::lead::{Connections, Lead};
use crate::log::{Forwarded, Log};
use crate::log_hub::LogHub;
use crate::machine::Machine;
use crate::measures;
use crate::publish::Publisher;
use crate::raft::driver::Role;
use crate::raft::identity::{Identity, cluster_id};
use crate::raft::membership::{MemberId, Membership};
use crate::raft::metrics::Metrics;
use crate::raft::node::{self, Deps, Node, NodeHandle};
use crate::raft::recovery;

/// How long a leader that stops waits for its successor.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(2);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is no use.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] datadir::Error),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] listen::Error),
    /// The member.
    #[error(transparent)]
    Node(#[from] node::StartError),
    /// What the directory holds was found to be wrong.
    #[error(transparent)]
    Differs(#[from] agreement::Differs),
    /// The operating system has no random numbers.
    #[error("no random numbers from the operating system")]
    Random(#[source] std::io::Error),
    /// The start was stopped.
    #[error("the start was stopped")]
    Stopped,
}

/// Why a server ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The member cannot go on.
    #[error("the server cannot go on")]
    Member(#[source] node::Fatal),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    peer_address: SocketAddr,
    log: Log,
    node: Node,
    member_stop: CancellationToken,
    tasks: Tasks,
    // Held until the end: it locks the directory.
    _data_dir: DataDir,
}

impl Server {
    /// Starts a server that takes everyone for an operator of everything; it runs until `tasks` is told to stop.
    ///
    /// # Errors
    /// Whatever keeps it from being a member; nothing of it runs then.
    pub async fn start(
        config: Config,
        tasks: &Tasks,
        registry: &Registry,
        health: &Health,
    ) -> Result<Server, StartError> {
        Server::start_for(config, Arc::new(Everyone), tasks, registry, health).await
    }

    /// As [`Server::start`], for callers that are told apart.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_for(
        config: Config,
        identify: Arc<dyn Identify>,
        tasks: &Tasks,
        registry: &Registry,
        health: &Health,
    ) -> Result<Server, StartError> {
        config.validate()?;
        let tasks = tasks.group();
        let data_dir = DataDir::open(&config.data_dir)?;
        Agreement::check(&config.data_dir)?;
        let (listener, address) = listen::bind("clients and agents", config.listen, config.insecure).await?;
        let (peers, peer_address) = listen::bind("members", config.peer_listen, config.insecure).await?;

        let reached_at = config.advertise.clone().unwrap_or_else(|| address.to_string());
        let forwarded = Forwarded::new(reached_at.clone());
        let metrics = Arc::new(Metrics::default());
        let (publisher, views) = Publisher::new();
        let lag = publisher.lag();
        // The member ends last: what it leads it hands over first.
        let member_stop = CancellationToken::new();
        let member = node_config(&config, peer_address, member_stop.clone())?;
        let deps = Deps {
            initial: Machine::new(),
            observer: publisher,
            listener: peers,
            forward: Arc::new(forwarded.clone()),
            metrics: Arc::clone(&metrics),
        };
        // It reads files and rebuilds the state; other tasks of this runtime go on meanwhile.
        let started = tokio::task::spawn_blocking(move || Node::start(member, deps)).await;
        let (node, handle) = started.map_err(|_| StartError::Stopped)??;
        let handing_over = hand_over(tasks.token(), member_stop.clone(), handle.clone());
        tasks.spawn("hand-over", OnFailure::Log, handing_over);
        let free = registry
            .component("scheduler")
            .gauge("free_disk_bytes", "Room on the disk of the data directory");
        let (prober, room) = Prober::new(config.data_dir.clone(), free);
        let alone = handle.status().borrow().membership.members().count() <= 1;
        let (clock_watch, clocks) = ClockWatch::new(alone);
        let log = Log::new(handle, views, clocks, room, config.pace);
        tasks.spawn("disk", OnFailure::StopProcess, prober.run(log.clone(), tasks.token()));
        forwarded.open(log.clone());
        tasks.spawn("clock", OnFailure::StopProcess, clock_watch.run(log.clone(), tasks.clone()));

        let (lead, connections) =
            Lead::new(config.leader, log.node().identity().cluster, log.clone(), tasks.clone());
        tasks.spawn("leader", OnFailure::StopProcess, lead.run());
        compare_with_others(&tasks, Agreement::new(log.clone(), &config.data_dir));
        measures::register(registry, &log, metrics, lag);
        let about = About { address: reached_at, started: Instant::now() };
        let router = routes(&tasks, &log, connections, about, health, identify);
        serve(&tasks, listener, router);
        tracing::info!(%address, peer.address = %peer_address, "the server is up");
        Ok(Server { address, peer_address, log, node, member_stop, tasks, _data_dir: data_dir })
    }

    /// Where clients and agents reach it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its peers reach it.
    pub fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until the server has ended: because it was told to, or by itself, and then says why.
    ///
    /// # Errors
    /// When it ended by itself.
    pub async fn ended(self) -> Result<(), Ended> {
        let Server { log, node, member_stop, tasks, _data_dir, .. } = self;
        let token = tasks.token();
        let ended = node.ended();
        token.cancelled().await;
        // Clients and agents first: what they were not told they ask again elsewhere.
        if let Err(late) = tasks.shutdown(config::STOP_DEADLINE).await {
            tracing::warn!(%late, "some tasks did not end in time");
        }
        member_stop.cancel();
        drop(log);
        ended.await.map_err(Ended::Member)
    }
}

/// A member whose state differs from the majority's ends, with its process.
fn compare_with_others(tasks: &Tasks, agreement: Agreement) {
    let stop = tasks.token();
    tasks.spawn("agreement", OnFailure::StopProcess, async move {
        stop.run_until_cancelled(agreement.run()).await.unwrap_or(Ok(()))
    });
}

/// Ends the member once the server is to stop, and the server once the member has ended by itself. A leader lets
/// another member lead before it goes, so that nobody has to wait for an election.
async fn hand_over(
    stop: CancellationToken,
    member_stop: CancellationToken,
    handle: NodeHandle<Arc<berth_core::reply::Applied>>,
) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = member_stop.cancelled() => return stop.cancel(),
    }
    let handed_over = async {
        // Refused to a member that does not lead or is alone.
        if let Ok(successor) = handle.transfer_leadership(None).await {
            tracing::info!(member = successor, "handing leadership over");
            let _ = handle.status().wait_for(|status| status.role != Role::Leader).await;
        }
    };
    if tokio::time::timeout(HAND_OVER_WITHIN, handed_over).await.is_err() {
        tracing::warn!("nobody took over the leadership in time");
    }
    member_stop.cancel();
}

fn node_config(
    config: &Config,
    peer_address: SocketAddr,
    shutdown: CancellationToken,
) -> Result<node::Config, StartError> {
    let (birth, peers, address) = match &config.birth {
        Birth::Alone { cluster } => {
            let members = vec![(1, peer_address.to_string())];
            let name = format!("{cluster}/{:032x}", random()?);
            (bootstrap(&name, 1, &members)?, Vec::new(), peer_address.to_string())
        }
        Birth::Together { cluster, id, members } => {
            (bootstrap(cluster, *id, members)?, Vec::new(), address_of(*id, members, peer_address))
        }
        Birth::Join { id, cluster, members } => {
            (join(*cluster, *id)?, members.clone(), address_of(*id, members, peer_address))
        }
    };
    Ok(node::Config {
        directory: config.data_dir.clone(),
        birth,
        address,
        peers,
        settings: config.raft.clone(),
        seed: u64::from_be_bytes(random()?.to_be_bytes()[..8].try_into().expect("8 of 16 bytes")),
        runtime: tokio::runtime::Handle::current(),
        shutdown,
    })
}

fn bootstrap(
    name: &str,
    id: MemberId,
    members: &[(MemberId, String)],
) -> Result<recovery::Birth, StartError> {
    let membership = Membership::first(members.iter().cloned());
    let all: Vec<_> = membership.members().cloned().collect();
    let identity = identity(cluster_id(name, &all), id)?;
    Ok(recovery::Birth::Bootstrap { identity, membership })
}

fn join(cluster: ClusterId, id: MemberId) -> Result<recovery::Birth, StartError> {
    Ok(recovery::Birth::Join { identity: identity(cluster, id)? })
}

fn identity(cluster: ClusterId, id: MemberId) -> Result<Identity, StartError> {
    let drawn = random()?.to_be_bytes();
    let incarnation = u64::from_be_bytes(drawn[..8].try_into().expect("8 of 16 bytes"));
    Ok(node::new_identity(cluster, id, incarnation))
}

fn address_of(id: MemberId, members: &[(MemberId, String)], own: SocketAddr) -> String {
    members
        .iter()
        .find(|(listed, _)| *listed == id)
        .map_or_else(|| own.to_string(), |(_, address)| address.clone())
}

fn random() -> Result<u128, StartError> {
    use std::io::Read;
    let mut bytes = [0; 16];
    let drawn =
        std::fs::File::open(Path::new("/dev/urandom")).and_then(|mut file| file.read_exact(&mut bytes));
    drawn.map_err(StartError::Random)?;
    Ok(u128::from_be_bytes(bytes))
}

/// The server is ready, and serves as far as gRPC's own health service tells, while it knows a leader.
fn watch_health(
    tasks: &Tasks,
    handle: &NodeHandle<Arc<berth_core::reply::Applied>>,
    health: Health,
    reporter: HealthReporter,
) {
    let stop = tasks.token();
    let mut status = handle.status();
    tasks.spawn("health", OnFailure::Log, async move {
        loop {
            let leader = status.borrow_and_update().leader;
            let (part, served) = match leader {
                Some(_) => (Status::Ready, ServingStatus::Serving),
                None => (Status::NotReady("no leader is known".to_owned()), ServingStatus::NotServing),
            };
            health.report("raft", part);
            reporter.set_service_status("", served).await;
            tokio::select! {
                () = stop.cancelled() => return,
                changed = status.changed() => if changed.is_err() { return },
            }
        }
    });
}

fn serve(tasks: &Tasks, listener: TcpListener, router: Guarded) {
    let stop = tasks.child_token();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tasks.spawn("api", OnFailure::StopProcess, async move {
        // An orderly stop would wait for watches that never end; they are cut, and go on elsewhere.
        tokio::select! {
            served = router.serve_with_incoming(incoming) => served,
            () = stop.cancelled() => Ok(()),
        }
    });
}

/// Every service behind the layer that says who may do what.
type Guarded = Router<Stack<AccessLayer, tower_layer::Identity>>;

fn routes(
    tasks: &Tasks,
    log: &Log,
    connections: Connections,
    about: About,
    health: &Health,
    identify: Arc<dyn Identify>,
) -> Guarded {
    let hub = LogHub::default();
    let agents = AgentsService::new(log.clone(), connections, hub.clone(), tasks.clone());
    let (reporter, health_service) = tonic_health::server::health_reporter();
    watch_health(tasks, log.node(), health.clone(), reporter);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(berth_proto::DESCRIPTORS)
        .build_v1()
        .expect("the descriptors are those that the services were made of");
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .layer(AccessLayer::new(identify))
        .add_service(health_service)
        .add_service(reflection)
        .add_service(JobsServer::new(JobsService::new(log.clone())))
        .add_service(RunsServer::new(RunsService::new(log.clone())))
        .add_service(TenantsServer::new(TenantsService::new(log.clone())))
        .add_service(NodesServer::new(NodesService::new(log.clone())))
        .add_service(LogsServer::new(LogsService::new(log.clone(), hub)))
        .add_service(OperatorServer::new(OperatorService::new(log.clone(), about)))
        .add_service(AgentsServer::new(agents).max_decoding_message_size(MESSAGE_BYTES_MAX))
}
