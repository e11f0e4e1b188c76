//! `berth tenant apply | list | show`

use std::collections::BTreeMap;

use berth_client::Error;
use berth_client::api::{TenantSpec, TenantView};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::units::parse_amount;
use crate::view::tenant as view;
use crate::{json, units};

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Add a tenant, or change what is given and leave the rest
    ///
    /// A new tenant has weight 1 and no limits. A change is made to what is read just before: of two changes of one tenant
    /// at the same time the later one may undo the other.
    Apply {
        name: String,
        /// The most it may use at any time, such as cpu=4 or memory=1.5Gi; repeat it or separate with commas
        #[arg(long, value_name = "NAME=AMOUNT", value_delimiter = ',', value_parser = parse_amount)]
        limit: Vec<(String, u64)>,
        /// Lift the limit of this resource; repeat it or separate with commas
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        no_limit: Vec<String>,
        /// Its share relative to other tenants
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        weight: Option<u32>,
    },
    /// List the tenants with their limits and what they use
    List,
    /// Show a tenant
    Show { name: String },
}

/// The tenant as it was with what is given in its place.
fn changed(
    name: String,
    before: Option<TenantView>,
    limit: Vec<(String, u64)>,
    no_limit: &[String],
    weight: Option<u32>,
) -> Result<TenantSpec, Failure> {
    let before = before.unwrap_or_else(|| TenantView { weight: 1, ..TenantView::default() });
    if let Some((both, _)) = limit.iter().find(|(name, _)| no_limit.contains(name)) {
        return Err(Failure::usage(format!("`{both}` is given with --limit and with --no-limit")));
    }
    let mut limits = before.limit;
    for name in no_limit {
        if limits.remove(name).is_none() {
            let message = format!("there is no limit of `{name}` to lift");
            let known: Vec<&str> = limits.keys().map(String::as_str).collect();
            let help = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has: {}", known.join(", "))
            };
            return Err(Failure::usage(message).help(help));
        }
    }
    limits.extend(limit);
    Ok(TenantSpec { name, weight: weight.unwrap_or(before.weight), limit: limits })
}

impl Tenant {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Tenant::Apply { name, limit, no_limit, weight } => {
                let before = match client.tenant(&name).await {
                    Ok(tenant) => Some(tenant),
                    Err(Error::NotFound { .. }) => None,
                    Err(error) => return Err(error.into()),
                };
                let added = before.is_none();
                let spec = changed(name, before, limit, &no_limit, weight)?;
                client.apply_tenant(spec.clone()).await?;
                let what = if added { "added" } else { "applied" };
                let limits: BTreeMap<&String, &u64> = spec.limit.iter().collect();
                let text = format!(
                    "{}: {what}, weight {}, limits: {}\n",
                    berth_spec::escape(&spec.name),
                    spec.weight,
                    berth_spec::escape(&units::limits(limits.iter().map(|(name, amount)| (*name, *amount)))),
                );
                let json =
                    || json!({ "tenant": spec.name, "added": added, "weight": spec.weight, "limit": limits });
                session.output.data(|| text, json)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> TenantView {
        let limit = [("cpu".to_owned(), 4000), ("memory".to_owned(), 1 << 30)].into();
        TenantView { name: "acme".into(), weight: 3, limit, ..TenantView::default() }
    }

    #[test]
    fn what_is_not_given_of_a_tenant_stays() {
        let spec = changed("acme".into(), Some(acme()), Vec::new(), &[], Some(2)).unwrap();
        assert_eq!((spec.weight, spec.limit.len()), (2, 2));
        let spec =
            changed("acme".into(), Some(acme()), vec![("gpu".into(), 2000)], &["cpu".into()], None).unwrap();
        assert_eq!(spec.weight, 3);
        assert_eq!(spec.limit, [("memory".to_owned(), 1 << 30), ("gpu".to_owned(), 2000)].into());
        let new = changed("new".into(), None, Vec::new(), &[], None).unwrap();
        assert_eq!((new.weight, new.limit.len()), (1, 0));
    }

    #[test]
    fn a_limit_that_is_not_there_cannot_be_lifted() {
        let lift = |name: &str| changed("acme".into(), Some(acme()), Vec::new(), &[name.into()], None);
        assert_eq!(lift("gpu").unwrap_err().exit(), Exit::Usage);
        let both = changed("acme".into(), Some(acme()), vec![("cpu".into(), 1)], &["cpu".into()], None);
        assert_eq!(both.unwrap_err().exit(), Exit::Usage);
    }
}
