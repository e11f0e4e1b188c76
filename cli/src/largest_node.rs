//! Beside an amount that no machine has: what the largest node of this cluster has.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_spec::Code;

use crate::failure::Failure;
use crate::session::Session;
use crate::units;

/// How long a cluster is asked; the mistake stands without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Adds it to the amounts that are out of range, when a server can be asked.
pub(crate) async fn add(session: &Session, mut failure: Failure) -> Failure {
    let Some(report) = failure.report_mut() else { return failure };
    if report.diagnostics.iter().all(|found| resource(found.code, &found.path).is_none()) {
        return failure;
    }
    let Some(largest) = largest(session).await else { return failure };
    for found in &mut report.diagnostics {
        let Some(name) = resource(found.code, &found.path) else { continue };
        if let Some(&most) = largest.get(name) {
            found
                .why
                .push(format!("the largest node of this cluster has {} {name}", units::amount(name, most)));
        }
    }
    failure
}

/// The resource that a mistake is about, if it is one of amounts.
fn resource(code: Code, path: &str) -> Option<&str> {
    let (_, field) = path.split_once(".resources.").filter(|_| code == Code::AmountRange)?;
    Some(if field == "memory_max" { "memory" } else { field })
}

/// Of each resource the most that one node has; `None` without an answer.
async fn largest(session: &Session) -> Option<BTreeMap<String, u64>> {
    let nodes = session.impatient_client(PATIENCE).ok()?.nodes().collect().await.ok()?;
    let mut largest = BTreeMap::new();
    for (name, amount) in nodes.into_iter().filter_map(|node| node.facts).flat_map(|facts| facts.capacity) {
        let most = largest.entry(name).or_insert(0);
        *most = amount.max(*most);
    }
    Some(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amounts_of_resources_are_compared_with_nodes() {
        assert_eq!(resource(Code::AmountRange, "tasks[3].resources.cpu"), Some("cpu"));
        assert_eq!(resource(Code::AmountRange, "tasks[3].resources.memory_max"), Some("memory"));
        assert_eq!(resource(Code::AmountRange, "tasks[3].count"), None);
        assert_eq!(resource(Code::NeverFits, "tasks[3].resources.cpu"), None);
    }
}
