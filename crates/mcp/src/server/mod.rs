//! The server side of the protocol: requests in, answers out. The transports are doors to [`Server::begin`].

mod call;
mod chats;
pub(crate) mod clients;
mod completion;
pub mod connection;
mod discovery;
mod dispatch;
#[cfg(feature = "fixture")]
mod fixture;
mod hearings;
mod hold;
pub mod http;
mod inflight;
mod instructions;
mod listen;
mod lists;
mod news;
mod output;
mod outstanding;
mod pages;
mod plain;
mod progress;
mod prompts;
pub(crate) mod request_state;
mod resources;
mod rooms;
mod rounds;
mod said;
mod sessions;
mod settings;
mod sink;
mod status;
pub mod stdio;
mod tasks;
mod telling;
mod tools;
mod wishes;

pub use connection::Connection;
pub use dispatch::Begun;
pub use settings::ServerSettings;
pub use sink::Sink;

use std::sync::Arc;

use longshore_engine::Engine;
use tokio::sync::Semaphore;

use chats::Chats;
use http::replay::Streams;
use inflight::Inflight;
use outstanding::Outstanding;
use rooms::Rooms;
use sessions::Sessions;

/// Speaks MCP for an engine. Cheap to clone; all clones are the same server.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    settings: ServerSettings,
    /// Name and version, as JSON.
    server_info: String,
    inflight: Inflight,
    chats: Chats,
    /// Room for listens.
    listens: Arc<Semaphore>,
    /// Room for listens over HTTP.
    listeners: Rooms,
    /// Room for streams of sessions over HTTP that bring no answer.
    standing: Rooms,
    outstanding: Outstanding,
    sessions: Sessions,
    streams: Streams,
}

impl Server {
    /// A server for `engine`.
    pub fn new(engine: Engine, settings: ServerSettings) -> Self {
        let server_info = discovery::server_info(&settings.version).to_string();
        Self {
            inner: Arc::new(Inner {
                engine,
                settings,
                server_info,
                inflight: Inflight::default(),
                chats: Chats::default(),
                listens: Arc::new(Semaphore::new(listen::PER_SERVER_MAX)),
                listeners: Rooms::new(listen::PER_CALLER_MAX),
                standing: Rooms::new(http::STANDING_PER_CALLER_MAX),
                outstanding: Outstanding::default(),
                sessions: Sessions::default(),
                streams: Streams::default(),
            }),
        }
    }

    fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    fn settings(&self) -> &ServerSettings {
        &self.inner.settings
    }

    fn server_info(&self) -> &str {
        &self.inner.server_info
    }

    fn chats(&self) -> &Chats {
        &self.inner.chats
    }

    fn listens(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.listens)
    }

    fn listeners(&self) -> &Rooms {
        &self.inner.listeners
    }

    fn standing(&self) -> &Rooms {
        &self.inner.standing
    }

    fn outstanding(&self) -> &Outstanding {
        &self.inner.outstanding
    }

    fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    fn streams(&self) -> &Streams {
        &self.inner.streams
    }

    fn inflight(&self) -> &Inflight {
        &self.inner.inflight
    }
}
