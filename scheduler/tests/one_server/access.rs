//! Who may do what, over the wire: every method through its layer to its handler, and callers with less than every
//! right.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use berth_core::command::Origin;
use berth_proto::v1::logs_client::LogsClient;
use berth_proto::v1::nodes_client::NodesClient;
use berth_proto::v1::operator_client::OperatorClient;
use berth_proto::v1::tenants_client::TenantsClient;
use berth_proto::v1::{ErrorCode, TenantSpec};
use berth_scheduler::access::{Action, Caller, METHODS, Role, Scope};
use http::HeaderMap;
use prost::Message as _;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Request, Status};

use super::*;

/// Callers are what they say in their headers.
#[derive(Debug)]
struct AsTheySay;

impl Identify for AsTheySay {
    fn identify(&self, headers: &HeaderMap, from: Option<SocketAddr>) -> Caller {
        let said = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let role = match said("role").as_deref() {
            Some("viewer") => Role::Viewer,
            Some("submitter") => Role::Submitter,
            Some("operator") => Role::Operator,
            other => panic!("a role that is none: {other:?}"),
        };
        assert!(from.is_some_and(|from| from.ip().is_loopback()), "the layer knows the address: {from:?}");
        let scope = said("scope").map_or(Scope::Everything, Scope::Tenant);
        Caller { subject: "ann".into(), scope, role, origin: Origin::Client }
    }
}

/// Says who asks.
#[derive(Clone, Copy)]
struct Saying {
    role: &'static str,
    scope: Option<&'static str>,
}

impl Interceptor for Saying {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("role", MetadataValue::from_static(self.role));
        if let Some(scope) = self.scope {
            request.metadata_mut().insert("scope", MetadataValue::from_static(scope));
        }
        Ok(request)
    }
}

const OPERATOR: Saying = Saying { role: "operator", scope: None };
const ANN: Saying = Saying { role: "submitter", scope: Some("acme") };

type Asking = InterceptedService<Channel, Saying>;

async fn house_of_callers() -> House {
    let house = house_for(Arc::new(AsTheySay)).await;
    wait_for_leader(&house).await;
    house
}

impl House {
    fn asking(&self, who: Saying) -> Asking {
        InterceptedService::new(self.channel.clone(), who)
    }

    /// Sends an empty request to any method.
    async fn call(&self, who: Saying, method: &str) -> Result<(), Status> {
        let mut client = tonic::client::Grpc::new(self.asking(who));
        client.ready().await.unwrap();
        let path = format!("/{method}").parse().unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let asked = client.streaming(Request::new(tokio_stream::iter([()])), path, codec);
        tokio::time::timeout(DEADLINE, asked).await.unwrap().map(drop)
    }

    async fn add_tenant(&self, name: &str) {
        let tenant = TenantSpec { name: name.into(), weight: 1, ..Default::default() };
        let request = v1::ApplyTenantRequest { tenant: Some(tenant), ..Default::default() };
        TenantsClient::new(self.asking(OPERATOR)).apply(request).await.unwrap();
    }

    /// Starts a run of a tenant's job and gives its id.
    async fn start(&self, who: Saying, tenant: &str, key: u8) -> Result<String, Status> {
        let request = starting(tenant, tenant, key);
        let submitted = JobsClient::new(self.asking(who)).submit(request).await?;
        Ok(submitted.into_inner().run)
    }
}

fn starting(tenant: &str, of_spec: &str, key: u8) -> v1::SubmitRequest {
    let spec = JobSpec { tenant: of_spec.into(), ..a_job(&["a"]) };
    v1::SubmitRequest { tenant: tenant.into(), ..submission(&spec, true, key) }
}

/// The failure that an answer carries, with its code for people.
fn failure<T: std::fmt::Debug>(answer: Result<T, Status>) -> (ErrorCode, String) {
    let detail = status::from_status(&answer.unwrap_err()).expect("a failure that says what it is");
    (detail.error(), detail.code)
}

fn denied() -> (ErrorCode, String) {
    (ErrorCode::Denied, "E403".to_owned())
}

