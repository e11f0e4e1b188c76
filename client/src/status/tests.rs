use super::*;

fn status(error: ErrorCode, change: impl FnOnce(&mut ErrorDetail)) -> Status {
    let mut detail = ErrorDetail { error: error.into(), message: "why".into(), ..ErrorDetail::default() };
    change(&mut detail);
    convert::status::to_status(&detail)
}

#[test]
fn a_member_without_a_leader_sends_the_client_elsewhere_with_its_hint() {
    let verdict = judge(&status(ErrorCode::NotLeader, |d| d.leader_address = "10.0.0.2:7070".into()));
    let Verdict::Elsewhere(elsewhere) = verdict else { panic!("{verdict:?}") };
    assert_eq!(elsewhere.leader.as_deref(), Some("10.0.0.2:7070"));
    assert!(elsewhere.no_leader && !elsewhere.maybe_applied);
}

#[test]
fn an_unknown_outcome_is_asked_again_and_remembered() {
    let verdict = judge(&status(ErrorCode::UnknownOutcome, |_| {}));
    assert!(matches!(verdict, Verdict::Elsewhere(Elsewhere { maybe_applied: true, .. })), "{verdict:?}");
}

#[test]
fn an_overloaded_server_is_asked_again_after_its_hint() {
    let verdict = judge(&status(ErrorCode::Overloaded, |d| d.retry_after_ms = Some(40)));
    assert!(
        matches!(verdict, Verdict::Later { after, .. } if after == Duration::from_millis(40)),
        "{verdict:?}"
    );
}

#[test]
fn a_refusal_keeps_the_code_of_the_server() {
    let verdict = judge(&status(ErrorCode::NeverFits, |d| d.code = "E402".into()));
    let Verdict::Refused(error) = verdict else { panic!("{verdict:?}") };
    assert!(matches!(*error, Error::NeverFits(_)), "{error:?}");
    assert_eq!((error.code(), error.to_string().as_str()), ("E402", "why"));
    assert!(!error.is_safe_to_repeat());
}

#[test]
fn every_error_of_the_api_has_a_verdict_with_a_code() {
    for number in 1..=28 {
        let error = ErrorCode::try_from(number).unwrap();
        if let Verdict::Refused(error) = judge(&status(error, |_| {})) {
            assert!(error.code().starts_with('E'), "{error:?}");
        }
    }
}

#[test]
fn a_status_without_details_is_judged_by_its_grpc_code() {
    assert!(matches!(judge(&Status::unavailable("x")), Verdict::Elsewhere(_)));
    assert!(matches!(judge(&Status::unimplemented("x")), Verdict::Elsewhere(_)));
    assert!(matches!(judge(&Status::resource_exhausted("x")), Verdict::Later { .. }));
    assert!(matches!(judge(&Status::not_found("x")), Verdict::Refused(_)));
}
