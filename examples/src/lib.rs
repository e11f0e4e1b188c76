//! Programs that use the SDK, one file each in `bin/`, and job specs beside this folder. All of them are run by the tests.
//!
//! ```text
//!   submit_and_wait   registers and runs a job, waits for its end, reads the output
//!   watch_and_logs    watches the runs of a job, and follows the logs of each task as it starts
//! ```
//!
//! Both ask the servers in `BERTH_SERVER` (host:port, separated by commas) and go on at another one when one is lost.
//!
//! It never: holds anything that other crates use.

use berth_client::{Client, Config, Error};

/// Where a server listens when nothing is said.
const DEFAULT_SERVER: &str = "127.0.0.1:7070";

/// A client for the servers in `BERTH_SERVER`.
///
/// # Errors
/// [`Error::Endpoint`] when the variable names none.
pub fn client_from_environment() -> Result<Client, Error> {
    let servers = std::env::var("BERTH_SERVER").unwrap_or_else(|_| DEFAULT_SERVER.to_owned());
    Client::connect(Config::new(servers.split(',')))
}