fn no_such_run() -> (ErrorCode, String) {
    (ErrorCode::UnknownRun, "E403".to_owned())
}

/// What the handler of each method makes of an empty request; `None` for an answer. Nobody else would say that.
fn of_nothing() -> BTreeMap<&'static str, Option<ErrorCode>> {
    use ErrorCode::{Invalid, UnknownMember, UnknownNode, UnknownTenant};
    BTreeMap::from([
        ("berth.v1.Jobs/Submit", Some(Invalid)),
        ("berth.v1.Jobs/Validate", Some(Invalid)),
        ("berth.v1.Jobs/Stop", Some(UnknownTenant)),
        ("berth.v1.Jobs/Get", Some(Invalid)),
        ("berth.v1.Jobs/List", None),
        ("berth.v1.Runs/Get", Some(Invalid)),
        ("berth.v1.Runs/List", None),
        ("berth.v1.Runs/ListTasks", Some(Invalid)),
        ("berth.v1.Runs/Cancel", Some(Invalid)),
        ("berth.v1.Runs/Watch", None),
        ("berth.v1.Tenants/Apply", Some(Invalid)),
        ("berth.v1.Tenants/Get", Some(UnknownTenant)),
        ("berth.v1.Tenants/List", None),
        ("berth.v1.Nodes/List", None),
        ("berth.v1.Nodes/Get", Some(UnknownNode)),
        ("berth.v1.Nodes/Drain", Some(UnknownNode)),
        ("berth.v1.Nodes/Undrain", Some(UnknownNode)),
        ("berth.v1.Nodes/Remove", Some(UnknownNode)),
        ("berth.v1.Logs/Read", Some(Invalid)),
        ("berth.v1.Operator/Members", None),
        ("berth.v1.Operator/AddMember", Some(Invalid)),
        ("berth.v1.Operator/RemoveMember", Some(UnknownMember)),
        ("berth.v1.Operator/Status", None),
        ("berth.agent.v1.Agents/Session", None),
        // A refusal of the handler's without details.
        ("berth.agent.v1.Agents/Logs", Some(ErrorCode::Unspecified)),
    ])
}

