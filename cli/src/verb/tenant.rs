//! `berth tenant apply | list | show`

use berth_client::api::TenantSpec;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::say;
use crate::session::Session;
use crate::units::parse_amount;
use crate::view::tenant as view;

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Add a tenant, or change it to be as given
    Apply {
        name: String,
        /// The most it may use at any time; repeat it or separate with commas. What is not named is not limited
        #[arg(long, value_name = "NAME=AMOUNT", value_delimiter = ',', value_parser = parse_amount)]
        limit: Vec<(String, u64)>,
        /// Its share relative to other tenants
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        weight: u32,
    },
    /// List the tenants with their limits and what they use
    List,
    /// Show a tenant
    Show { name: String },
}

impl Tenant {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Tenant::Apply { name, limit, weight } => {
                let spec = TenantSpec { name: name.clone(), weight, limit: limit.into_iter().collect() };
                client.apply_tenant(spec).await?;
                say(&format!("tenant {} applied", berth_spec::escape(&name)));
                if session.output.is_json() {
                    session.output.data(String::new, || json!({ "tenant": name }))?;
                }
            }
            Tenant::List => {
                let tenants = client.tenants().collect().await?;
                let json = || json!({ "tenants": tenants.iter().map(json::tenant).collect::<Vec<Value>>() });
                session.output.data(|| view::list(&tenants), json)?;
            }
            Tenant::Show { name } => {
                let tenant = client.tenant(&name).await?;
                session.output.data(|| view::show(&tenant), || json::tenant(&tenant))?;
            }
        }
        Ok(Exit::Ok)
    }
}
