//! The replicated log as the rest of the server sees it: commands go in and are answered, and what was read is at
//! least as new as the question. Works on every member; a follower asks the leader.

mod bounds;
mod errands;
mod errors;
mod leadership;
mod tries;

use std::sync::Arc;

use berth_core::apply::first_answer;
use berth_core::command::{Command, Envelope, FORMAT, Origin, Submit};
use berth_core::id::{EntryId, RequestId};
use berth_core::reply::{Applied, Reply};
use berth_core::state::State;
use berth_core::time::Timestamp;
use berth_proto::convert::envelope;
use berth_proto::convert::status::{detail, of_refusal};
use berth_proto::v1::{ErrorCode, ErrorDetail};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout_at;

use crate::access::Grant;
use crate::admission;
use crate::clock::{Doubt, Reading};
use crate::clock_watch::Clocks;
use crate::publish::{View, Views};
use crate::raft::driver::{ProposeError, ReadError, Role, Status};
use crate::raft::node::{Class, NodeHandle};
use crate::rates::{Pace, Rates};
use crate::room::Room;

pub use bounds::Bounds;
pub use errands::Forwarded;
use errors::{of_propose, of_read};
use leadership::Leadership;
use tries::Tries;

/// How soon a proposal may be tried again that found no room on the disk, in milliseconds.
const RETRY_NO_ROOM_MS: u64 = 1_000;

/// Requests that wait for a leader; whoever has more is told at once that there is none.
const WAITING_MAX: usize = 256;

/// When to ask again while the time is not known for certain.
const UNMEASURED_RETRY_MS: u64 = 50;

/// A command with what the proposer has to know of it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Makes it safe to repeat.
    pub key: Option<RequestId>,
    /// Who asks.
    pub actor: String,
    /// From where.
    pub origin: Origin,
    /// For what.
    pub command: Command,
}

impl Request {
    /// The command as it enters the log, proposed in `term` at `time` by a member with this state.
    pub fn into_envelope(self, state: &State, term: u64, time: Timestamp) -> Envelope {
        let header = state.tables().header;
        Envelope {
            format: FORMAT,
            feature_level: header.feature_level,
            cluster_epoch: header.cluster_epoch,
            term,
            time,
            request: self.key,
            actor: self.actor,
            origin: self.origin,
            command: self.command,
        }
    }
}

/// The way into the log and the views. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    node: NodeHandle<Arc<Applied>>,
    views: Views,
    clocks: Clocks,
    room: watch::Receiver<Room>,
    /// How fast tenants submit, where this member leads.
    rates: Arc<Rates>,
    /// Places for requests that wait for a leader.
    waiting: Arc<Semaphore>,
}

