//! Who may do what. One layer in front of all public services makes a [`Caller`] of every request and knows by the
//! table [`METHODS`] which [`Action`] the method is; the handler adds what it acts on, and [`authorize`] answers. What
//! it gives, a [`Grant`], is all with which a client's command gets into the log.
//!
//! ```text
//!   request ──> AccessLayer ── Access ──> handler ── Resource ──> authorize ── Grant ──> log
//!               path in METHODS? role?                            role? scope?
//! ```
//!
//! Until there are tokens, whoever reaches the listener may do everything ([`Everyone`]): it is open to this machine
//! alone unless the operator says otherwise. Peers have their own listener and do not come this way.

mod identify;
mod layer;
mod methods;

use std::fmt;

use berth_core::command::Origin;

pub use identify::{Everyone, Identify};
pub use layer::{Access, AccessLayer, AccessService};
pub use methods::METHODS;

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

/// The tenants that a caller sees, or those that an answer is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them, and the cluster itself.
    Everything,
    /// The one with this name.
    Tenant(String),
}

impl Scope {
    /// Whether the tenant with this name is one of them.
    pub fn sees(&self, tenant: &str) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Tenant(own) => own == tenant,
        }
    }
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

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Viewer => "viewer",
            Role::Submitter => "submitter",
            Role::Operator => "operator",
        })
    }
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

impl Action {
    /// The least role that may do it.
    pub fn needs(self) -> Role {
        match self {
            Action::Read => Role::Viewer,
            Action::Submit => Role::Submitter,
            // Agents get a role of their own, and a node as their scope, once callers are told apart.
            Action::Operate | Action::Serve => Role::Operator,
        }
    }
}

/// What is acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// Something of the tenant with this name.
    Tenant(&'a str),
    /// Whatever there is of the tenants that the caller sees.
    Visible,
    /// Something that is of no tenant, such as a node.
    Cluster,
}

impl<'a> Resource<'a> {
    /// What a request is about in which a tenant may be named: that one, or what the caller sees when the name is
    /// empty.
    pub fn within(tenant: &'a str) -> Resource<'a> {
        if tenant.is_empty() { Resource::Visible } else { Resource::Tenant(tenant) }
    }
}

/// The caller may not do this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Its role is too low.
    #[error("{subject} may not do this: it takes the role {needed}")]
    Role {
        /// Who asked.
        subject: String,
        /// What it would take.
        needed: Role,
    },
    /// The tenant is outside its scope, whether or not there is one with this name.
    #[error("tenant `{tenant}` is not found or not visible to {subject}")]
    Tenant {
        /// Who asked.
        subject: String,
        /// For what.
        tenant: String,
    },
    /// It sees one tenant alone, and this is of none.
    #[error("{subject} may not do this: it is about the whole cluster, and {subject} sees one tenant alone")]
    Cluster {
        /// Who asked.
        subject: String,
    },
}

/// What [`authorize`] gives to a caller that may do what it asks for. Nothing else makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    subject: String,
    origin: Origin,
    action: Action,
    scope: Scope,
}

impl Grant {
    /// Who asked, as it is recorded.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// From where it asked.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The tenants that the answer may be about: those that were asked for, as far as the caller sees them.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// False when it was given for looking.
    pub fn writes(&self) -> bool {
        match self.action {
            Action::Read => false,
            Action::Submit | Action::Operate | Action::Serve => true,
        }
    }
}

/// Whether a caller may do something, and to what extent.
///
/// # Errors
/// When it may not: its role is too low, or the resource is outside its scope.
pub fn authorize(caller: &Caller, action: Action, resource: Resource<'_>) -> Result<Grant, Denied> {
    check_role(caller, action)?;
    let subject = || caller.subject.clone();
    let scope = match (&caller.scope, resource) {
        (scope, Resource::Visible) => scope.clone(),
        (scope, Resource::Tenant(tenant)) if scope.sees(tenant) => Scope::Tenant(tenant.to_owned()),
        (_, Resource::Tenant(tenant)) => {
            return Err(Denied::Tenant { subject: subject(), tenant: tenant.to_owned() });
        }
        (Scope::Everything, Resource::Cluster) => Scope::Everything,
        (Scope::Tenant(_), Resource::Cluster) => return Err(Denied::Cluster { subject: subject() }),
    };
    Ok(Grant { subject: subject(), origin: caller.origin, action, scope })
}

fn check_role(caller: &Caller, action: Action) -> Result<(), Denied> {
    let needed = action.needs();
    match caller.role >= needed {
        true => Ok(()),
        false => Err(Denied::Role { subject: caller.subject.clone(), needed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Caller {
        Caller {
            subject: "ann".into(),
            scope: Scope::Tenant("acme".into()),
            role: Role::Submitter,
            origin: Origin::Client,
        }
    }

    #[test]
    fn a_caller_acts_only_within_its_scope_and_role() {
        assert!(authorize(&ann(), Action::Submit, Resource::Tenant("acme")).is_ok());
        assert!(authorize(&ann(), Action::Read, Resource::Tenant("other")).is_err());
        assert!(authorize(&ann(), Action::Operate, Resource::Tenant("acme")).is_err());
        assert!(authorize(&ann(), Action::Read, Resource::Cluster).is_err());
        assert!(authorize(&ann(), Action::Read, Resource::Tenant("")).is_err());
    }

    #[test]
    fn what_is_granted_is_what_was_asked_for_as_far_as_the_caller_sees_it() {
        let scope = |caller: &Caller, resource| authorize(caller, Action::Read, resource).unwrap().scope;
        let everyone = Caller { scope: Scope::Everything, ..ann() };
        assert_eq!(scope(&ann(), Resource::Visible), Scope::Tenant("acme".into()));
        assert_eq!(scope(&everyone, Resource::Visible), Scope::Everything);
        assert_eq!(scope(&everyone, Resource::Tenant("acme")), Scope::Tenant("acme".into()));
        assert_eq!(scope(&everyone, Resource::Cluster), Scope::Everything);
    }

    #[test]
    fn a_refusal_does_not_tell_whether_there_is_such_a_tenant() {
        let denied = authorize(&ann(), Action::Read, Resource::Tenant("other")).unwrap_err();
        assert_eq!(denied.to_string(), "tenant `other` is not found or not visible to ann");
    }

    #[test]
    fn what_was_granted_for_looking_writes_nothing() {
        assert!(!authorize(&ann(), Action::Read, Resource::Visible).unwrap().writes());
        assert!(authorize(&ann(), Action::Submit, Resource::Visible).unwrap().writes());
    }
}
