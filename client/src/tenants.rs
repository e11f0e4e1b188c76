//! Tenants: read, add, change.

use berth_proto::v1::tenants_client::TenantsClient;
use berth_proto::v1::{ApplyTenantRequest, GetTenantRequest, ListTenantsRequest, TenantSpec, TenantView};

use crate::client::Client;
use crate::error::Error;
use crate::key::RequestKey;
use crate::pages::Pages;

impl Client {
    /// Adds a tenant, or changes it to be as given.
    ///
    /// # Errors
    /// As for every write; [`Error::Invalid`].
    pub async fn apply_tenant(&self, tenant: TenantSpec) -> Result<(), Error> {
        let key = RequestKey::random();
        let request = ApplyTenantRequest { tenant: Some(tenant), key: key.wire() };
        self.write(key, |channel| {
            let request = request.clone();
            async move { TenantsClient::new(channel).apply(request).await }
        })
        .await
        .map(drop)
    }

    /// A tenant with its limit and what it uses.
    ///
    /// # Errors
    /// As for every read; [`Error::NotFound`].
    pub async fn tenant(&self, name: &str) -> Result<TenantView, Error> {
        let request = GetTenantRequest { name: name.to_owned(), stale_ok: self.stale_ok() };
        let reply = self
            .read(|channel| {
                let request = request.clone();
                async move { TenantsClient::new(channel).get(request).await }
            })
            .await?;
        reply.tenant.ok_or(Error::Malformed { what: "the tenant" })
    }

    /// The tenants by name.
    pub fn tenants(&self) -> Pages<TenantView> {
        let client = self.clone();
        Pages::new(move |page_token| {
            let client = client.clone();
            let request = ListTenantsRequest { page_size: 0, page_token, stale_ok: client.stale_ok() };
            async move {
                let ask = |channel| {
                    let request = request.clone();
                    async move { TenantsClient::new(channel).list(request).await }
                };
                client.read(ask).await.map(|reply| (reply.tenants, reply.next_page_token))
            }
        })
    }
}
