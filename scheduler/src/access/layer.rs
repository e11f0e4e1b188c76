use std::sync::Arc;
use std::task::{Context, Poll};

use berth_proto::convert::status::{detail, to_status};
use berth_proto::v1::ErrorCode;
use futures_util::future::{Either, Ready, ready};
use tonic::Status;
use tonic::transport::server::TcpConnectInfo;
use tower_layer::Layer;
use tower_service::Service;

use super::methods::{Entry, entry};
use super::{Action, Caller, Denied, Grant, Identify, Resource, authorize, check_role};

/// Stands before every public service: refuses what is in no table and what the caller's role does not allow, and
/// gives all else an [`Access`].
#[derive(Debug, Clone)]
pub struct AccessLayer {
    identify: Arc<dyn Identify>,
}

impl AccessLayer {
    /// The layer for callers that are told apart in this way.
    pub fn new(identify: Arc<dyn Identify>) -> AccessLayer {
        AccessLayer { identify }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = AccessService<S>;

    fn layer(&self, inner: S) -> AccessService<S> {
        AccessService { identify: Arc::clone(&self.identify), inner }
    }
}

/// Who makes a request, and what its method is: found in the extensions of a request, where the layer alone puts it.
#[derive(Debug, Clone)]
pub struct Access {
    caller: Caller,
    action: Action,
}

impl Access {
    /// Whether the caller may do this to a resource.
    ///
    /// # Errors
    /// As [`authorize`].
    pub fn authorize(&self, resource: Resource<'_>) -> Result<Grant, Denied> {
        authorize(&self.caller, self.action, resource)
    }
}

/// A service behind an [`AccessLayer`].
#[derive(Debug, Clone)]
pub struct AccessService<S> {
    identify: Arc<dyn Identify>,
    inner: S,
}

impl<S> AccessService<S> {
    /// `None` for what is open to anyone.
    fn access<B>(&self, request: &http::Request<B>) -> Result<Option<Access>, Status> {
        let path = request.uri().path();
        let action = match entry(path) {
            Some(Entry::Public) => return Ok(None),
            Some(Entry::Action(action)) => action,
            // What a server answers that has no such method, so that clients of other releases understand it.
            None => return Err(Status::unimplemented(format!("there is no method {path}"))),
        };
        let from = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let caller = self.identify.identify(request.headers(), from);
        match check_role(&caller, action) {
            Ok(()) => Ok(Some(Access { caller, action })),
            Err(denied) => Err(to_status(&detail(ErrorCode::Denied, denied.to_string()))),
        }
    }
}

impl<S, B, R> Service<http::Request<B>> for AccessService<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        match self.access(&request) {
            Ok(access) => {
                if let Some(access) = access {
                    request.extensions_mut().insert(access);
                }
                Either::Left(self.inner.call(request))
            }
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::HeaderMap;

    use super::*;
    use crate::access::{Everyone, Role};

    /// Answers whatever comes, and says with which action it came.
    #[derive(Debug, Clone)]
    struct Open;

    impl Service<http::Request<()>> for Open {
        type Response = http::Response<()>;
        type Error = Infallible;
        type Future = Ready<Result<http::Response<()>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<()>) -> Self::Future {
            let mut response = http::Response::new(());
            response.extensions_mut().insert(request.extensions().get::<Access>().cloned());
            ready(Ok(response))
        }
    }

    #[derive(Debug)]
    struct Viewers;

    impl Identify for Viewers {
        fn identify(&self, headers: &HeaderMap, from: Option<std::net::SocketAddr>) -> Caller {
            Caller { role: Role::Viewer, ..Everyone.identify(headers, from) }
        }
    }

    /// The action with which a request gets through, or the refusal.
    async fn call(identify: Arc<dyn Identify>, path: &str) -> Result<Option<Action>, tonic::Code> {
        let mut service = AccessLayer::new(identify).layer(Open);
        let request = http::Request::builder().uri(path).body(()).unwrap();
        let response = service.call(request).await.unwrap();
        match Status::from_header_map(response.headers()) {
            Some(status) => Err(status.code()),
            None => {
                let access = response.extensions().get::<Option<Access>>().cloned();
                Ok(access.expect("the service was reached").map(|access| access.action))
            }
        }
    }

    #[tokio::test]
    async fn a_method_reaches_its_service_with_its_action() {
        let everyone = || Arc::new(Everyone);
        assert_eq!(call(everyone(), "/berth.v1.Jobs/Submit").await, Ok(Some(Action::Submit)));
        assert_eq!(call(everyone(), "/berth.v1.Nodes/Remove").await, Ok(Some(Action::Operate)));
        assert_eq!(call(everyone(), "/grpc.health.v1.Health/Check").await, Ok(None));
    }

    #[tokio::test]
    async fn what_is_in_no_table_never_reaches_a_service_that_would_answer_it() {
        for path in ["/berth.v1.Jobs/Steal", "/berth.v2.Jobs/Submit", "/berth.peer.v1.Peers/Forward", "/"] {
            assert_eq!(call(Arc::new(Everyone), path).await, Err(tonic::Code::Unimplemented), "{path}");
        }
    }

    #[tokio::test]
    async fn a_role_that_is_too_low_never_reaches_the_service() {
        let denied = Err(tonic::Code::PermissionDenied);
        assert_eq!(call(Arc::new(Viewers), "/berth.v1.Jobs/List").await, Ok(Some(Action::Read)));
        assert_eq!(call(Arc::new(Viewers), "/berth.v1.Jobs/Submit").await, denied);
        assert_eq!(call(Arc::new(Viewers), "/berth.agent.v1.Agents/Session").await, denied);
    }
}
