use super::Change;
use crate::command::TenantSpec;
use crate::event::Event;
use crate::id::TenantHandle;
use crate::model::Tenant;
use crate::reply::{Refusal, Reply};

/// The most tenants of a cluster.
const TENANTS_MAX: u64 = 100_000;

impl Change<'_> {
    pub(super) fn apply_tenant(&mut self, spec: TenantSpec) -> Result<Reply, Refusal> {
        if spec.weight == 0 {
            return Err(Refusal::Invalid("a tenant's weight is at least 1".into()));
        }
        let tenants = &mut self.state.tables.tenants;
        let handle = match self.state.index.tenants.get(&spec.name).copied() {
            Some(handle) => {
                tenants.update(&handle, |tenant| {
                    tenant.weight = spec.weight;
                    tenant.limit = spec.limit;
                });
                handle
            }
            None if tenants.len() as u64 >= TENANTS_MAX => {
                return Err(Refusal::Full { what: "tenants of a cluster".into(), limit: TENANTS_MAX });
            }
            None => {
                let handle = TenantHandle(self.state.tables.header.next.tenant);
                self.state.tables.header.next.tenant += 1;
                let name = spec.name.clone();
                let tenant = Tenant {
                    name: spec.name,
                    parent: None,
                    weight: spec.weight,
                    limit: spec.limit,
                    grants: 0,
                };
                tenants.insert(handle, tenant);
                self.state.index.tenants.insert(name, handle);
                handle
            }
        };
        self.emit(Event::TenantApplied(handle));
        Ok(Reply::Done)
    }
}
