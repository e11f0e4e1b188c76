//! The client against servers that answer over gRPC as a script says: what it does when they are down, frozen, without a
//! leader, overloaded, or cut off in the middle.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scripted;

use std::time::Duration;

use berth_client::{
    Client, Config, Error, LogPiece, LogQuery, LogStream, RequestKey, Submit, WatchFilter, Watched,
};
use berth_proto::v1::{ErrorCode, EventId};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use scripted::{Scripted, Step, a_port_where_nobody_listens, chunk, end_of_log, event, mark};

fn client(endpoints: &[String]) -> Client {
    let mut config = Config::new(endpoints.iter().cloned()).deadline(Duration::from_secs(5));
    config.keep_alive = Duration::from_millis(200);
    config.attempt_timeout = Duration::from_secs(2);
    Client::connect(config).unwrap()
}

#[tokio::test]
async fn a_cluster_that_is_down_is_reported_with_the_answer_of_each_server() {
    let endpoints = [a_port_where_nobody_listens().await, a_port_where_nobody_listens().await];
    let config = Config::new(endpoints.clone()).deadline(Duration::from_millis(300));
    let error = Client::connect(config).unwrap().members().await.unwrap_err();
    let Error::Unreachable { tried } = &error else { panic!("{error:?}") };
    let answers: Vec<_> = tried.iter().map(|t| (t.endpoint.clone(), t.answer.as_str())).collect();
    assert_eq!(answers, endpoints.map(|endpoint| (format!("http://{endpoint}"), "connection refused")));
    assert_eq!(error.code(), "E501");
    assert!(error.is_safe_to_repeat());
}

#[tokio::test]
async fn a_server_that_is_down_is_passed_over() {
    let server = Scripted::start([Step::Submitted]).await;
    let client = client(&[a_port_where_nobody_listens().await, server.address()]);
    let submitted = client.submit(Submit::job("acme", "nightly").start()).await.unwrap();
    assert_eq!(submitted.run.as_deref(), Some("therun"));
}

#[tokio::test]
async fn a_write_is_repeated_under_its_key_until_there_is_a_leader() {
    let server = Scripted::start([
        Step::Fail(ErrorCode::NoLeader),
        Step::Fail(ErrorCode::UnknownOutcome),
        Step::Fail(ErrorCode::StaleTerm),
        Step::Submitted,
    ])
    .await;
    let key = RequestKey::random();
    client(&[server.address()]).submit(Submit::job("acme", "nightly").start().key(key)).await.unwrap();
    assert_eq!(server.keys(), vec![key.bytes().to_vec(); 4]);
}

#[tokio::test]
async fn a_named_leader_is_asked_at_once_even_when_it_was_not_configured() {
    let leader = Scripted::start([Step::Submitted]).await;
    let follower = Scripted::start([Step::NotLeader(leader.address())]).await;
    client(&[follower.address()]).submit(Submit::job("acme", "nightly")).await.unwrap();
    assert_eq!((follower.keys().len(), leader.keys().len()), (1, 1));
    assert_eq!(follower.keys(), leader.keys());
}

#[tokio::test]
async fn an_overloaded_cluster_is_asked_again_after_its_hint() {
    let server = Scripted::start([Step::Overloaded(Duration::from_millis(50)), Step::Submitted]).await;
    let began = std::time::Instant::now();
    client(&[server.address()]).submit(Submit::job("acme", "nightly")).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_hint_beyond_the_deadline_comes_back_as_an_error() {
    let server = Scripted::start([Step::Overloaded(Duration::from_secs(60))]).await;
    let error = client(&[server.address()]).submit(Submit::job("acme", "nightly")).await.unwrap_err();
    assert!(
        matches!(error, Error::Overloaded { retry_after, .. } if retry_after == Duration::from_secs(60)),
        "{error:?}"
    );
    assert_eq!(error.code(), "E503");
}

#[tokio::test]
async fn a_refusal_is_final() {
    let server = Scripted::start([Step::Fail(ErrorCode::UnknownJob), Step::Submitted]).await;
    let error = client(&[server.address()]).submit(Submit::job("acme", "nightly").start()).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(server.keys().len(), 1);
}

#[tokio::test]
async fn a_write_of_which_the_outcome_stays_unknown_comes_back_with_its_key() {
    let server = Scripted::start(vec![Step::Fail(ErrorCode::UnknownOutcome); 1000]).await;
    let config = Config::new([server.address()]).deadline(Duration::from_millis(300));
    let key = RequestKey::random();
    let submit = Submit::job("acme", "nightly").key(key);
    let error = Client::connect(config).unwrap().submit(submit).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { key: k, .. } if k == key), "{error:?}");
}

