use std::sync::Arc;

use berth_core::command::Command;
use berth_core::id::RequestId;
use berth_core::reply::Reply;
use berth_proto::v1::ErrorCode;
use tonic::{Request, Status};

use super::{failed, unknown};
use crate::access::{Access, Grant, Resource, Scope};
use crate::log::{Bounds, Log};
use crate::publish::View;

/// What a service works with, behind the one way to it: a handler gets at it only with a request that is authorised.
#[derive(Debug, Clone)]
pub(super) struct Gate<S>(S);

impl<S> Gate<S> {
    pub(super) fn new(behind: S) -> Gate<S> {
        Gate(behind)
    }

    /// Lets a request through that acts on a resource, or not.
    pub(super) fn admit<T>(
        &self,
        request: Request<T>,
        resource: impl for<'r> FnOnce(&'r T) -> Resource<'r>,
    ) -> Result<(Admitted<'_, S>, T), Status> {
        let access = request.extensions().get::<Access>();
        let access = access.ok_or_else(|| unknown(ErrorCode::Internal, "the request came past the gate"))?;
        let grant = access.authorize(resource(request.get_ref()));
        let grant = grant.map_err(|denied| unknown(ErrorCode::Denied, denied.to_string()))?;
        Ok((Admitted { behind: &self.0, grant, bounds: Bounds::from_now() }, request.into_inner()))
    }
}

/// A request that was let through, for as long as it is answered.
#[derive(Debug)]
pub(super) struct Admitted<'a, S> {
    /// What the service works with.
    pub(super) behind: &'a S,
    grant: Grant,
    /// For all that is read and written for it together.
    bounds: Bounds,
}

impl<S> Admitted<'_, S> {
    /// The tenants that the answer may be about.
    pub(super) fn scope(&self) -> &Scope {
        self.grant.scope()
    }
}

impl<S: AsRef<Log>> Admitted<'_, S> {
    /// A view that is as new as the request, or with `stale_ok` the latest one here.
    pub(super) async fn read(&self, stale_ok: bool) -> Result<Arc<View>, Status> {
        self.behind.as_ref().read_within(self.bounds, stale_ok).await.map_err(|error| failed(&error))
    }

    /// Has a command applied for the caller.
    pub(super) async fn write(
        &self,
        key: Option<RequestId>,
        command: Command,
    ) -> Result<(u64, Reply), Status> {
        let written = self.behind.as_ref().write_within(self.bounds, &self.grant, key, command).await;
        written.map_err(|error| failed(&error))
    }
}

impl AsRef<Log> for Log {
    fn as_ref(&self) -> &Log {
        self
    }
}
