//! One server and the connection to it.

use std::sync::OnceLock;

use tonic::transport::{Channel, Endpoint as Address};

use crate::config::Config;
use crate::error::Error;

/// A server's address with a connection that is made at its first use and made again when it breaks.
#[derive(Debug)]
pub(crate) struct Endpoint {
    name: String,
    address: Address,
    channel: OnceLock<Channel>,
}

/// Servers are told apart by their addresses.
impl PartialEq for Endpoint {
    fn eq(&self, other: &Endpoint) -> bool {
        self.name == other.name
    }
}

impl Endpoint {
    /// Checks an address such as `http://host:7070` or `host:7070`; connects nowhere.
    pub(crate) fn new(text: &str, config: &Config) -> Result<Endpoint, Error> {
        let refuse = |reason: &str| Error::Endpoint { endpoint: text.to_owned(), reason: reason.to_owned() };
        let trimmed = text.trim().trim_end_matches('/');
        let name = match trimmed.split_once("://") {
            None => format!("http://{trimmed}"),
            Some(("http", _)) => trimmed.to_owned(),
            Some(("https", _)) => return Err(refuse("this release has no TLS; write http://")),
            Some(_) => return Err(refuse("it begins with neither `http://` nor a host")),
        };
        let address = Address::from_shared(name.clone()).map_err(|_| refuse("write it as host:port"))?;
        if address.uri().port_u16().is_none() {
            return Err(refuse("it has no port; servers usually listen on :7070"));
        }
        if address.uri().path() != "/" || address.uri().query().is_some() {
            return Err(refuse("nothing may follow the port"));
        }
        let address = address
            .connect_timeout(config.connect_timeout)
            .http2_keep_alive_interval(config.keep_alive)
            .keep_alive_timeout(config.keep_alive)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        Ok(Endpoint { name, address, channel: OnceLock::new() })
    }

    /// The address as people write it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The connection. To be called within a tokio runtime.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.get_or_init(|| self.address.connect_lazy()).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<String, String> {
        Endpoint::new(text, &Config::new([""; 0])).map(|e| e.name().to_owned()).map_err(|e| e.to_string())
    }

    #[test]
    fn an_address_may_leave_out_its_scheme() {
        assert_eq!(name("127.0.0.1:7070"), Ok("http://127.0.0.1:7070".into()));
        assert_eq!(name(" http://a.example:1/ "), Ok("http://a.example:1".into()));
        assert_eq!(name("[::1]:7070"), Ok("http://[::1]:7070".into()));
    }

    #[test]
    fn what_is_no_address_says_what_is_missing() {
        for (text, part) in [
            ("localhost", "no port"),
            ("https://a:1", "TLS"),
            ("ftp://a:1", "neither"),
            ("a:1/x", "follow"),
            ("", "host:port"),
        ] {
            let message = name(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
