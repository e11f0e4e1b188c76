//! What the tests ask of a server: jobs, how they are submitted, and in whose name.

#![allow(dead_code, reason = "each test program uses its part of it")]

use berth_core::command::Command;
use berth_core::id::RequestId;
use berth_core::job_spec::{
    Count, FakeProgram, JobKind, JobSpec, OnDisconnect, ProgramSpec, Retry, TaskSpec,
};
use berth_core::reply::Reply;
use berth_core::time::Millis;
use berth_proto::convert::job_spec;
use berth_proto::v1::{ErrorDetail, SubmitRequest};
use berth_scheduler::access::{Action, Everyone, Identify, Resource, authorize};
use berth_scheduler::server::Server;

/// A job of the tenant `default` with tasks of these names, which are done at once.
pub(crate) fn a_job(tasks: &[&str]) -> JobSpec {
    let fake = FakeProgram { runs_for: Millis(1), fail_first: 0, exit_code: 0, output: String::new() };
    let task = |name: &&str| TaskSpec {
        name: (*name).to_owned(),
        after: vec![],
        count: Count::Single,
        program: ProgramSpec::Fake(fake.clone()),
        resources: [("cpu".to_owned(), 100)].into(),
        memory_max: None,
        env: vec![],
        retry: Retry::default(),
        timeout: None,
        stop_grace: Millis(1000),
        on_disconnect: OnDisconnect::Keep,
    };
    JobSpec {
        kind: JobKind::Job,
        tenant: "default".into(),
        name: "j".into(),
        priority: 50,
        schedule: None,
        tasks: tasks.iter().map(task).collect(),
    }
}

/// Registers a job under a key, and starts it if that is wished.
pub(crate) fn submission(spec: &JobSpec, start: bool, key: u8) -> SubmitRequest {
    SubmitRequest {
        tenant: spec.tenant.clone(),
        job: spec.name.clone(),
        spec: Some(job_spec::to_proto(spec)),
        start,
        key: vec![key; 16].into(),
    }
}

/// Has a command applied for a client, past the wire.
pub(crate) async fn write(
    server: &Server,
    key: Option<RequestId>,
    command: Command,
) -> Result<(u64, Reply), ErrorDetail> {
    let everyone = Everyone.identify(&http::HeaderMap::new(), None);
    let grant = authorize(&everyone, Action::Operate, Resource::Cluster).unwrap();
    server.log().write(&grant, key, command).await
}
