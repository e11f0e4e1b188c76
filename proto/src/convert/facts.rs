//! What an agent says about its machine.

use std::collections::BTreeMap;

use berth_core::job_spec::ExecutorKind;
use berth_core::model::{ExecutorOffer, Isolation, NodeFacts};
use berth_core::name::{NAME_MAX, Named};
use berth_core::resources::NamedResources;
use prost::Message;

use super::field::{choice, length, name, text};
use super::{Error, Fault};
use crate::v1;

/// The most resources that a node offers, a tenant limits or a task asks for.
pub const RESOURCES_MAX: usize = 64;
/// The most attributes of a node.
pub const ATTRIBUTES_MAX: usize = 256;
/// The most bytes of all facts of a node together: they are in every snapshot, in one piece.
pub const FACTS_BYTES_MAX: usize = 64 * 1024;
/// The longest key of an attribute, in bytes.
pub const ATTRIBUTE_KEY_MAX: usize = 128;
/// The longest value of an attribute, detail of an executor or path, in bytes.
pub const FACT_TEXT_MAX: usize = 4096;

/// The facts that a message tells.
///
/// # Errors
/// When a name, a bound or an executor is wrong.
pub fn from_proto(facts: v1::NodeFacts) -> Result<NodeFacts, Error> {
    length(facts.encoded_len(), FACTS_BYTES_MAX, "facts")?;
    length(facts.attributes.len(), ATTRIBUTES_MAX, "attributes")?;
    for (key, value) in &facts.attributes {
        text(key, ATTRIBUTE_KEY_MAX, "attributes")?;
        text(value, FACT_TEXT_MAX, "attributes")?;
    }
    text(&facts.run_dirs, FACT_TEXT_MAX, "run_dirs")?;
    if let Some(shared) = &facts.shared {
        text(shared, NAME_MAX, "shared")?;
    }
    let mut executors = BTreeMap::new();
    for (place, offer) in facts.executors.into_iter().enumerate() {
        let fault = |error: Error| error.element(place).inside("executors");
        let kind = executor_from_proto(offer.kind, "kind").map_err(fault)?;
        text(&offer.detail, FACT_TEXT_MAX, "detail").map_err(fault)?;
        let missing = offer.missing.into_iter().map(isolation_from_proto).collect::<Result<_, _>>();
        let missing = missing.map_err(fault)?;
        let offer = ExecutorOffer { ready: offer.ready, detail: offer.detail, missing };
        if executors.insert(kind, offer).is_some() {
            return Err(fault(Error::at("kind", Fault::Twice(kind.word().to_owned()))));
        }
    }
    Ok(NodeFacts {
        capacity: resources_from_proto(facts.capacity, "capacity")?,
        attributes: facts.attributes,
        executors,
        run_dirs: facts.run_dirs,
        shared: facts.shared,
    })
}

/// The message for facts.
pub fn to_proto(facts: &NodeFacts) -> v1::NodeFacts {
    v1::NodeFacts {
        capacity: facts.capacity.clone(),
        attributes: facts.attributes.clone(),
        executors: facts
            .executors
            .iter()
            .map(|(kind, offer)| v1::ExecutorOffer {
                kind: executor_to_proto(*kind).into(),
                ready: offer.ready,
                detail: offer.detail.clone(),
                missing: offer.missing.iter().map(|part| isolation_to_proto(*part).into()).collect(),
            })
            .collect(),
        run_dirs: facts.run_dirs.clone(),
        shared: facts.shared.clone(),
    }
}

/// The kind of executor that field `field` names.
pub(super) fn executor_from_proto(kind: i32, field: &str) -> Result<ExecutorKind, Error> {
    match choice::<v1::ExecutorKind>(kind, field)? {
        v1::ExecutorKind::Unspecified => Err(Error::at(field, Fault::Unspecified)),
        v1::ExecutorKind::Exec => Ok(ExecutorKind::Exec),
        v1::ExecutorKind::Docker => Ok(ExecutorKind::Docker),
        v1::ExecutorKind::Fake => Ok(ExecutorKind::Fake),
    }
}

fn isolation_from_proto(part: i32) -> Result<Isolation, Error> {
    match choice::<v1::Isolation>(part, "missing")? {
        v1::Isolation::Unspecified => Err(Error::at("missing", Fault::Unspecified)),
        v1::Isolation::ControlGroups => Ok(Isolation::ControlGroups),
        v1::Isolation::PidNamespace => Ok(Isolation::PidNamespace),
    }
}

fn isolation_to_proto(part: Isolation) -> v1::Isolation {
    match part {
        Isolation::ControlGroups => v1::Isolation::ControlGroups,
        Isolation::PidNamespace => v1::Isolation::PidNamespace,
    }
}

/// The value for a kind of executor.
pub fn executor_to_proto(kind: ExecutorKind) -> v1::ExecutorKind {
    match kind {
        ExecutorKind::Exec => v1::ExecutorKind::Exec,
        ExecutorKind::Docker => v1::ExecutorKind::Docker,
        ExecutorKind::Fake => v1::ExecutorKind::Fake,
    }
}

/// Amounts by name, with names that are names.
pub(super) fn resources_from_proto(
    amounts: BTreeMap<String, u64>,
    field: &str,
) -> Result<NamedResources, Error> {
    length(amounts.len(), RESOURCES_MAX, field)?;
    for resource in amounts.keys() {
        name(resource, Named::Resource, field)?;
    }
    Ok(amounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_refused_when_they_are_too_much_though_each_is_short_enough() {
        let attribute = |number: usize| (format!("a{number}"), "x".repeat(FACT_TEXT_MAX));
        let facts = |attributes: usize| v1::NodeFacts {
            attributes: (0..attributes).map(attribute).collect(),
            ..v1::NodeFacts::default()
        };
        assert!(from_proto(facts(15)).is_ok());
        let error = from_proto(facts(16)).unwrap_err().to_string();
        assert!(error.contains("facts"), "{error}");
    }
}
