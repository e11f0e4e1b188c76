//! Which servers are asked, and for how long.

use std::time::Duration;

/// How a [`crate::Client`] reaches the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where servers listen for clients, such as `http://10.0.0.1:7070` or `10.0.0.1:7070`. One is enough to begin with,
    /// naming all of them lets the client go on when that one is down.
    pub endpoints: Vec<String>,
    /// How long one request may take in all, over every server and repetition.
    pub deadline: Duration,
    /// How long one server has for its answer before the next one is asked.
    pub attempt_timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How often an open connection is tried; one that does not answer within the same time again is given up.
    pub keep_alive: Duration,
}

impl Config {
    /// The servers at these addresses, with the usual times: 15 s in all, 5 s a server, 2 s to connect.
    pub fn new<I>(endpoints: I) -> Config
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Config {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            deadline: Duration::from_secs(15),
            attempt_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            keep_alive: Duration::from_secs(2),
        }
    }

    /// The same with another deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Config {
        self.deadline = deadline;
        self
    }
}
