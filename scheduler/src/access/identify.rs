use std::fmt;
use std::net::SocketAddr;

use berth_core::command::Origin;
use http::HeaderMap;

use super::{Caller, Role, Scope};

/// The header in which a client may say who it is; it is recorded and, without tokens, not proved.
const ACTOR_HEADER: &str = "berth-actor";
/// The longest name that is recorded.
const NAME_BYTES_MAX: usize = 128;

/// Says who makes a request. The one place where that is decided.
pub trait Identify: fmt::Debug + Send + Sync {
    /// Who sends these headers from there.
    fn identify(&self, headers: &HeaderMap, from: Option<SocketAddr>) -> Caller;
}

/// Everyone may do everything, under the name that they give themselves. All that there is until there are tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everyone;

impl Identify for Everyone {
    fn identify(&self, headers: &HeaderMap, from: Option<SocketAddr>) -> Caller {
        let named = headers.get(ACTOR_HEADER).and_then(|value| value.to_str().ok());
        let named = named.filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX);
        let anonymous =
            || format!("anonymous@{}", from.map_or_else(String::new, |from| from.ip().to_string()));
        let subject = named.map_or_else(anonymous, str::to_owned);
        Caller { subject, scope: Scope::Everything, role: Role::Operator, origin: Origin::Client }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_known_by_a_name_of_its_own_or_its_address() {
        let subject = |name: &str| {
            let headers = [(http::HeaderName::from_static(ACTOR_HEADER), name.parse().unwrap())];
            let headers = headers.into_iter().collect();
            Everyone.identify(&headers, Some("10.0.0.1:7".parse().unwrap())).subject
        };
        assert_eq!(subject("ann"), "ann");
        assert_eq!(subject(""), "anonymous@10.0.0.1");
        assert_eq!(subject(&"a".repeat(NAME_BYTES_MAX + 1)), "anonymous@10.0.0.1");
    }
}
