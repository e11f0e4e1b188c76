use std::sync::Arc;
use std::time::Instant;

use berth_core::model::NodeState;
use berth_proto::convert::status::detail;
use berth_proto::v1::operator_server::Operator;
use berth_proto::v1::{self, ErrorCode, MemberRole};
use tonic::{Request, Response, Status};

use super::{failed, gate::Gate, invalid};
use crate::access::Resource;
use crate::clock::Doubt;
use crate::clock_watch;
use crate::log::Log;
use crate::raft::driver::{self, ChangeError, ChangeRequest};
use crate::raft::membership::{MemberId, Standing};

/// What a member says of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// Where clients and agents reach it.
    pub address: String,
    /// When its process started.
    pub started: Instant,
}

/// The members of the cluster.
#[derive(Debug, Clone)]
pub struct OperatorService {
    gate: Gate<Member>,
}

/// This member, and what it knows of the others.
#[derive(Debug, Clone)]
struct Member {
    log: Log,
    about: Arc<About>,
}

impl AsRef<Log> for Member {
    fn as_ref(&self) -> &Log {
        &self.log
    }
}

impl OperatorService {
    /// The service of this member.
    pub fn new(log: Log, about: About) -> OperatorService {
        OperatorService { gate: Gate::new(Member { log, about: Arc::new(about) }) }
    }
}

impl Member {
    fn role(&self, id: MemberId, standing: Standing) -> MemberRole {
        match (self.log.node().status().borrow().leader == Some(id), standing) {
            (true, _) => MemberRole::Leader,
            (false, Standing::Voter) => MemberRole::Voter,
            (false, Standing::Learner) => MemberRole::Learner,
        }
    }

    async fn change(&self, change: ChangeRequest) -> Result<driver::ChangeDone, Status> {
        if !self.log.leads() {
            return Err(failed(&self.log.not_leader().await));
        }
        self.log.node().change_membership(change).await.map_err(|error| failed(&of_change(&error)))
    }
}

#[tonic::async_trait]
impl Operator for OperatorService {
    async fn members(
        &self,
        request: Request<v1::MembersRequest>,
    ) -> Result<Response<v1::MembersReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |_| Resource::Cluster)?;
        let Member { log, about } = admitted.behind;
        // Only the leader knows how the others are.
        if !request.stale_ok && !log.leads() {
            return Err(failed(&log.not_leader().await));
        }
        let view = admitted.read(request.stale_ok).await?;
        let status = log.node().status().borrow().clone();
        let own = log.node().identity().member;
        let members = status.membership.members().map(async |member| {
            let peer = status.peers.get(&member.id);
            let itself = (member.id == own && log.leads()).then_some(());
            // A new leader knows of nobody's log before it was answered.
            let known = peer.map(|peer| peer.matched).filter(|matched| *matched > 0);
            v1::MemberView {
                id: member.id,
                address: member.address.clone(),
                role: admitted.behind.role(member.id, member.standing).into(),
                match_index: itself.map(|()| view.applied.index).or(known),
                reachable: itself.map(|()| true).or(peer.map(|peer| peer.live)),
                client_address: match member.id == own {
                    true => about.address.clone(),
                    false => log.address_of(member.id).await.unwrap_or_default(),
                },
            }
        });
        let members = futures_util::future::join_all(members).await;
        Ok(Response::new(v1::MembersReply { members, as_of_index: view.applied.index }))
    }

    async fn add_member(
        &self,
        request: Request<v1::AddMemberRequest>,
    ) -> Result<Response<v1::AddMemberReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |_| Resource::Cluster)?;
        if !is_address(&request.address) {
            return Err(invalid("address", "write it as host:port, as the other members reach it"));
        }
        let Member { log, .. } = admitted.behind;
        let done = admitted.behind.change(ChangeRequest::Add { address: request.address }).await?;
        let cluster_id = log.node().identity().cluster.to_string();
        let index = log.node().status().borrow().applied.index;
        Ok(Response::new(v1::AddMemberReply { id: done.id, index, cluster_id }))
    }

    async fn remove_member(
        &self,
        request: Request<v1::RemoveMemberRequest>,
    ) -> Result<Response<v1::RemoveMemberReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |_| Resource::Cluster)?;
        let Member { log, .. } = admitted.behind;
        admitted.behind.change(ChangeRequest::Remove { id: request.id }).await?;
        let index = log.node().status().borrow().applied.index;
        Ok(Response::new(v1::RemoveMemberReply { index }))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::StatusReply>, Status> {
        let (admitted, _) = self.gate.admit(request, |_| Resource::Cluster)?;
        let Member { log, about } = admitted.behind;
        let view = log.latest();
        let status = log.node().status().borrow().clone();
        let identity = log.node().identity().clone();
        let standing =
            status.membership.get(identity.member).map_or(Standing::Learner, |member| member.standing);
        let leader_address = match (log.leads(), status.leader) {
            (true, _) => about.address.clone(),
            (false, Some(_)) => log.leader_address().await,
            (false, None) => String::new(),
        };
        let index = view.state.index();
        let ready =
            view.state.tables().nodes.iter().filter(|(_, node)| node.state == NodeState::Ready).count();
        let waiting = index.queue.iter().map(|key| u64::from(view.state.step(key.step).ready())).sum();
        let header = view.state.tables().header;
        let clock = log.time().doubt.filter(Doubt::is_alarm).map(|doubt| doubt.to_string());
        let disk = log.room().alarm().map(str::to_owned);
        Ok(Response::new(v1::StatusReply {
            cluster_id: identity.cluster.to_string(),
            member_id: identity.member,
            role: admitted.behind.role(identity.member, standing).into(),
            term: status.term,
            leader_id: status.leader.unwrap_or(0),
            leader_address,
            commit_index: status.commit,
            applied_index: view.applied.index,
            cluster_epoch: header.cluster_epoch,
            feature_level: header.feature_level,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(about.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            state_hash: view.state.hash().to_be_bytes().to_vec().into(),
            alarms: clock.into_iter().chain(disk).collect(),
            nodes_ready: ready as u64,
            runs_active: index.active_runs.len() as u64,
            tasks_waiting: waiting,
            tasks_running: index.live() as u64,
            time_ms: clock_watch::now().wall.0,
        }))
    }
}

/// Whether a text is a host and a port to which others can connect.
fn is_address(text: &str) -> bool {
    let address = text.parse::<http::uri::Authority>().ok().filter(|_| !text.contains('@'));
    address
        .is_some_and(|address| !address.host().is_empty() && address.port_u16().is_some_and(|port| port > 0))
}

fn of_change(error: &ChangeError) -> v1::ErrorDetail {
    let code = match error {
        ChangeError::NotLeader { .. } => ErrorCode::NotLeader,
        ChangeError::NoSuchMember { .. } => ErrorCode::UnknownMember,
        ChangeError::Unknown | ChangeError::Stopped => ErrorCode::UnknownOutcome,
        ChangeError::InProgress
        | ChangeError::AlreadyVoter { .. }
        | ChangeError::NotCaughtUp { .. }
        | ChangeError::AddressTaken { .. }
        | ChangeError::NoLiveQuorum { .. }
        | ChangeError::Leads { .. } => ErrorCode::Membership,
    };
    detail(code, error.to_string())
}