/// Every method of the public services, as their descriptors tell.
fn described() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(berth_proto::DESCRIPTORS).unwrap();
    let mut methods = Vec::new();
    for file in set.file.iter().filter(|file| !file.package().starts_with("berth.peer.")) {
        for service in &file.service {
            let name = |method: &str| format!("{}.{}/{method}", file.package(), service.name());
            methods.extend(service.method.iter().map(|method| name(method.name())));
        }
    }
    methods
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_reaches_its_handler_for_those_whose_role_allows_its_action() {
    let house = house_of_callers().await;
    let (actions, of_nothing) = (BTreeMap::from_iter(METHODS.iter().copied()), of_nothing());
    for method in described() {
        let method = method.as_str();
        for (role, allowed) in [
            ("viewer", &[Action::Read][..]),
            ("submitter", &[Action::Read, Action::Submit]),
            ("operator", &[Action::Read, Action::Submit, Action::Operate, Action::Serve]),
        ] {
            let answer = house.call(Saying { role, scope: None }, method).await;
            if !allowed.contains(&actions[method]) {
                assert_eq!(failure(answer), denied(), "{method} for a {role}");
                continue;
            }
            let error = answer.err().map(|error| {
                assert_ne!(error.code(), Code::Unimplemented, "{method} for a {role}: {error}");
                status::from_status(&error).map_or(ErrorCode::Unspecified, |detail| detail.error())
            });
            assert_eq!(error, of_nothing[method], "{method} for a {role}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_no_table_is_refused_and_health_and_reflection_are_for_anyone() {
    let house = house_of_callers().await;
    for unknown in ["berth.v1.Jobs/Steal", "berth.peer.v1.Peer/Forward", "grpc.health.v1.Health/Heal"] {
        let refused = house.call(OPERATOR, unknown).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{unknown}: {refused}");
        assert!(refused.message().contains(unknown), "the layer says so, not a service: {refused}");
    }
    // Nobody says who asks; that would be a panic.
    let mut health = tonic_health::pb::health_client::HealthClient::new(house.channel.clone());
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
    for public in ["grpc.health.v1.Health/Watch", "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"]
    {
        house.call(Saying { role: "viewer", scope: Some("nowhere") }, public).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_one_tenant_finds_nothing_of_another() {
    let house = house_of_callers().await;
    for tenant in ["acme", "other"] {
        house.add_tenant(tenant).await;
    }
    let own = house.start(ANN, "acme", 1).await.unwrap();
    let others = house.start(OPERATOR, "other", 2).await.unwrap();
    jobs_and_tenants_of_one(&house).await;

    let mut runs = RunsClient::new(house.asking(ANN));
    let listed = runs.list(v1::ListRunsRequest::default()).await.unwrap().into_inner().runs;
    assert_eq!(listed.iter().map(|run| &run.id).collect::<Vec<_>>(), [&own]);
    let all = RunsClient::new(house.asking(OPERATOR)).list(v1::ListRunsRequest::default()).await.unwrap();
    assert_eq!(all.into_inner().runs.len(), 2);
    let elsewhere = || "other".to_owned();
    let list = v1::ListRunsRequest { tenant: elsewhere(), ..Default::default() };
    assert_eq!(failure(runs.list(list).await), denied());

    for (run, tenant, answer) in [(&others, "", no_such_run()), (&others, "other", denied())] {
        let (run, tenant) = (run.clone(), tenant.to_owned());
        let get = v1::GetRunRequest { run: run.clone(), tenant: tenant.clone(), ..Default::default() };
        assert_eq!(failure(runs.get(get).await), answer);
        let tasks = v1::ListTasksRequest { run: run.clone(), tenant: tenant.clone(), ..Default::default() };
        assert_eq!(failure(runs.list_tasks(tasks).await), answer);
        let watch = v1::WatchRunsRequest { run: run.clone(), tenant: tenant.clone(), ..Default::default() };
        assert_eq!(failure(runs.watch(watch).await.map(drop)), answer);
        let logs = v1::ReadLogsRequest {
            run: run.clone(),
            tenant: tenant.clone(),
            stream: v1::LogStream::Both.into(),
            ..Default::default()
        };
        assert_eq!(failure(LogsClient::new(house.asking(ANN)).read(logs).await.map(drop)), answer);
        let cancel = v1::CancelRunRequest { run, tenant, ..Default::default() };
        assert_eq!(failure(runs.cancel(cancel).await), answer);
    }
    own_run_is_there(&house, &own).await;
}

async fn own_run_is_there(house: &House, own: &str) {
    let mut runs = RunsClient::new(house.asking(ANN));
    let get = v1::GetRunRequest { run: own.to_owned(), ..Default::default() };
    assert_eq!(runs.get(get).await.unwrap().into_inner().run.unwrap().tenant, "acme");
    let tasks = v1::ListTasksRequest { run: own.to_owned(), ..Default::default() };
    assert_eq!(runs.list_tasks(tasks).await.unwrap().into_inner().tasks.len(), 1);
    let logs =
        v1::ReadLogsRequest { run: own.to_owned(), stream: v1::LogStream::Both.into(), ..Default::default() };
    let unstarted = LogsClient::new(house.asking(ANN)).read(logs).await.map(drop);
    assert_eq!(failure(unstarted).0, ErrorCode::LogsUnavailable);
    let cancel = v1::CancelRunRequest { run: own.to_owned(), ..Default::default() };
    assert_eq!(runs.cancel(cancel).await.unwrap().into_inner().run, own);
}

/// What ann, who sees the tenant acme alone, is told of jobs, tenants and the cluster.
async fn jobs_and_tenants_of_one(house: &House) {
    let mut jobs = JobsClient::new(house.asking(ANN));
    let listed = jobs.list(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    assert_eq!(listed.iter().map(|job| job.tenant.as_str()).collect::<Vec<_>>(), ["acme"]);
    let (mut tenants, all) = (TenantsClient::new(house.asking(ANN)), v1::ListTenantsRequest::default());
    let listed = tenants.list(all).await.unwrap().into_inner().tenants;
    assert_eq!(listed.iter().map(|tenant| tenant.name.as_str()).collect::<Vec<_>>(), ["acme"]);
    let get = v1::GetJobRequest { job: "j".into(), ..Default::default() };
    assert_eq!(
        jobs.get(get).await.unwrap().into_inner().job.unwrap().tenant,
        "acme",
        "no other can be meant"
    );

    // One that there is not is refused in the same words.
    for tenant in ["other", "nowhere"] {
        let name = || tenant.to_owned();
        let list = v1::ListJobsRequest { tenant: name(), ..Default::default() };
        assert_eq!(failure(jobs.list(list).await), denied());
        let get = v1::GetJobRequest { tenant: name(), job: "j".into(), ..Default::default() };
        let refused = jobs.get(get).await;
        let words = format!("tenant `{tenant}` is not found or not visible to ann");
        assert_eq!(refused.as_ref().unwrap_err().message(), words);
        assert_eq!(failure(refused), denied());
        let stop = v1::StopJobRequest { tenant: name(), job: "j".into(), ..Default::default() };
        assert_eq!(failure(jobs.stop(stop).await), denied());
        let get = v1::GetTenantRequest { name: name(), ..Default::default() };
        assert_eq!(failure(tenants.get(get).await), denied());
        let spec = starting(tenant, tenant, 3).spec;
        let validate = v1::ValidateRequest { spec, ..Default::default() };
        assert_eq!(failure(jobs.validate(validate).await), denied());
        assert_eq!(failure(house.start(ANN, tenant, 3).await), denied());
    }
    let smuggled = jobs.submit(starting("acme", "other", 4)).await;
    assert_eq!(failure(smuggled).0, ErrorCode::Invalid);

    let nodes = NodesClient::new(house.asking(ANN)).list(v1::ListNodesRequest::default()).await;
    assert_eq!(failure(nodes), denied());
    let status = OperatorClient::new(house.asking(ANN)).status(v1::StatusRequest::default()).await;
    assert_eq!(failure(status), denied());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_one_tenant_tells_nothing_of_another() {
    let house = house_of_callers().await;
    for tenant in ["acme", "other"] {
        house.add_tenant(tenant).await;
    }
    house.start(OPERATOR, "other", 1).await.unwrap();
    let first = house.start(ANN, "acme", 2).await.unwrap();
    let mut runs = RunsClient::new(house.asking(ANN));
    let mut watch = runs.watch(v1::WatchRunsRequest::default()).await.unwrap().into_inner();
    let (seen, begun) = told(&mut watch).await;
    assert_eq!(seen, [first]);

    house.start(OPERATOR, "other", 3).await.unwrap();
    let second = house.start(ANN, "acme", 4).await.unwrap();
    let after = v1::WatchRunsRequest { after: begun, ..Default::default() };
    let mut later = runs.watch(after).await.unwrap().into_inner();
    for watch in [&mut watch, &mut later] {
        let (mut seen, _) = told(watch).await;
        seen.dedup();
        assert_eq!(seen, [second.as_str()]);
    }
}

/// The runs that a watch tells of until it says that there is no more for now, and as of when that is.
async fn told(watch: &mut Streaming<v1::WatchRunsReply>) -> (Vec<String>, Option<v1::EventId>) {
    let mut runs = Vec::new();
    loop {
        let told = tokio::time::timeout(DEADLINE, watch.message()).await.unwrap().unwrap().unwrap();
        match told.message.unwrap() {
            watch_runs_reply::Message::Snapshot(snapshot) => runs.push(snapshot.run.unwrap().id),
            watch_runs_reply::Message::Event(event) => runs.push(event.run),
            watch_runs_reply::Message::Gap(gap) => panic!("{gap:?}"),
            watch_runs_reply::Message::Mark(mark) => return (runs, mark.as_of),
        }
    }
}
