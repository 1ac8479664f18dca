//! From a message to its answer: era, method, handler.

use std::future::Future;

use futures_util::future::BoxFuture;
use longshore_domain::Fault;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::call::Call;
use super::connection::Connection;
use super::{Server, Sink, discovery, resources, tools};
use crate::wire::{
    Era, ErrorCode, LegacyVersion, MODERN, Message, Meta, Notification, Reply, Request, RequestId, ResultBody, RpcError,
};

/// What became of a message.
pub enum Begun {
    /// It wants no answer.
    Nothing,
    /// The answer.
    Done(Reply),
    /// The answer is being worked on; nothing comes of it if the client gave the request up. Dropping the future
    /// gives it up too; a job that was accepted goes on in any case.
    Pending(BoxFuture<'static, Option<Reply>>),
}

/// The methods of the protocol that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Initialize,
    Ping,
    Discover,
    ToolsList,
    ToolsCall,
    ResourcesList,
    ResourceTemplatesList,
    ResourcesRead,
}

impl Method {
    /// The method of that name in that era.
    fn find(name: &str, era: Era) -> Option<Self> {
        let legacy = matches!(era, Era::Legacy(_));
        match name {
            "initialize" if legacy => Some(Self::Initialize),
            "ping" if legacy => Some(Self::Ping),
            "server/discover" if !legacy => Some(Self::Discover),
            "tools/list" => Some(Self::ToolsList),
            "tools/call" => Some(Self::ToolsCall),
            "resources/list" => Some(Self::ResourcesList),
            "resources/templates/list" => Some(Self::ResourceTemplatesList),
            "resources/read" => Some(Self::ResourcesRead),
            _ => None,
        }
    }
}

impl Server {
    /// Takes one message. What must happen in the order of arrival has happened when this returns: handshakes,
    /// cancellations, and that a request can be cancelled. Must be called within a Tokio runtime.
    pub fn begin(&self, connection: &Connection, message: &[u8], sink: &Sink) -> Begun {
        match Message::parse(message) {
            Ok(Message::Request(request)) => self.requested(connection, &request, sink),
            Ok(Message::Notification(notification)) => {
                self.notified(connection, &notification);
                Begun::Nothing
            }
            Ok(Message::Response) => Begun::Nothing,
            Err(malformed) => Begun::Done(Reply::failed(malformed.id.as_ref(), malformed.error)),
        }
    }

    /// Takes one message and sees it to its end. Nothing is returned for what wants no answer or was given up.
    pub async fn dispatch(&self, connection: &Connection, message: &[u8], sink: &Sink) -> Option<Reply> {
        match self.begin(connection, message, sink) {
            Begun::Nothing => None,
            Begun::Done(reply) => Some(reply),
            Begun::Pending(answer) => answer.await,
        }
    }

