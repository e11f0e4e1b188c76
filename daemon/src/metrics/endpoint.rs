//! The HTTP listener behind `/metrics` and `/health`.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Health, Registry};
use crate::listen;

/// The content type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why the endpoint ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener failed.
    #[error("the metrics listener failed")]
    Serve(#[source] io::Error),
}

/// An open listener that serves once [`Endpoint::run`] is called.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    registry: Registry,
    health: Health,
}

impl Endpoint {
    /// Opens the listener, by the rules of [`listen::bind`], and tells its real address.
    ///
    /// # Errors
    /// Those of [`listen::bind`].
    pub async fn bind(
        address: SocketAddr,
        insecure: bool,
        registry: Registry,
        health: Health,
    ) -> Result<(Self, SocketAddr), listen::Error> {
        let (listener, real) = listen::bind("metrics", address, insecure).await?;
        Ok((Self { listener, registry, health }, real))
    }

    /// Serves until `shutdown` is cancelled.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let router = Router::new()
            .route("/metrics", get(metrics).with_state(self.registry))
            .route("/health", get(health).with_state(self.health));
        axum::serve(self.listener, router)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
            .map_err(Error::Serve)
    }
}

async fn metrics(State(registry): State<Registry>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], registry.encode())
}

/// 200 when every part is ready, else 503; a line a part in both cases.
async fn health(State(health): State<Health>) -> impl IntoResponse {
    let ready = health.is_ready();
    let mut text = String::from(if ready { "ready\n" } else { "not ready\n" });
    for (part, status) in health.parts() {
        writeln!(text, "{part}: {status}").expect("writing to a String cannot fail");
    }
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}
