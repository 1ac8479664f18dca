//! Where callers come in: a TCP address for everybody with a token, a socket for bridges of the same user.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::Principal;
use longshore_domain::fault::{Fault, FaultCode};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::task::{JoinError, JoinSet};

use super::connections;
use super::crowd::Crowd;
use crate::config::{Config, Listen};
use crate::daemon::machine::OpenFiles;
use crate::daemon::port_holder;
use crate::home::Home;
use crate::http::{App, Entrance};
use crate::problem::file_failed;

/// File that remembers the port of a home that chose a free one.
const PORT_FILE: &str = "port";
/// Most connections at once.
const CONNECTIONS_MAX: usize = 4096;
/// Pause after a connection could not be accepted, e.g. for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Open doors through which nobody is let in yet.
pub(super) struct Doors {
    tcp: TcpListener,
    address: SocketAddr,
    socket: SameUser,
}

impl Doors {
    /// Opens both doors.
    ///
    /// # Errors
    /// `listen_failed` naming the address and, where it can be seen, who has it; `file_failed`.
    pub(super) async fn bind(home: &Home, config: &Config) -> Result<Self, Fault> {
        let tcp = match config.listen {
            Listen::At(address) => listen(address).await?,
            Listen::Remembered => listen_remembered(home).await?,
        };
        let address = tcp.local_addr().map_err(Fault::internal)?;
        Ok(Self { tcp, address, socket: SameUser::bind(&home.socket())? })
    }

    /// Where the TCP door is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets callers in until the daemon stops, then waits for the requests under way.
    pub(super) async fn serve(self, app: App, open_files: OpenFiles) {
        let entrance = Arc::new(Entrance::new(&app));
        let answer = move |from, request| {
            let entrance = Arc::clone(&entrance);
            async move { entrance.answer(from, request).await }
        };
        let crowd = Crowd::of_at_most(connections_max(open_files));
        let over_tcp = connections::serve(self.tcp, answer, crowd, app.stopping.clone());
        tokio::join!(over_tcp, self.socket.serve(&app));
    }
}

/// As many as half of the files that may be open: the store, output and bridges need some too.
fn connections_max(open_files: OpenFiles) -> usize {
    usize::try_from(open_files.now / 2).unwrap_or(CONNECTIONS_MAX).min(CONNECTIONS_MAX)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Fault> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = match port_holder::find(address).filter(|_| error.kind() == ErrorKind::AddrInUse) {
            Some((pid, name)) => format!("process {pid} ({name}) listens there"),
            None => error.to_string(),
        };
        Fault::new(FaultCode::ListenFailed, format!("the daemon cannot listen at {address}"))
            .why(why)
            .next("stop that process, or set another `listen` in config.toml or LONGSHORE_LISTEN")
    })
}

/// Listens at the port of the last start, or if it is taken at a free one, and remembers it.
async fn listen_remembered(home: &Home) -> Result<TcpListener, Fault> {
    let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let text = std::fs::read_to_string(home.file(PORT_FILE)).unwrap_or_default();
    if let Ok(port) = text.trim().parse()
        && let Ok(listener) = TcpListener::bind(at(port)).await
    {
        return Ok(listener);
    }
    let listener = listen(at(0)).await?;
    let port = listener.local_addr().map_err(Fault::internal)?.port();
    home.replace(PORT_FILE, format!("{port}\n").as_bytes())?;
    Ok(listener)
}

/// A socket that lets in only processes of the user who runs the daemon.
struct SameUser(UnixListener);

impl SameUser {
    /// Opens the socket at `path`, in place of one that a dead daemon left there.
    fn bind(path: &Path) -> Result<Self, Fault> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(file_failed(path, "removed", &error)),
            _ => {}
        }
        let opened = UnixListener::bind(path).and_then(|listener| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            Ok(Self(listener))
        });
        opened.map_err(|error| {
            Fault::new(FaultCode::ListenFailed, format!("the daemon cannot listen at {}", path.display()))
                .why(error.to_string())
                .next("a socket's path has at most 107 bytes: if it is longer, choose a shorter LONGSHORE_HOME")
        })
    }

    /// Lets bridges in until the daemon stops, then waits until each has its answers: the engine drains by then.
    async fn serve(self, app: &App) {
        let mut bridges = JoinSet::new();
        loop {
            tokio::select! {
                stream = self.accept() => {
                    // Whoever reaches the socket has proved to be the same user; a bridge speaks for the user's agent.
                    let owner = Principal::agent(Principal::OWNER);
                    bridges.spawn(longshore_mcp::stdio::serve(app.mcp.clone(), owner, stream));
                }
                Some(ended) = bridges.join_next() => note_end(ended),
                () = app.stopping.cancelled() => break,
            }
        }
        // Whoever comes now finds no door, and waits for the next daemon.
        drop(self);
        while let Some(ended) = bridges.join_next().await {
            note_end(ended);
        }
    }

    async fn accept(&self) -> UnixStream {
        loop {
            let stream = match self.0.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::error!(%error, "a bridge could not be let in");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == rustix::process::getuid().as_raw() => return stream,
                Ok(peer) => tracing::warn!(uid = peer.uid(), "a process of another user was turned away"),
                Err(error) => tracing::warn!(%error, "a process that nobody vouches for was turned away"),
            }
        }
    }
}

fn note_end(ended: Result<std::io::Result<()>, JoinError>) {
    match ended {
        Ok(Ok(())) => tracing::debug!("a bridge left"),
        Ok(Err(error)) => tracing::debug!(%error, "a bridge broke off"),
        Err(error) => tracing::error!(%error, "the handling of a bridge panicked"),
    }
}
