//! The server side of the protocol: requests in, answers out. The transports are doors to [`Server::begin`].

mod call;
pub(crate) mod clients;
pub mod connection;
mod discovery;
mod dispatch;
mod hold;
pub mod http;
mod inflight;
mod instructions;
mod output;
mod plain;
mod progress;
mod resources;
mod settings;
mod sink;
mod status;
pub mod stdio;
mod tools;

pub use connection::Connection;
pub use dispatch::Begun;
pub use settings::ServerSettings;
pub use sink::Sink;

use std::sync::Arc;

use longshore_engine::Engine;

use inflight::Inflight;

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
}

impl Server {
    /// A server for `engine`.
    pub fn new(engine: Engine, settings: ServerSettings) -> Self {
        let server_info = discovery::server_info(&settings.version).to_string();
        Self { inner: Arc::new(Inner { engine, settings, server_info, inflight: Inflight::default() }) }
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

    fn inflight(&self) -> &Inflight {
        &self.inner.inflight
    }
}
