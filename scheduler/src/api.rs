//! The public API: every handler makes a caller of its request, is authorised, checks what it was given, and then
//! reads a view or has a command applied.

mod admission;
mod agents;
mod jobs;
mod logs;
mod nodes;
mod operator;
mod page;
mod render;
mod runs;
mod tenants;
mod watch;

use std::net::SocketAddr;

use berth_core::command::{Command, Origin};
use berth_core::id::RequestId;
use berth_core::reply::Reply;
use berth_proto::convert::status::{detail, of_invalid, to_status};
use berth_proto::convert::{Error, Fault};
use berth_proto::v1::{ErrorCode, ErrorDetail};
use tonic::Status;

use crate::access::{self, Action, Caller, Resource, Role, Scope};
use crate::log::{Log, Request};

pub use agents::AgentsService;
pub use jobs::JobsService;
pub use logs::LogsService;
pub use nodes::NodesService;
pub use operator::{About, OperatorService};
pub use runs::RunsService;
pub use tenants::TenantsService;

/// The header in which a client may say who it is; it is recorded and, without tokens, not proved.
const ACTOR_HEADER: &str = "berth-actor";

/// Who makes a request. The one place where that is decided.
fn caller<T>(request: &tonic::Request<T>) -> Caller {
    let named = request.metadata().get(ACTOR_HEADER).and_then(|value| value.to_str().ok());
    let subject = named.filter(|name| !name.is_empty() && name.len() <= 128).map_or_else(
        || {
            format!(
                "anonymous@{}",
                request.remote_addr().map_or_else(String::new, |from: SocketAddr| from.ip().to_string())
            )
        },
        str::to_owned,
    );
    Caller { subject, scope: Scope::Everything, role: Role::Operator, origin: Origin::Client }
}

/// Lets a request through, or not.
fn admit<T>(request: &tonic::Request<T>, action: Action, resource: Resource<'_>) -> Result<Caller, Status> {
    let caller = caller(request);
    match access::authorize(&caller, action, resource) {
        Ok(()) => Ok(caller),
        Err(denied) => Err(to_status(&detail(ErrorCode::Denied, denied.to_string()))),
    }
}

/// What is named by a tenant: one, or all of them when the name is empty.
fn of_tenant(name: &str) -> Resource<'_> {
    if name.is_empty() { Resource::Cluster } else { Resource::Tenant(name) }
}

/// Has a command applied for a caller.
async fn write(
    log: &Log,
    caller: Caller,
    key: Option<RequestId>,
    command: Command,
) -> Result<(u64, Reply), Status> {
    let request = Request { key, actor: caller.subject, origin: caller.origin, command };
    log.write(request).await.map_err(|error| to_status(&error))
}

/// A key of 16 bytes; none when it is empty.
fn key(bytes: &[u8]) -> Result<Option<RequestId>, Status> {
    match (bytes.len(), <[u8; 16]>::try_from(bytes)) {
        (0, _) => Ok(None),
        (_, Ok(bytes)) => Ok(Some(RequestId(u128::from_be_bytes(bytes)))),
        (_, Err(_)) => Err(invalid("key", "a key has 16 bytes")),
    }
}

fn invalid(path: &str, what: &'static str) -> Status {
    to_status(&of_invalid(&Error::at(path, Fault::Wrong(what))))
}

fn failed(error: &ErrorDetail) -> Status {
    to_status(error)
}

fn unknown(error: ErrorCode, message: impl Into<String>) -> Status {
    to_status(&detail(error, message))
}