impl Log {
    /// The log of this member, whose clock is watched and whose disk has so much room. Where it leads, tenants submit at this pace.
    pub fn new(
        node: NodeHandle<Arc<Applied>>,
        views: Views,
        clocks: Clocks,
        room: watch::Receiver<Room>,
        pace: Pace,
    ) -> Log {
        Log {
            node,
            views,
            clocks,
            room,
            rates: Arc::new(Rates::new(pace)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }

    /// What the time is by this member's clock, and whether that can be trusted.
    pub fn time(&self) -> Reading {
        self.clocks.read()
    }

    /// The member behind it.
    pub fn node(&self) -> &NodeHandle<Arc<Applied>> {
        &self.node
    }

    /// The latest view of this member, however old.
    pub fn latest(&self) -> Arc<View> {
        self.views.latest()
    }

    /// The views of this member.
    pub fn views(&self) -> Views {
        self.views.clone()
    }

    /// Has a command applied for a client and gives the index and the answer. Here the state is as new.
    ///
    /// # Errors
    /// The refusal of the state machine, or why there is no answer.
    pub async fn write(
        &self,
        grant: &Grant,
        key: Option<RequestId>,
        command: Command,
    ) -> Result<(u64, Reply), ErrorDetail> {
        self.write_within(Bounds::from_now(), grant, key, command).await
    }

    /// [`Log::write`] as a part of a request that came before.
    ///
    /// # Errors
    /// As there.
    pub async fn write_within(
        &self,
        bounds: Bounds,
        grant: &Grant,
        key: Option<RequestId>,
        command: Command,
    ) -> Result<(u64, Reply), ErrorDetail> {
        if !grant.writes() {
            return Err(detail(ErrorCode::Internal, "what was granted for looking writes nothing"));
        }
        let request = Request { key, actor: grant.subject().to_owned(), origin: grant.origin(), command };
        let (index, reply) = self.write_at_leader(request, bounds).await?;
        if let Reply::Refused(refusal) = reply {
            return Err(of_refusal(&refusal));
        }
        // What was written can be read on this member from here on.
        let lags = || {
            let why = "it was applied, but this server lags behind; ask again with the same key";
            detail(ErrorCode::UnknownOutcome, why)
        };
        let applied = timeout_at(bounds.answer, self.node.wait_applied(index)).await;
        applied.map_err(|_| lags())?.map_err(|_| lags())?;
        Ok((index, reply))
    }

    /// Tries until there is an answer, while the leader changes and that is safe.
    async fn write_at_leader(&self, request: Request, bounds: Bounds) -> Result<(u64, Reply), ErrorDetail> {
        let mut tries = Tries::new(request.key.is_some());
        loop {
            let before = Leadership::of(&self.node.status().borrow());
            let here = self.node.status().borrow().role == Role::Leader;
            let this_try = Bounds::of_try().within(bounds);
            let tried = match here {
                true => self.write_here(request.clone(), this_try).await,
                false => self.forward(request.clone(), this_try).await,
            };
            let error = match tried {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if !tries.failed(&error) || !self.may_try_again(before, bounds).await {
                return Err(tries.answer(error));
            }
        }
    }

    /// After a try under this leadership has failed: waits for another one; `false` when there is no time or room for
    /// that.
    async fn may_try_again(&self, before: Leadership, bounds: Bounds) -> bool {
        let Ok(_place) = self.waiting.try_acquire() else { return false };
        before.gives_way(self.node.status(), bounds.leader).await
    }

    /// A view in which everything is that was true when this was called; with `stale_ok` the latest one here.
    ///
    /// # Errors
    /// When no leader confirms it in time.
    pub async fn read(&self, stale_ok: bool) -> Result<Arc<View>, ErrorDetail> {
        self.read_within(Bounds::from_now(), stale_ok).await
    }

    /// [`Log::read`] as a part of a request that came before.
    ///
    /// # Errors
    /// As there.
    pub async fn read_within(&self, bounds: Bounds, stale_ok: bool) -> Result<Arc<View>, ErrorDetail> {
        if stale_ok {
            return Ok(self.latest());
        }
        loop {
            let before = Leadership::of(&self.node.status().borrow());
            let asked = timeout_at(bounds.answer, self.node.read_index()).await;
            let error = match asked.unwrap_or(Err(ReadError::Timeout)) {
                Ok(index) => {
                    let mut views = self.views.clone();
                    let stopping = || detail(ErrorCode::NoLeader, "this server is stopping");
                    return views.at_least(index).await.ok_or_else(stopping);
                }
                Err(error) => error,
            };
            let another = matches!(error, ReadError::NotLeader { .. });
            if !another || !self.may_try_again(before, bounds).await {
                return Err(of_read(&error));
            }
        }
    }

    /// Proposes a command in `term` and waits until it is applied.
    ///
    /// # Errors
    /// When this member does not lead in that term, or the log takes nothing now: a server that has just started does
    /// not stamp a time before it was compared.
    pub async fn propose(
        &self,
        term: u64,
        request: Request,
    ) -> Result<(EntryId, Arc<Applied>), ProposeError> {
        if !self.room().admits(&request.command) {
            return Err(ProposeError::Busy { retry_after_ms: RETRY_NO_ROOM_MS });
        }
        let Reading { time, doubt } = self.time();
        if doubt == Some(Doubt::Unmeasured) {
            return Err(ProposeError::Busy { retry_after_ms: UNMEASURED_RETRY_MS });
        }
        let class = match (request.origin, &request.command) {
            (Origin::Client, Command::Submit(_)) => Class::Submission,
            (Origin::Client, _) => Class::Control,
            (Origin::Agent | Origin::Leader, _) => Class::Urgent,
        };
        let envelope = request.into_envelope(&self.latest().state, term, time);
        self.node.propose_as(class, term, envelope::encode(&envelope).into()).await
    }

    /// How much room the disk of this member has.
    pub fn room(&self) -> Room {
        *self.room.borrow()
    }

    /// True when this member leads and has applied the first entry of its term.
    pub fn leads(&self) -> bool {
        self.node.status().borrow().leader_ready_term.is_some()
    }

    async fn write_here(&self, request: Request, bounds: Bounds) -> Result<(u64, Reply), ErrorDetail> {
        let term = self.term_led(bounds).await?;
        let view = self.latest();
        // Given whatever speaks against such a command by now, and without a write.
        let known = request.key.and_then(|key| first_answer(&view.state, key, &request.command));
        if let Some(first) = known {
            return Ok((view.applied.index, first));
        }
        if let Some(objection) = self.objection(&view.state, &request.command) {
            return Err(objection);
        }
        let late = |_| {
            let why = "the leader could not have it applied in time; ask again with the same key";
            detail(ErrorCode::UnknownOutcome, why)
        };
        let proposed = timeout_at(bounds.answer, self.propose(term, request)).await.map_err(late)?;
        let (entry, applied) = proposed.map_err(|error| self.why_not_proposed(&error))?;
        Ok((entry.index, applied.reply.clone()))
    }

    /// A leader that hands over is only for a moment too busy for everything; the next one takes it.
    fn why_not_proposed(&self, error: &ProposeError) -> ErrorDetail {
        let hands_over = self.node.status().borrow().handing_over;
        match error {
            ProposeError::Busy { .. } if hands_over => {
                detail(ErrorCode::NotLeader, "this member hands its leadership over")
            }
            error => of_propose(error),
        }
    }

    /// What this member has as leader against a command, besides what the state machine will say.
    fn objection(&self, state: &State, command: &Command) -> Option<ErrorDetail> {
        if !self.room().admits(command) {
            return Some(detail(
                ErrorCode::DiskFull,
                "the disk of the leader is almost full: free some room there (`berth operator status` says which server leads)",
            ));
        }
        let Command::Submit(Submit { tenant, spec, .. }) = command else { return None };
        self.too_fast(state, tenant).or_else(|| admission::refusal(state, spec.as_deref()?))
    }

    fn too_fast(&self, state: &State, tenant: &str) -> Option<ErrorDetail> {
        // The state machine will say that there is no such tenant.
        let handle = state.tenant_named(tenant)?;
        let wait = self.rates.admit(handle, std::time::Instant::now()).err()?;
        let why = format!("tenant {tenant} submits too fast; try again in {} ms", wait.as_millis());
        let retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        Some(ErrorDetail { retry_after_ms, ..detail(ErrorCode::Overloaded, why) })
    }

    /// The term in which this member leads. One that has just been elected is waited for: all that it needs is the first
    /// entry of its term.
    async fn term_led(&self, bounds: Bounds) -> Result<u64, ErrorDetail> {
        let mut status = self.node.status();
        let settled = |now: &Status| now.role != Role::Leader || now.leader_ready_term.is_some();
        let waits = !settled(&status.borrow());
        if waits {
            let full =
                |_| detail(ErrorCode::NoLeader, "the leader was elected just now, and many wait for it");
            let _place = self.waiting.try_acquire().map_err(full)?;
            // What has not come by then is seen below.
            let _ = timeout_at(bounds.leader, status.wait_for(settled)).await;
        }
        let term = status.borrow().leader_ready_term;
        term.ok_or_else(|| detail(ErrorCode::NotLeader, "this member does not lead"))
    }
}
