//! What a server refuses, and how it says so.

use std::sync::Arc;
use std::time::Duration;

use berth_proto::convert::status;
use berth_proto::v1::jobs_client::JobsClient;
use berth_proto::v1::operator_client::OperatorClient;
use berth_proto::v1::{AddMemberRequest, ErrorCode, ListJobsRequest, MembersRequest};
use berth_scheduler::config::Config;
use berth_scheduler::raft::config::Settings;
use berth_scheduler::rates::Pace;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::requests::{a_job, submission};
use crate::{DEADLINE, House, Played, house, house_with, wait_for_leader};

const JOBS: u8 = 100;

async fn submit(house: &House, number: u8) -> Result<(), Status> {
    let mut spec = a_job(&["a"]);
    spec.name = format!("j{number}");
    JobsClient::new(house.channel.clone()).submit(submission(&spec, false, number)).await.map(|_| ())
}

/// Submits all jobs at once and each again when it is told to, until all are there; how often one was refused.
async fn refusals_until_all_are_there(change: impl FnOnce(Config) -> Config) -> u32 {
    let house = Arc::new(house_with(change).await);
    wait_for_leader(&house).await;
    let mut waiting = JoinSet::new();
    for number in 1..=JOBS {
        let house = Arc::clone(&house);
        waiting.spawn(async move {
            let mut refused = 0;
            while let Err(answer) = submit(&house, number).await {
                assert_eq!(answer.code(), Code::ResourceExhausted, "{answer}");
                let detail = status::from_status(&answer).unwrap();
                assert_eq!((detail.error(), detail.code.as_str()), (ErrorCode::Overloaded, "E503"));
                let pause = detail.retry_after_ms.filter(|pause| *pause > 0).expect("it says when");
                tokio::time::sleep(Duration::from_millis(pause)).await;
                refused += 1;
            }
            refused
        });
    }
    let refused = tokio::time::timeout(DEADLINE, waiting.join_all()).await.unwrap();
    let mut jobs = JobsClient::new(house.channel.clone());
    let list = jobs.list(ListJobsRequest { page_size: 500, ..Default::default() }).await.unwrap();
    assert_eq!(list.into_inner().jobs.len(), usize::from(JOBS), "each of them is there once");
    house.tasks.begin_shutdown();
    refused.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_when_to_come_again_and_then_takes_what_it_refused() {
    let small = |config| Config { raft: Settings { unanswered_max: 4, ..Settings::default() }, ..config };
    assert!(refusals_until_all_are_there(small).await > 0, "the queue was never full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_submits_too_fast_is_told_when_to_come_again() {
    let slow = |config| Config { pace: Pace { per_second: 200, burst: 20 }, ..config };
    assert!(refusals_until_all_are_there(slow).await > 0, "nothing was too fast");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_cannot_be_reached_by_its_address_is_not_added() {
    let house = house().await;
    wait_for_leader(&house).await;
    let mut operator = OperatorClient::new(house.channel.clone());
    for address in ["", "10.0.0.4", "10.0.0.4:", ":7071", "10.0.0.4:0", "http://10.0.0.4:7071", "a b:1"] {
        let answer = operator.add_member(AddMemberRequest { address: address.into() }).await.unwrap_err();
        assert_eq!(answer.code(), Code::InvalidArgument, "{address}: {answer}");
        assert!(answer.message().contains("host:port"), "{address}: {answer}");
    }
    let members = operator.members(MembersRequest::default()).await.unwrap().into_inner();
    assert_eq!(members.members.len(), 1);
    house.tasks.begin_shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_gets_its_first_answer_although_it_would_be_refused_by_now() {
    let house = house().await;
    wait_for_leader(&house).await;
    let mut spec = a_job(&["a"]);
    spec.tasks[0].resources.insert("cpu".into(), 5_000);
    let request = |key: u8| submission(&spec, true, key);
    let mut jobs = JobsClient::new(house.channel.clone());
    let first = jobs.submit(request(1)).await.unwrap().into_inner();
    // The first node, and too small. It is welcomed once it is in the state.
    let mut agent = Played::connect(&house.channel, "n1").await;
    agent.next().await;
    let refused = status::from_status(&jobs.submit(request(2)).await.unwrap_err()).unwrap();
    assert_eq!((refused.error(), refused.code.as_str()), (ErrorCode::NeverFits, "E402"), "{refused:?}");
    let again = jobs.submit(request(1)).await.unwrap().into_inner();
    assert_eq!((again.run, again.version), (first.run, first.version));
    house.tasks.begin_shutdown();
}
