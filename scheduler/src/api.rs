//! The public API: every handler has its request admitted by the [`gate`], checks what it was given, and then reads a
//! view or has a command applied.

mod gate;

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

use berth_core::id::{JobHandle, RequestId};
use berth_core::state::State;
use berth_proto::convert::status::{detail, of_invalid, to_status};
use berth_proto::convert::{Error, Fault};
use berth_proto::v1::{ErrorCode, ErrorDetail};
use tonic::Status;

use crate::access::Scope;

pub use agents::AgentsService;
pub use jobs::JobsService;
pub use logs::LogsService;
pub use nodes::NodesService;
pub use operator::{About, OperatorService};
pub use runs::RunsService;
pub use tenants::TenantsService;

/// Whether a job is of a tenant of this scope.
fn sees_job(scope: &Scope, state: &State, job: JobHandle) -> bool {
    match scope {
        // Asked of every run of a list, and mostly answered here.
        Scope::Everything => true,
        Scope::Tenant(_) => scope.sees(&state.tenant(state.job(job).tenant).name),
    }
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
