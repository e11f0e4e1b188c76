//! Opening listeners. Until tokens and TLS exist, only loopback addresses are served, unless the
//! operator says in so many words that the network is trusted.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Why a listener was not opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address can be reached from other machines and `insecure` was not given.
    #[error(
        "refusing to listen on {address} for {what}: other machines could reach it, and Berth does not check \
         who calls nor encrypt what is sent. Use a loopback address such as 127.0.0.1:{}, or give --insecure if \
         every machine that can reach {address} may control this cluster",
        address.port()
    )]
    NotLoopback {
        /// What the listener serves, as the user knows it.
        what: &'static str,
        /// The refused address.
        address: SocketAddr,
    },
    /// Another process listens there.
    #[error(
        "cannot listen on {address} for {what}: the address is in use. Stop the process that has it, or choose another port (port 0 takes any free one)"
    )]
    InUse {
        /// What the listener serves.
        what: &'static str,
        /// The wanted address.
        address: SocketAddr,
    },
    /// The system refused the address for another reason.
    #[error("cannot listen on {address} for {what}")]
    Bind {
        /// What the listener serves.
        what: &'static str,
        /// The wanted address.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Checks an address without opening it, so that a configuration can be refused as a whole before
/// any port opens.
///
/// # Errors
/// [`Error::NotLoopback`] when `address` is not a loopback address and `insecure` is false.
pub fn check(what: &'static str, address: SocketAddr, insecure: bool) -> Result<(), Error> {
    // An IPv4 loopback address written as IPv6 (::ffff:127.0.0.1) is still only this machine.
    if insecure || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Error::NotLoopback { what, address })
}

/// Opens a listener and tells its real address, which differs from the wanted one when the port
/// is 0.
///
/// # Errors
/// Those of [`check`], and [`Error::InUse`] or [`Error::Bind`] when the system refuses.
pub async fn bind(
    what: &'static str,
    address: SocketAddr,
    insecure: bool,
) -> Result<(TcpListener, SocketAddr), Error> {
    check(what, address, insecure)?;
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Error::InUse { what, address },
        _ => Error::Bind { what, address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let real = listener.local_addr().map_err(failed)?;
    if !real.ip().to_canonical().is_loopback() {
        tracing::warn!(%what, address = %real, "listening without authentication or encryption (--insecure)");
    }
    Ok((listener, real))
}

#[cfg(test)]
mod tests {
    use super::{Error, bind, check};

    #[test]
    fn an_address_others_can_reach_is_refused_and_the_way_out_is_named() {
        for address in ["0.0.0.0:7480", "[::]:7480", "192.168.1.4:7480", "[::ffff:10.0.0.1]:7480"] {
            let address = address.parse().unwrap();
            let error = check("clients", address, false).unwrap_err().to_string();
            assert!(error.contains("--insecure") && error.contains("127.0.0.1:7480"), "{error}");
            check("clients", address, true).unwrap();
        }
    }

    #[test]
    fn loopback_in_any_spelling_is_served() {
        for address in ["127.0.0.1:0", "127.4.5.6:1", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            check("clients", address.parse().unwrap(), false).unwrap();
        }
    }

    #[tokio::test]
    async fn port_zero_tells_the_real_port_and_a_taken_one_says_so() {
        let (_kept, address) = bind("clients", "127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        assert_ne!(address.port(), 0);
        let error = bind("agents", address, false).await.unwrap_err();
        assert!(matches!(error, Error::InUse { what: "agents", .. }), "{error}");
    }
}
