//! Talking to the engine: one version for each connection, a deadline for each call.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error as ClientError;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStatsResponse, ContainerSummary, ImageInspect,
};
use bollard::query_parameters::{
    ContainerArchiveInfoOptions, CreateContainerOptions, InspectContainerOptions, KillContainerOptions,
    ListContainersOptions, RemoveContainerOptions, StartContainerOptions, StatsOptions, WaitContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::timeout;

use super::socket_of;
use crate::executor::Health;

/// Calls that only ask.
const ASKING: Duration = Duration::from_secs(10);
/// Calls that change something; a busy engine takes seconds for a container.
const DOING: Duration = Duration::from_secs(60);
/// How long one wait lasts before it is asked anew. A wait that the engine forgot costs no more.
const WAITING: Duration = Duration::from_secs(300);
/// The looks at whether it is there.
const PROBING: Duration = Duration::from_secs(4);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is no connection.
    #[error("the Docker engine cannot be reached")]
    Unreachable,
    /// It did not answer in time; it may still do what it was asked.
    #[error("the Docker engine took longer than {} s to {what}", limit.as_secs())]
    Late { what: &'static str, limit: Duration },
    /// It answered with a refusal.
    #[error("the Docker engine refused to {what}: {message}")]
    Refused { what: &'static str, status: u16, message: String },
    /// The call broke off; it may have been done.
    #[error("cannot {what}: {source}")]
    Broken { what: &'static str, source: ClientError },
}

impl Error {
    /// The engine knows no such container, image or file.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Error::Refused { status: 404, .. })
    }
}

/// A file in a container.
#[derive(Debug)]
pub(super) struct FileStat {
    /// Permission bits and type as Go's `FileMode` has them.
    pub(super) mode: u32,
    /// Where a symbolic link leads, within the container; empty for others.
    pub(super) link: String,
}

/// The engine, as the tasks of the attempts use it.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    client: watch::Receiver<Option<Docker>>,
}

/// The keeper's side: finds the engine again and again.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Result<PathBuf, String>,
    client: watch::Sender<Option<Docker>>,
}

impl Connection {
    /// Connects anew and negotiates the version: the engine may have come, gone or been replaced.
    pub(super) async fn probe(&self) -> Health {
        match self.connect().await {
            Ok((client, detail)) => {
                self.client.send_replace(Some(client));
                Health::Ready { detail, missing: BTreeSet::new() }
            }
            Err(reason) => {
                self.client.send_replace(None);
                Health::Unavailable { reason }
            }
        }
    }

    async fn connect(&self) -> Result<(Docker, String), String> {
        let socket = self.socket.clone()?;
        let shown = socket.display();
        if !socket.exists() {
            return Err(format!(
                "no Docker engine: there is no socket {shown}; install and start one \
                 (systemctl start docker), or tell the agent where its socket is"
            ));
        }
        let path = socket.to_str().ok_or_else(|| format!("the socket's name {shown} is no text"))?;
        // The negotiation needs any version to begin with; older engines refuse newer clients.
        let client = Docker::connect_with_unix(path, DOING.as_secs(), API_DEFAULT_VERSION)
            .map_err(|error| format!("cannot use the socket {shown}: {error}"))?;
        let no_answer = |why: String| {
            format!(
                "the Docker engine at {shown} does not answer ({why}); is it running, and may this user \
                 open its socket (root or the group docker)?"
            )
        };
        let talk = async {
            let client = client.negotiate_version().await?;
            let (version, info) = (client.version().await?, client.info().await?);
            let api = client.client_version();
            let name = version.version.unwrap_or_default();
            let fragile = match info.live_restore_enabled {
                Some(true) => "",
                Some(false) | None => ", a restart of the engine ends its containers",
            };
            let detail = format!("engine {name}, API {api}, no network for tasks{fragile}");
            Ok::<_, ClientError>((client, detail))
        };
        match timeout(PROBING, talk).await {
            Ok(Ok(ready)) => Ok(ready),
            Ok(Err(error)) => Err(no_answer(in_full(&error))),
            Err(_) => Err(no_answer(format!("within {} s", PROBING.as_secs()))),
        }
    }
}

