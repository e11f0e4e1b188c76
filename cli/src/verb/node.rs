//! `berth node list | show | drain | undrain | remove`

use berth_daemon::config::HumanDuration;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::say;
use crate::session::Session;
use crate::view::node as view;
use crate::{json, units};

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
        stop_after: Option<HumanDuration>,
    },
    /// Let a node take work again
    Undrain { name: String },
    /// Forget a node that is lost or drained and runs nothing
    Remove { name: String },
}

impl Node {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let done = |node: &str, what: &str| {
            say(&format!("node {}: {what}", berth_spec::escape(node)));
            if session.output.is_json() {
                session.output.data(String::new, || json!({ "node": node, "done": what }))?;
            }
            Ok(Exit::Ok)
        };
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
            Node::Drain { name, stop_after } => {
                client.drain(&name, stop_after.map(HumanDuration::get)).await?;
                done(&name, "draining")
            }
            Node::Undrain { name } => {
                client.undrain(&name).await?;
                done(&name, "takes work again")
            }
            Node::Remove { name } => {
                client.remove_node(&name).await?;
                done(&name, "removed")
            }
        }
    }
}
