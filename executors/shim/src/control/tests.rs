use super::*;

#[test]
fn requests_and_replies_read_back() {
    for request in [Request::Status, Request::Signal(15), Request::Stop { grace_ms: 2000 }] {
        assert_eq!(Request::decode(&request.encode()[4..]), Ok(request));
    }
    for reply in [Reply::Done, Reply::Status("state running\n".into()), Reply::Refused("no".into())] {
        assert_eq!(Reply::decode(&reply.encode()[4..]), Ok(reply));
    }
}

#[test]
fn an_unknown_version_or_kind_is_refused_in_words() {
    assert!(Request::decode(&[9, 1]).unwrap_err().contains("version 9"));
    assert!(Request::decode(&[VERSION, 77]).unwrap_err().contains("kind 77"));
    assert!(Request::decode(&[VERSION, 3, b'x']).is_err());
    assert!(Request::decode(&[]).is_err());
}
