//! A tenant as an operator wants it.

use berth_core::command::TenantSpec;
use berth_core::name::Named;

use super::Error;
use super::facts::resources_from_proto;
use super::field::{name, within};
use crate::v1;

/// The tenant that a message describes.
///
/// # Errors
/// When its name or a resource's is none, or its weight is 0.
pub fn from_proto(tenant: v1::TenantSpec) -> Result<TenantSpec, Error> {
    name(&tenant.name, Named::Ours, "name")?;
    within(u64::from(tenant.weight), 1, u64::from(u32::MAX), "weight")?;
    Ok(TenantSpec {
        name: tenant.name,
        weight: tenant.weight,
        limit: resources_from_proto(tenant.limit, "limit")?,
    })
}

/// The message for a tenant.
pub fn to_proto(tenant: &TenantSpec) -> v1::TenantSpec {
    v1::TenantSpec { name: tenant.name.clone(), weight: tenant.weight, limit: tenant.limit.clone() }
}
