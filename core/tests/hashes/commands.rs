use std::sync::Arc;

use berth_core::command::{
    AttemptReport, AttemptUpdate, Command, DrainOrder, Fire, FireDecision, NodeReport, Placement,
    Registration, Submit, TenantSpec,
};
use berth_core::id::{AttemptHandle, JobHandle, JournalId, NodeEpoch, NodeHandle, TaskHandle};
use berth_core::reason::{EndReason, SkipReason};
use berth_core::time::{Millis, Timestamp};

use crate::records::{KEY, RUN_ID, a_usage, facts};
use crate::{Hashes, specs};

pub(crate) fn add(hashes: &mut Hashes) {
    let [tenant, job, node] = ["acme", "orders", "n1"].map(str::to_owned);
    let limit = [("cpu".into(), 3), ("memory".into(), 4)].into();
    let spec = Some(Arc::new(specs::a_job()));
    let drain = DrainOrder { stop_after: Some(Millis(5)) };
    let commands = [
        ("apply-tenant", Command::ApplyTenant(TenantSpec { name: tenant.clone(), weight: 2, limit })),
        (
            "submit",
            Command::Submit(Submit { tenant: tenant.clone(), job: job.clone(), spec, start: Some(KEY) }),
        ),
        ("stop-job", Command::StopJob { tenant, job }),
        ("cancel-run", Command::CancelRun { run: RUN_ID }),
        (
            "register-node",
            Command::RegisterNode(Registration { name: node.clone(), journal: JournalId(7), facts: facts() }),
        ),
        ("lose-node", Command::LoseNode { node: NodeHandle(1), epoch: NodeEpoch(2) }),
        ("drain-node", Command::DrainNode { node: node.clone(), drain: Some(drain) }),
        ("drain-node back", Command::DrainNode { node: node.clone(), drain: None }),
        ("remove-node", Command::RemoveNode { node }),
        ("place", Command::Place(vec![placement(1), placement(4)])),
        ("report", Command::Report(a_report())),
        ("fire", Command::Fire(vec![a_fire()])),
        ("advance", Command::Advance),
        ("check-hash", Command::CheckHash { index: 1, hash: 1 << 100 }),
    ];
    for (name, command) in commands {
        hashes.add(&format!("command {name}"), &command);
    }
}

fn placement(number: u64) -> Placement {
    Placement { task: TaskHandle(number), node: NodeHandle(2), epoch: NodeEpoch(3) }
}

fn a_report() -> NodeReport {
    let ended = AttemptUpdate::Ended {
        reason: EndReason::FailedExit(1),
        started: Some(Timestamp(2)),
        at: Timestamp(3),
        output: b"parts=1\n".to_vec(),
        usage: a_usage(),
    };
    NodeReport {
        node: NodeHandle(1),
        epoch: NodeEpoch(2),
        journal: JournalId(3),
        reports: vec![
            AttemptReport {
                sequence: 4,
                attempt: AttemptHandle(5),
                update: AttemptUpdate::Started { at: Timestamp(6) },
            },
            AttemptReport { sequence: 5, attempt: AttemptHandle(6), update: ended },
        ],
    }
}

fn a_fire() -> Fire {
    Fire {
        job: JobHandle(1),
        generation: 2,
        expected: Timestamp(3),
        decisions: vec![
            FireDecision { nominal: Timestamp(4), skip: None, count: 1 },
            FireDecision { nominal: Timestamp(5), skip: Some(SkipReason::Overlap), count: 2 },
        ],
        next: Some(Timestamp(6)),
    }
}
