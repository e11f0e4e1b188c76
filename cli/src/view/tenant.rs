//! Tenants.

use berth_client::api::TenantView;

use crate::table::{Table, facts};
use crate::units;

pub(crate) fn list(tenants: &[TenantView]) -> String {
    let mut table = Table::new(["TENANT", "WEIGHT", "JOBS", "ACTIVE", "USED", "LIMIT"]).right([1, 2, 3]);
    for tenant in tenants {
        table.row([
            tenant.name.clone(),
            tenant.weight.to_string(),
            tenant.jobs.to_string(),
            tenant.active_runs.to_string(),
            units::amounts(&tenant.used),
            units::limits(&tenant.limit),
        ]);
    }
    table.render()
}

pub(crate) fn show(tenant: &TenantView) -> String {
    let mut text = facts([
        ("tenant", tenant.name.clone()),
        ("weight", tenant.weight.to_string()),
        ("jobs", tenant.jobs.to_string()),
        ("active runs", tenant.active_runs.to_string()),
        ("placements", format!("{} so far", tenant.grants)),
    ]);
    let mut table = Table::new(["RESOURCE", "USED", "LIMIT"]).right([1, 2]);
    let names: std::collections::BTreeSet<&String> = tenant.used.keys().chain(tenant.limit.keys()).collect();
    for name in names {
        let used = tenant.used.get(name).copied().unwrap_or(0);
        let limit =
            tenant.limit.get(name).map_or_else(|| "none".to_owned(), |&limit| units::exact(name, limit));
        table.row([name.clone(), units::amount(name, used), limit]);
    }
    text.push('\n');
    text.push_str(&table.render());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_shows_what_it_uses_of_its_limit() {
        let tenant = TenantView {
            name: "acme".into(),
            weight: 2,
            limit: [("cpu".to_owned(), 4000)].into(),
            used: [("cpu".to_owned(), 500), ("memory".to_owned(), 256 << 20)].into(),
            grants: 1234,
            jobs: 3,
            active_runs: 1,
        };
        insta::assert_snapshot!(format!("{}\n{}", list(std::slice::from_ref(&tenant)), show(&tenant)), @r"
        TENANT  WEIGHT  JOBS  ACTIVE  USED                   LIMIT
        acme         2     3       1  cpu 0.5, memory 256Mi  cpu 4

        tenant       acme
        weight       2
        jobs         3
        active runs  1
        placements   1234 so far

        RESOURCE   USED  LIMIT
        cpu         0.5      4
        memory    256Mi   none
        ");
    }
}
