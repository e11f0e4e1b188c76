use super::Action;

/// Every method of the public services and the action that it is. What is not in here is not served: a test holds the
/// table against the descriptors.
pub const METHODS: &[(&str, Action)] = &[
    ("berth.v1.Jobs/Submit", Action::Submit),
    ("berth.v1.Jobs/Validate", Action::Read),
    ("berth.v1.Jobs/Stop", Action::Submit),
    ("berth.v1.Jobs/Get", Action::Read),
    ("berth.v1.Jobs/List", Action::Read),
    ("berth.v1.Runs/Get", Action::Read),
    ("berth.v1.Runs/List", Action::Read),
    ("berth.v1.Runs/ListTasks", Action::Read),
    ("berth.v1.Runs/Cancel", Action::Submit),
    ("berth.v1.Runs/Watch", Action::Read),
    ("berth.v1.Tenants/Apply", Action::Operate),
    ("berth.v1.Tenants/Get", Action::Read),
    ("berth.v1.Tenants/List", Action::Read),
    ("berth.v1.Nodes/List", Action::Read),
    ("berth.v1.Nodes/Get", Action::Read),
    ("berth.v1.Nodes/Drain", Action::Operate),
    ("berth.v1.Nodes/Undrain", Action::Operate),
    ("berth.v1.Nodes/Remove", Action::Operate),
    ("berth.v1.Logs/Read", Action::Read),
    ("berth.v1.Operator/Members", Action::Read),
    ("berth.v1.Operator/AddMember", Action::Operate),
    ("berth.v1.Operator/RemoveMember", Action::Operate),
    ("berth.v1.Operator/Status", Action::Read),
    ("berth.agent.v1.Agents/Session", Action::Serve),
    ("berth.agent.v1.Agents/Logs", Action::Serve),
];

/// What anyone may ask: whether the server serves, and what its methods look like.
const PUBLIC: &[&str] = &[
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/List",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// How a method is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Open to anyone.
    Public,
    /// To those who may do this.
    Action(Action),
}

/// How the method with this path, `/package.Service/Method`, is come by; `None` when there is none.
pub(super) fn entry(path: &str) -> Option<Entry> {
    let name = path.strip_prefix('/')?;
    // Names differ in length more often than not, so that a search costs less than hashing the name would.
    let action = METHODS.iter().find(|(known, _)| *known == name).map(|(_, action)| Entry::Action(*action));
    action.or_else(|| PUBLIC.contains(&name).then_some(Entry::Public))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_method_of_the_public_services_is_in_the_table() {
        use prost::Message;
        let set = prost_types::FileDescriptorSet::decode(berth_proto::DESCRIPTORS).unwrap();
        let methods = set.file.iter().flat_map(|file| {
            file.service.iter().flat_map(move |service| {
                let name = format!("{}.{}", file.package(), service.name());
                service.method.iter().map(move |method| format!("{name}/{}", method.name()))
            })
        });
        let served: BTreeSet<String> = methods.filter(|name| !name.starts_with("berth.peer.")).collect();
        let known: BTreeSet<String> = METHODS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(served, known);
    }

    #[test]
    fn a_path_is_known_as_a_whole_or_not_at_all() {
        assert_eq!(entry("/berth.v1.Jobs/Submit"), Some(Entry::Action(Action::Submit)));
        assert_eq!(entry("/grpc.health.v1.Health/Check"), Some(Entry::Public));
        for unknown in
            ["", "/", "berth.v1.Jobs/Submit", "/berth.v1.Jobs/Submit/", "/berth.v1.Jobs/", "/metrics"]
        {
            assert_eq!(entry(unknown), None, "{unknown}");
        }
    }
}
