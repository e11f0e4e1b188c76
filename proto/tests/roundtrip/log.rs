use berth_core::command::{Command, Envelope, FORMAT, Origin, Placement};
use berth_core::id::{NodeEpoch, NodeHandle, TaskHandle};
use berth_core::time::Timestamp;
use berth_proto::convert::{Fault, envelope, facts, order, reply, report, status};
use proptest::prelude::*;

use crate::values;

proptest! {
    #[test]
    fn an_envelope_reads_back_from_its_bytes(one in values::envelope()) {
        let bytes = envelope::encode(&one);
        prop_assert_eq!(envelope::decode(&bytes), Ok(one.clone()));
        // Equal envelopes are equal bytes.
        prop_assert_eq!(envelope::encode(&one.clone()), bytes);
    }

    #[test]
    fn a_reply_reads_back_from_its_bytes(one in values::reply()) {
        prop_assert_eq!(reply::decode(&reply::encode(&one)), Ok(one));
    }

    #[test]
    fn a_report_of_an_agent_reads_back(one in values::attempt_report()) {
        prop_assert_eq!(report::from_proto(report::to_proto(&one)), Ok(one));
    }

    #[test]
    fn an_order_reads_back(one in values::order()) {
        prop_assert_eq!(order::from_proto(order::to_proto(&one)), Ok(one));
    }

    #[test]
    fn facts_of_a_node_read_back(one in values::facts()) {
        prop_assert_eq!(facts::from_proto(facts::to_proto(&one)), Ok(one));
    }

    #[test]
    fn a_refusal_reaches_the_client_with_its_code(one in values::refusal()) {
        let detail = status::of_refusal(&one);
        let status = status::to_status(&detail);
        prop_assert_eq!(status.message(), one.to_string());
        prop_assert_eq!(status::from_status(&status), Some(detail));
    }
}

fn envelope_of(command: Command) -> Envelope {
    Envelope {
        format: FORMAT,
        feature_level: 1,
        cluster_epoch: 1,
        term: 3,
        time: Timestamp(1_700_000_000_000),
        request: None,
        actor: String::new(),
        origin: Origin::Leader,
        command,
    }
}

#[test]
fn a_full_placement_pass_stays_far_below_the_limit_of_an_entry() {
    let place = |task: u32| Placement {
        task: TaskHandle(5_000_000 + u64::from(task)),
        node: NodeHandle(task % 200),
        epoch: NodeEpoch(4_000_000 + u64::from(task % 200)),
    };
    let bytes = envelope::encode(&envelope_of(Command::Place((0..4096).map(place).collect())));
    assert!(bytes.len() < 6 * 4096, "{} bytes", bytes.len());
}

#[test]
fn a_command_of_another_format_is_refused() {
    let one = Envelope { format: FORMAT + 1, ..envelope_of(Command::Advance) };
    let error = envelope::decode(&envelope::encode(&one)).unwrap_err();
    assert_eq!(error.path, "format");
    assert!(matches!(error.fault, Fault::OutOfRange { .. }), "{error}");
}