    fn notified(&self, connection: &Connection, notification: &Notification<'_>) {
        #[derive(Deserialize)]
        struct Cancelled<'a> {
            #[serde(borrow, rename = "requestId")]
            request_id: &'a RawValue,
        }
        if notification.method != "notifications/cancelled" {
            return;
        }
        let params = notification.params.map_or("{}", RawValue::get);
        let cancelled = serde_json::from_str::<Cancelled<'_>>(params).ok();
        if let Some(id) = cancelled.and_then(|cancelled| RequestId::from_raw(cancelled.request_id)) {
            self.inflight().give_up(connection.origin().scope.as_ref(), id);
        }
    }

    fn requested(&self, connection: &Connection, request: &Request<'_>, sink: &Sink) -> Begun {
        match self.routed(connection, request, sink) {
            Ok((method, call)) => self.run(method, call),
            Err(error) => Begun::Done(Reply::failed(Some(&request.id), error)),
        }
    }

    fn routed(&self, connection: &Connection, request: &Request<'_>, sink: &Sink) -> Result<(Method, Call), RpcError> {
        let meta = Meta::of(request.params)?;
        let era = era_of(connection, &request.method, &meta)?;
        let method = Method::find(&request.method, era).ok_or_else(|| RpcError::method_not_found(&request.method))?;
        Ok((method, Call::new(self, connection, era, request, &meta, sink)))
    }

    fn run(&self, method: Method, call: Call) -> Begun {
        let now = |result| Begun::Done(self.reply(&call.id, call.era, result));
        match method {
            Method::Initialize => now(discovery::initialize(&call)),
            Method::Ping => now(ResultBody::new(&serde_json::json!({}))),
            Method::Discover => now(discovery::discover()),
            Method::ToolsList => now(tools::list()),
            Method::ResourceTemplatesList => now(resources::templates()),
            Method::ToolsCall => match tools::chosen(&call) {
                Ok(chosen) => self.pending(call, |call| tools::call(call, chosen)),
                Err(error) => now(Err(error)),
            },
            Method::ResourcesList => self.pending(call, resources::list),
            Method::ResourcesRead => self.pending(call, resources::read),
        }
    }

    /// Works on a request apart from everything else, until it is answered or given up.
    fn pending<F>(&self, call: Call, work: impl FnOnce(Call) -> F) -> Begun
    where
        F: Future<Output = Result<ResultBody, RpcError>> + Send + 'static,
    {
        let guard = self.inflight().enter(call.connection.origin().scope.as_ref(), &call.id);
        let (server, id, era) = (self.clone(), call.id.clone(), call.era);
        let span = tracing::debug_span!("mcp request", id = id.as_json());
        let work = isolated(work(call).instrument(span));
        Begun::Pending(Box::pin(async move {
            tokio::select! {
                result = work => {
                    let result = result.unwrap_or_else(|fault| Err(RpcError::new(ErrorCode::Internal, fault.message)));
                    Some(server.reply(&id, era, result))
                }
                () = guard.given_up() => None,
            }
        }))
    }

    fn reply(&self, id: &RequestId, era: Era, result: Result<ResultBody, RpcError>) -> Reply {
        Reply::new(id, era, self.server_info(), result)
    }
}

/// Runs `work` as a task of its own, so that a panic in it harms nothing else. Dropping the future ends the task.
///
/// # Errors
/// An internal fault if it panicked.
pub(super) async fn isolated<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Fault> {
    AbortOnDropHandle::new(tokio::spawn(work)).await.map_err(|error| {
        tracing::error!(%error, "a request failed by a bug");
        Fault::internal(error)
    })
}

fn era_of(connection: &Connection, method: &str, meta: &Meta<'_>) -> Result<Era, RpcError> {
    if method == "initialize" || !(meta.is_modern() || method == "server/discover") {
        let version = connection.handshake().map_or(LegacyVersion::NEWEST, |handshake| handshake.version);
        return Ok(Era::Legacy(version));
    }
    let missing = |key: &str| {
        let message = format!("`params._meta[\"io.modelcontextprotocol/{key}\"]` is missing");
        RpcError::envelope(ErrorCode::InvalidParams, message)
    };
    match meta.protocol_version.as_deref() {
        None => Err(missing("protocolVersion")),
        Some(version) if version != MODERN => Err(RpcError::unsupported_version(version)),
        Some(_) if meta.client_capabilities.is_none_or(|raw| !raw.get().starts_with('{')) => {
            Err(missing("clientCapabilities"))
        }
        Some(_) => Ok(Era::Modern),
    }
}

#[cfg(test)]
mod tests {
    use longshore_domain::FaultCode;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_fault_and_harms_nothing_else() {
        let other = tokio::spawn(isolated(async { "fine" }));
        let fault = isolated(async { panic!("a bug") }).await.map(|()| "never").unwrap_err();
        assert_eq!(fault.code, FaultCode::Internal);
        assert!(!fault.message.contains("a bug"));
        assert_eq!(other.await.unwrap().unwrap(), "fine");
    }

    #[tokio::test]
    async fn dropping_the_work_ends_it() {
        let (alive, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        let mut work = Box::pin(isolated(async move {
            std::future::pending::<()>().await;
            drop(alive);
        }));
        let at_once = tokio::time::timeout(std::time::Duration::ZERO, &mut work);
        assert!(at_once.await.is_err());
        drop(work);
        assert_eq!(ended.recv().await, None);
    }
}