#[tokio::test]
async fn a_write_that_may_have_been_applied_stays_unknown_whatever_a_later_server_answers() {
    let before_the_log = [ErrorCode::Internal, ErrorCode::DiskFull, ErrorCode::NeverFits].map(Step::Fail);
    for later in before_the_log.into_iter().chain([Step::Overloaded(Duration::from_secs(60))]) {
        let first = Scripted::start([Step::Fail(ErrorCode::UnknownOutcome)]).await;
        let second = Scripted::start([later]).await;
        let key = RequestKey::random();
        let submit = Submit::job("acme", "nightly").key(key);
        let error = client(&[first.address(), second.address()]).submit(submit).await.unwrap_err();
        let Error::OutcomeUnknown { key: of_error, tried } = error else { panic!("{error:?}") };
        assert_eq!(of_error, key);
        assert_eq!(tried.len(), 2, "{tried:?}");
    }
}

#[tokio::test]
async fn a_refusal_of_a_write_in_doubt_is_final_because_an_applied_one_gets_its_first_answer() {
    let server =
        Scripted::start([Step::Fail(ErrorCode::UnknownOutcome), Step::Fail(ErrorCode::UnknownJob)]).await;
    let error = client(&[server.address()]).submit(Submit::job("acme", "nightly").start()).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn a_frozen_server_is_noticed_and_passed_over() {
    // Connections are accepted by the system and never answered.
    let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Scripted::start([Step::Submitted]).await;
    let client = client(&[frozen.local_addr().unwrap().to_string(), server.address()]);
    let began = std::time::Instant::now();
    client.submit(Submit::job("acme", "nightly")).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn something_else_on_the_port_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut other = tokio::task::JoinSet::new();
    other.spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            held.push(stream);
        }
    });
    let config = Config::new([address]).deadline(Duration::from_millis(500));
    let error = Client::connect(config).unwrap().members().await.unwrap_err();
    let Error::Unreachable { tried } = &error else { panic!("{error:?}") };
    assert!(tried[0].answer.contains("another protocol"), "{error}");
}

#[tokio::test]
async fn a_watch_goes_on_at_another_server_behind_the_last_event() {
    let first = Scripted::start([Step::Watch(vec![mark(5), event(6), event(7)])]).await;
    let second = Scripted::start([Step::Watch(vec![event(8)])]).await;
    let mut watch = client(&[first.address(), second.address()]).watch(WatchFilter::default());
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(match watch.next().await.unwrap().unwrap() {
            Watched::Mark(id) => id.index,
            Watched::Event(event) => event.id.unwrap().index,
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, [5, 6, 7, 8]);
    assert_eq!(first.resumed_after(), [None]);
    assert_eq!(second.resumed_after(), [Some(EventId { index: 7, ordinal: 0 })]);
}

#[tokio::test]
async fn a_watch_that_breaks_among_the_snapshots_after_a_gap_begins_with_the_gap_again() {
    let first = Scripted::start([Step::Watch(vec![scripted::gap(3), scripted::snapshot(9)])]).await;
    let second = Scripted::start([Step::Watch(vec![scripted::gap(3), scripted::snapshot(9), mark(9)])]).await;
    let after = EventId { index: 3, ordinal: 0 };
    let filter = WatchFilter { after: Some(after), ..WatchFilter::default() };
    let mut watch = client(&[first.address(), second.address()]).watch(filter);
    let mut gaps = 0;
    loop {
        match watch.next().await.unwrap().unwrap() {
            Watched::Gap { after: at } => {
                assert_eq!(at, after);
                gaps += 1;
            }
            Watched::Mark(id) => break assert_eq!(id.index, 9),
            Watched::Snapshot(_) | Watched::Event(_) => {}
        }
    }
    assert_eq!(gaps, 2);
    assert_eq!(second.resumed_after(), [Some(after)]);
}

#[tokio::test]
async fn logs_go_on_with_the_next_byte_of_the_same_attempt() {
    let first = Scripted::start([Step::Logs(vec![chunk(100, b"one ", 2)])]).await;
    let second = Scripted::start([Step::Logs(vec![chunk(104, b"two", 2), end_of_log(107)])]).await;
    let query = LogQuery { stream: Some(LogStream::Stdout), follow: true, ..LogQuery::of("therun", "load") };
    let pieces: Vec<_> =
        client(&[first.address(), second.address()]).logs(query).map(|piece| piece.unwrap()).collect().await;
    let mut text = Vec::new();
    for piece in &pieces {
        if let LogPiece::Data { bytes, .. } = piece {
            text.extend_from_slice(bytes);
        }
    }
    assert_eq!(text, b"one two");
    assert!(matches!(pieces.last(), Some(LogPiece::End { complete: true, .. })), "{pieces:?}");
    assert_eq!(first.log_requests(), [(0, None)]);
    assert_eq!(second.log_requests(), [(2, Some(104))]);
}

#[tokio::test]
async fn waiting_survives_the_loss_of_the_server_that_was_watched() {
    let first = Scripted::start([Step::Run { ended: false }, Step::Watch(vec![mark(5)])]).await;
    let second =
        Scripted::start([Step::Watch(vec![scripted::run_ended(8)]), Step::Run { ended: true }]).await;
    let result = client(&[first.address(), second.address()]).wait("the").await.unwrap();
    assert!(result.succeeded());
    assert_eq!(result.run.id, "therun");
}