impl Engine {
    /// An engine that is not connected before the first probe.
    pub(super) fn new(host: &str) -> (Engine, Connection) {
        let (sender, client) = watch::channel(None);
        (Engine { client }, Connection { socket: socket_of(host), client: sender })
    }

    /// The client, for streams; the caller bounds how long they last.
    pub(super) fn client(&self) -> Result<Docker, Error> {
        self.client.borrow().clone().ok_or(Error::Unreachable)
    }

    async fn call<T, F>(
        &self,
        what: &'static str,
        limit: Duration,
        make: impl FnOnce(Docker) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let client = self.client()?;
        match timeout(limit, make(client)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(ClientError::DockerResponseServerError { status_code: status, message })) => {
                Err(Error::Refused { what, status, message: message.trim().to_owned() })
            }
            Ok(Err(source)) => Err(Error::Broken { what, source }),
            Err(_) => Err(Error::Late { what, limit }),
        }
    }

    pub(super) async fn image(&self, name: &str) -> Result<ImageInspect, Error> {
        self.call("look at the image", ASKING, async |client| client.inspect_image(name).await).await
    }

    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<(), Error> {
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        let make = async |client: Docker| client.create_container(Some(options), body).await;
        self.call("make the container", DOING, make).await.map(|_| ())
    }

    pub(super) async fn start(&self, name: &str) -> Result<(), Error> {
        let options = None::<StartContainerOptions>;
        self.call("start the container", DOING, async |client| client.start_container(name, options).await)
            .await
    }

    pub(super) async fn inspect(&self, name: &str) -> Result<ContainerInspectResponse, Error> {
        let options = None::<InspectContainerOptions>;
        let make = async |client: Docker| client.inspect_container(name, options).await;
        self.call("look at the container", ASKING, make).await
    }

    /// What the container uses now.
    pub(super) async fn stats(&self, name: &str) -> Result<ContainerStatsResponse, Error> {
        let options = StatsOptions { stream: false, one_shot: true };
        let make = async |client: Docker| {
            let first = client.stats(name, Some(options)).next().await;
            first.unwrap_or_else(|| Ok(ContainerStatsResponse::default()))
        };
        self.call("measure the container", ASKING, make).await
    }

    /// The containers with all these labels, whatever they do.
    pub(super) async fn list(&self, labels: &[String]) -> Result<Vec<ContainerSummary>, Error> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let make = async |client: Docker| client.list_containers(Some(options)).await;
        self.call("list the containers", ASKING, make).await
    }

    /// Sends a signal.
    pub(super) async fn kill(&self, name: &str, signal: &str) -> Result<(), Error> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        let make = async |client: Docker| client.kill_container(name, Some(options)).await;
        self.call("signal the container", ASKING, make).await
    }

    /// Removes a container, whatever it does; one that is not there is no mistake.
    pub(super) async fn remove(&self, name: &str) -> Result<(), Error> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        let make = async |client: Docker| client.remove_container(name, Some(options)).await;
        match self.call("remove the container", DOING, make).await {
            Err(error) if error.is_absent() => Ok(()),
            other => other,
        }
    }

    /// A path in a container that need not run; `None` when there is nothing.
    pub(super) async fn stat(&self, name: &str, path: &str) -> Result<Option<FileStat>, Error> {
        let options = ContainerArchiveInfoOptions { path: path.to_owned() };
        let make = async |client: Docker| client.get_container_archive_info(name, Some(options)).await;
        match self.call("look into the container", ASKING, make).await {
            Ok(stat) => Ok(Some(FileStat { mode: stat.file_mode, link: stat.link_target })),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until the container does not run, at most a while; what is so then, [`Engine::inspect`]
    /// tells. (`next-exit` can miss an exit, and then waits for ever.)
    pub(super) async fn wait(&self, name: &str) {
        let Ok(client) = self.client() else { return };
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut stream = client.wait_container(name, Some(options));
        // Its answer repeats the exit code, as an error where that is not 0.
        let _ = timeout(WAITING, stream.next()).await;
    }
}

/// An error with its causes: the client's own text often stops short of the reason.
fn in_full(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
