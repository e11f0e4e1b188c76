//! Who may do what. Every handler of the API makes a [`Caller`] of its request in one place and asks [`authorize`]
//! once. Until there are tokens, whoever reaches the listener may do everything: it is open to this machine alone
//! unless the operator says otherwise.

use berth_core::command::Origin;

/// Whoever makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name under which it is known and recorded.
    pub subject: String,
    /// The tenants that it sees.
    pub scope: Scope,
    /// What it may do with them.
    pub role: Role,
    /// From where it comes.
    pub origin: Origin,
}

/// The tenants that a caller sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Everything,
    /// The one with this name.
    Tenant(String),
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Viewer,
    /// Submit and cancel.
    Submitter,
    /// Change tenants, nodes and members.
    Operator,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Look at something.
    Read,
    /// Submit, stop or cancel work.
    Submit,
    /// Change tenants, nodes or members.
    Operate,
    /// Speak for a node.
    Serve,
}

/// What is acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// Something of one tenant.
    Tenant(&'a str),
    /// Something of all tenants, or of the cluster.
    Cluster,
}

/// The caller may not do this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject} may not do this: it takes the role {needed:?}")]
pub struct Denied {
    /// Who asked.
    pub subject: String,
    /// What it would take.
    pub needed: Role,
}

/// Every method of the public services and the action that it is. A test holds this table against the descriptors.
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

/// Whether a caller may do something.
///
/// # Errors
/// When it may not: its role is too low, or the resource is outside its scope.
pub fn authorize(caller: &Caller, action: Action, resource: Resource<'_>) -> Result<(), Denied> {
    let needed = match action {
        Action::Read => Role::Viewer,
        Action::Submit => Role::Submitter,
        Action::Operate | Action::Serve => Role::Operator,
    };
    let in_scope = match (&caller.scope, resource) {
        (Scope::Everything, _) => true,
        (Scope::Tenant(own), Resource::Tenant(asked)) => own == asked,
        (Scope::Tenant(_), Resource::Cluster) => false,
    };
    match caller.role >= needed && in_scope {
        true => Ok(()),
        false => Err(Denied { subject: caller.subject.clone(), needed }),
    }
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
    fn a_caller_acts_only_within_its_scope_and_role() {
        let caller = Caller {
            subject: "ann".into(),
            scope: Scope::Tenant("acme".into()),
            role: Role::Submitter,
            origin: Origin::Client,
        };
        assert!(authorize(&caller, Action::Submit, Resource::Tenant("acme")).is_ok());
        assert!(authorize(&caller, Action::Read, Resource::Tenant("other")).is_err());
        assert!(authorize(&caller, Action::Operate, Resource::Tenant("acme")).is_err());
        assert!(authorize(&caller, Action::Read, Resource::Cluster).is_err());
    }
}
