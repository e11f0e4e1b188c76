use berth_core::command::Command;
use berth_core::id::TenantHandle;
use berth_proto::convert::status::of_invalid;
use berth_proto::convert::tenant;
use berth_proto::v1::tenants_server::Tenants;
use berth_proto::v1::{self, ErrorCode};
use tonic::{Request, Response, Status};

use super::{admit, failed, invalid, key, page, render, unknown, write};
use crate::access::{Action, Resource};
use crate::log::Log;

/// Tenants.
#[derive(Debug, Clone)]
pub struct TenantsService {
    log: Log,
}

impl TenantsService {
    /// The service over a log.
    pub fn new(log: Log) -> TenantsService {
        TenantsService { log }
    }
}

#[tonic::async_trait]
impl Tenants for TenantsService {
    async fn apply(
        &self,
        request: Request<v1::ApplyTenantRequest>,
    ) -> Result<Response<v1::ApplyTenantReply>, Status> {
        let caller = admit(&request, Action::Operate, Resource::Cluster)?;
        let request = request.into_inner();
        let key = key(&request.key)?;
        let spec = request.tenant.ok_or_else(|| invalid("tenant", "is missing"))?;
        let spec = tenant::from_proto(spec).map_err(|error| failed(&of_invalid(&error)))?;
        let (index, _) = write(&self.log, caller, key, Command::ApplyTenant(spec)).await?;
        Ok(Response::new(v1::ApplyTenantReply { index }))
    }

    async fn get(
        &self,
        request: Request<v1::GetTenantRequest>,
    ) -> Result<Response<v1::GetTenantReply>, Status> {
        admit(&request, Action::Read, Resource::Tenant(&request.get_ref().name))?;
        let request = request.into_inner();
        let view = self.log.read(request.stale_ok).await.map_err(|error| failed(&error))?;
        let unknown = || unknown(ErrorCode::UnknownTenant, format!("no tenant `{}`", request.name));
        let handle = view.state.tenant_named(&request.name).ok_or_else(unknown)?;
        let tenant = Some(render::tenant(&view.state, handle));
        Ok(Response::new(v1::GetTenantReply { tenant, as_of_index: view.applied.index }))
    }

    async fn list(
        &self,
        request: Request<v1::ListTenantsRequest>,
    ) -> Result<Response<v1::ListTenantsReply>, Status> {
        admit(&request, Action::Read, Resource::Cluster)?;
        let request = request.into_inner();
        let view = self.log.read(request.stale_ok).await.map_err(|error| failed(&error))?;
        let named = view.state.index().tenants.range(request.page_token..);
        let named = named.map(|(name, handle)| (name.clone(), *handle));
        let (tenants, next_page_token) = page::cut(
            named,
            page::size(request.page_size),
            |(_, handle): &(String, TenantHandle)| render::tenant(&view.state, *handle),
            |(name, _)| name.clone(),
        );
        Ok(Response::new(v1::ListTenantsReply { tenants, next_page_token, as_of_index: view.applied.index }))
    }
}
