use berth_core::command::{Fire, FireDecision};
use berth_core::id::JobHandle;
use berth_core::time::Timestamp;

use crate::convert::Error;
use crate::convert::field::each;
use crate::convert::reason::{skip_from_proto, skip_to_proto};
use crate::store;

pub(super) fn from_proto(fires: store::Fires) -> Result<Vec<Fire>, Error> {
    each(fires.fires, "fires", |fire| {
        Ok(Fire {
            job: JobHandle(fire.job),
            generation: fire.generation,
            expected: Timestamp(fire.expected_ms),
            decisions: each(fire.decisions, "decisions", |decision| {
                Ok(FireDecision {
                    nominal: Timestamp(decision.nominal_ms),
                    skip: decision.skip.map(|skip| skip_from_proto(skip, "skip")).transpose()?,
                    count: decision.count,
                })
            })?,
            next: fire.next_ms.map(Timestamp),
        })
    })
}

pub(super) fn to_proto(fires: &[Fire]) -> store::Fires {
    let fires = fires
        .iter()
        .map(|fire| store::Fire {
            job: fire.job.0,
            generation: fire.generation,
            expected_ms: fire.expected.0,
            decisions: fire
                .decisions
                .iter()
                .map(|decision| store::FireDecision {
                    nominal_ms: decision.nominal.0,
                    skip: decision.skip.map(|skip| skip_to_proto(skip).into()),
                    count: decision.count,
                })
                .collect(),
            next_ms: fire.next.map(|next| next.0),
        })
        .collect();
    store::Fires { fires }
}
