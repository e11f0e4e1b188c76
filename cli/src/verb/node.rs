//! `berth node list | show | drain | undrain | remove`

use std::time::Duration;

use berth_client::api::NodeView;
use berth_client::{Client, Error};
use berth_spec::Code;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::span::Span;
use crate::view::node as view;
use crate::{json, units, words};

/// How often a drain that is waited for is looked at.
const DRAINED_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// List the nodes
    List,
    /// Show a node: what it offers, what runs there
    Show { name: String },
    /// Let a node take no new work; what runs there may end
    Drain {
        name: String,
        /// Stop what still runs after this time; it is placed elsewhere
        #[arg(long, value_name = "TIME")]
        stop_after: Option<Span>,
        /// Wait until nothing runs there any more
        #[arg(long)]
        wait: bool,
        /// With --wait: exit 8 after this time; the drain goes on
        #[arg(long, requires = "wait", value_name = "TIME")]
        wait_timeout: Option<Span>,
    },
    /// Let a node take work again
    Undrain { name: String },
    /// Forget a node that is lost or drained and runs nothing
    Remove { name: String },
}

impl Node {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Node::List => {
                let nodes = client.nodes().collect().await?;
                let json = || json!({ "nodes": nodes.iter().map(json::node).collect::<Vec<Value>>() });
                session.output.data(|| view::list(&nodes), json)?;
                Ok(Exit::Ok)
            }
            Node::Show { name } => {
                let node = client.node(&name).await?;
                session.output.data(|| view::show(&node, units::now_ms()), || json::node(&node))?;
                Ok(Exit::Ok)
            }
            Node::Drain { name, stop_after, wait, wait_timeout } => {
                client.drain(&name, stop_after.map(Span::get)).await?;
                if wait {
                    return Box::pin(until_drained(session, &client, &name, wait_timeout)).await;
                }
                tell(session, &client.node(&name).await?)
            }
            Node::Undrain { name } => {
                client.undrain(&name).await?;
                tell(session, &client.node(&name).await?)
            }
            Node::Remove { name } => {
                client.remove_node(&name).await?;
                let text = format!("{}: removed\n", berth_spec::escape(&name));
                session.output.data(|| text, || json!({ "name": name, "removed": true }))?;
                Ok(Exit::Ok)
            }
        }
    }
}

/// How a node stands after a change of it.
fn tell(session: &Session, node: &NodeView) -> Result<Exit, Failure> {
    session.output.data(|| format!("{}\n", standing(node)), || json::node(node))?;
    Ok(Exit::Ok)
}

/// `n1: ready, draining, 3 tasks`
fn standing(node: &NodeView) -> String {
    let tasks = match node.attempts {
        0 => "no tasks".to_owned(),
        1 => "1 task".to_owned(),
        several => format!("{several} tasks"),
    };
    berth_spec::escape(&format!("{}: {}, {tasks}", node.name, words::node(node)))
}

/// Waits until nothing runs on a node, and says how many tasks are left whenever that changes.
async fn until_drained(
    session: &Session,
    client: &Client,
    name: &str,
    limit: Option<Span>,
) -> Result<Exit, Failure> {
    let deadline = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit.get()).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let mut told = None;
    loop {
        match client.node(name).await {
            Ok(node) if node.attempts == 0 => return tell(session, &node),
            Ok(node) if node.drain.is_none() => {
                let message = format!("{}: the drain was taken back", berth_spec::escape(name));
                return Err(Failure::new(Exit::QuotaOrConflict, Code::Conflict, message));
            }
            Ok(node) => {
                if told.replace(node.attempts) != Some(node.attempts) {
                    session.output.say(&standing(&node));
                }
            }
            Err(error) if error.is_safe_to_repeat() => {
                session.output.warn(&Failure::from(error).in_short());
            }
            // Somebody removed it, which takes a node that runs nothing.
            Err(Error::NotFound { .. }) if told.is_some() => {
                let text = format!("{}: removed\n", berth_spec::escape(name));
                session.output.data(|| text, || json!({ "name": name, "removed": true }))?;
                return Ok(Exit::Ok);
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(DRAINED_EVERY) => {}
            () = &mut deadline => {
                let message = format!("node {} still runs tasks; the drain goes on", berth_spec::escape(name));
                return Err(Failure::new(Exit::TimedOut, None, message).help(format!("look with `berth node show {name}`")));
            }
            _ = tokio::signal::ctrl_c() => {
                session.output.say("\nthe drain goes on. Look: berth node show NAME   take it back: berth node undrain NAME");
                return Err(Failure::silent(Exit::Interrupted));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_client::api::DrainView;

    use super::*;

    #[test]
    fn a_node_that_is_drained_says_what_is_left() {
        let node = |attempts| NodeView {
            name: "n1".into(),
            state: 1,
            attempts,
            drain: Some(DrainView::default()),
            ..NodeView::default()
        };
        assert_eq!(standing(&node(3)), "n1: ready, draining, 3 tasks");
        assert_eq!(standing(&node(0)), "n1: ready, drained, no tasks");
    }
}
