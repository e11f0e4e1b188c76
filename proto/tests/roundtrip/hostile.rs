use berth_proto::convert::{Fault, envelope, facts, job_spec, order, reason, reply, report, snapshot};
use berth_proto::{agent, store, v1};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use crate::values;

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read_and_never_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = envelope::decode(&bytes);
        let _ = reply::decode(&bytes);
        let _ = snapshot::decode([&bytes]);
        let _ = v1::JobSpec::decode(&*bytes).map(job_spec::from_proto);
        let _ = v1::NodeFacts::decode(&*bytes).map(facts::from_proto);
        let _ = agent::AttemptReport::decode(&*bytes).map(report::from_proto);
        let _ = agent::Order::decode(&*bytes).map(order::from_proto);
    }

    #[test]
    fn a_damaged_envelope_is_refused_or_read_and_never_a_panic(
        one in values::envelope(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = envelope::encode(&one);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if cut {
            bytes.truncate(place);
        }
        let _ = envelope::decode(&bytes);
    }
}

#[test]
fn an_unspecified_value_is_refused() {
    let error = reason::from_proto(v1::EndReason::default()).unwrap_err();
    assert_eq!((error.path.as_str(), error.fault), ("kind", Fault::Unspecified));

    let skipped = v1::EndReason { kind: v1::end_reason::Kind::Skipped.into(), ..v1::EndReason::default() };
    assert_eq!(reason::from_proto(skipped).unwrap_err().path, "skip");

    let offer = v1::ExecutorOffer::default();
    let facts = v1::NodeFacts { executors: vec![offer], ..v1::NodeFacts::default() };
    let error = facts::from_proto(facts).unwrap_err();
    assert_eq!((error.path.as_str(), error.fault), ("executors[0].kind", Fault::Unspecified));

    let envelope = store::Envelope { format: 1, ..store::Envelope::default() };
    let error = envelope::decode(&envelope.encode_to_vec()).unwrap_err();
    assert_eq!((error.path.as_str(), error.fault), ("origin", Fault::Unspecified));
}

#[test]
fn a_value_of_a_later_release_is_refused() {
    let reason = v1::EndReason { kind: 999, ..v1::EndReason::default() };
    assert_eq!(reason::from_proto(reason).unwrap_err().fault, Fault::UnknownValue(999));
}

#[test]
fn the_name_of_an_order_cannot_lead_out_of_its_folder() {
    for name in ["", "..", ".hidden", "a/b", "a\0", "a b"] {
        let order = agent::Order {
            attempt: 1,
            name: name.to_owned(),
            intent: Some(agent::order::Intent::Stop(agent::Stop::default())),
            ..agent::Order::default()
        };
        assert_eq!(order::from_proto(order).unwrap_err().path, "name", "{name:?}");
    }
}
