use berth_core::command::Command;
use berth_core::id::TenantHandle;
use berth_proto::convert::status::of_invalid;
use berth_proto::convert::tenant;
use berth_proto::v1::tenants_server::Tenants;
use berth_proto::v1::{self, ErrorCode};
use tonic::{Request, Response, Status};

use super::{failed, gate::Gate, invalid, key, page, render, unknown};
use crate::access::Resource;
use crate::log::Log;

/// Tenants.
#[derive(Debug, Clone)]
pub struct TenantsService {
    gate: Gate<Log>,
}

impl TenantsService {
    /// The service over a log.
    pub fn new(log: Log) -> TenantsService {
        TenantsService { gate: Gate::new(log) }
    }
}

#[tonic::async_trait]
impl Tenants for TenantsService {
    async fn apply(
        &self,
        request: Request<v1::ApplyTenantRequest>,
    ) -> Result<Response<v1::ApplyTenantReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |_| Resource::Cluster)?;
        let key = key(&request.key)?;
        let spec = request.tenant.ok_or_else(|| invalid("tenant", "is missing"))?;
        let spec = tenant::from_proto(spec).map_err(|error| failed(&of_invalid(&error)))?;
        let (index, _) = admitted.write(key, Command::ApplyTenant(spec)).await?;
        Ok(Response::new(v1::ApplyTenantReply { index }))
    }

    async fn get(
        &self,
        request: Request<v1::GetTenantRequest>,
    ) -> Result<Response<v1::GetTenantReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::Tenant(&request.name))?;
        let view = admitted.read(request.stale_ok).await?;
        let unknown = || unknown(ErrorCode::UnknownTenant, format!("no tenant `{}`", request.name));
        let handle = view.state.tenant_named(&request.name).ok_or_else(unknown)?;
        let tenant = Some(render::tenant(&view.state, handle));
        Ok(Response::new(v1::GetTenantReply { tenant, as_of_index: view.applied.index }))
    }

    async fn list(
        &self,
        request: Request<v1::ListTenantsRequest>,
    ) -> Result<Response<v1::ListTenantsReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |_| Resource::Visible)?;
        let view = admitted.read(request.stale_ok).await?;
        let named = view.state.index().tenants.range(request.page_token..);
        let named = named
            .filter(|(name, _)| admitted.scope().sees(name))
            .map(|(name, handle)| (name.clone(), *handle));
        let (tenants, next_page_token) = page::cut(
            named,
            page::size(request.page_size),
            |(_, handle): &(String, TenantHandle)| render::tenant(&view.state, *handle),
            |(name, _)| name.clone(),
        );
        Ok(Response::new(v1::ListTenantsReply { tenants, next_page_token, as_of_index: view.applied.index }))
    }
}
