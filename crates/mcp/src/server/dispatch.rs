//! From a message to its answer: era, method, handler.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use longshore_domain::{Fault, JobId, Scope};
use tracing::Instrument;

use super::call::Call;
use super::connection::Connection;
#[cfg(feature = "fixture")]
use super::fixture;
use super::{Server, Sink, completion, discovery, listen, prompts, resources, tasks, telling, tools};
use crate::wire::{
    Era, ErrorCode, LegacyVersion, MODERN, Malformed, Message, Meta, Reply, Request, RequestId, ResultBody, RpcError,
};

/// A request that is still under way so long after the engine was told to stop is answered by an error. Waits end at
/// once, so it is one that hangs in a file system, say.
const STOP_MAX: Duration = Duration::from_secs(2);

/// What became of a message.
pub enum Begun {
    /// It wants no answer.
    Nothing,
    /// The answer.
    Done(Reply),
    /// The answer is being worked on; nothing comes of it if the client gave the request up. Dropping the future
    /// gives it up too; a job that was accepted goes on in any case.
    Pending(BoxFuture<'static, Option<Reply>>),
    /// The same for a request that waits for what others do, perhaps for ever, and takes no work meanwhile.
    Open(BoxFuture<'static, Option<Reply>>),
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
    Subscribe,
    Unsubscribe,
    PromptsList,
    PromptsGet,
    Complete,
    SetLevel,
    Listen,
    TasksGet,
    TasksUpdate,
    TasksCancel,
    TasksResult,
    TasksList,
}

impl Method {
    /// The method of that name in that era.
    fn find(name: &str, era: Era) -> Option<Self> {
        let legacy = matches!(era, Era::Legacy(_));
        let legacy_tasks = tasks::legacy::is_spoken(era);
        match name {
            "initialize" if legacy => Some(Self::Initialize),
            "ping" if legacy => Some(Self::Ping),
            "server/discover" if !legacy => Some(Self::Discover),
            "tools/list" => Some(Self::ToolsList),
            "tools/call" => Some(Self::ToolsCall),
            "resources/list" => Some(Self::ResourcesList),
            "resources/templates/list" => Some(Self::ResourceTemplatesList),
            "resources/read" => Some(Self::ResourcesRead),
            "resources/subscribe" if legacy => Some(Self::Subscribe),
            "resources/unsubscribe" if legacy => Some(Self::Unsubscribe),
            "prompts/list" => Some(Self::PromptsList),
            "prompts/get" => Some(Self::PromptsGet),
            "completion/complete" => Some(Self::Complete),
            "logging/setLevel" if legacy => Some(Self::SetLevel),
            "subscriptions/listen" if !legacy => Some(Self::Listen),
            "tasks/get" if !legacy || legacy_tasks => Some(Self::TasksGet),
            "tasks/update" if !legacy => Some(Self::TasksUpdate),
            "tasks/cancel" if !legacy || legacy_tasks => Some(Self::TasksCancel),
            "tasks/result" if legacy_tasks => Some(Self::TasksResult),
            "tasks/list" if legacy_tasks => Some(Self::TasksList),
            _ => None,
        }
    }

    /// What the caller's token must allow. A tool says for itself what it needs.
    fn scope(self) -> Option<Scope> {
        match self {
            Self::Initialize | Self::Ping | Self::Discover | Self::Unsubscribe => None,
            Self::ToolsList | Self::ToolsCall | Self::ResourceTemplatesList | Self::PromptsList => None,
            Self::ResourcesList | Self::ResourcesRead | Self::Subscribe | Self::Listen => Some(Scope::JobsRead),
            Self::PromptsGet | Self::Complete | Self::SetLevel => Some(Scope::JobsRead),
            Self::TasksGet | Self::TasksResult | Self::TasksList => Some(Scope::JobsRead),
            Self::TasksUpdate | Self::TasksCancel => Some(Scope::JobsWrite),
        }
    }
}

impl Server {
    /// Takes one message. What must happen in the order of arrival has happened when this returns: handshakes,
    /// cancellations, and that a request can be cancelled. Must be called within a Tokio runtime.
    pub fn begin(&self, connection: &Connection, message: &[u8], sink: &Sink) -> Begun {
        self.took(connection, Message::parse(message), sink)
    }

    /// As [`Server::begin`], for one message of a batch.
    pub(super) fn begin_in_batch(&self, connection: &Connection, message: &[u8], sink: &Sink) -> Begun {
        self.took(connection, Message::parse_in_batch(message), sink)
    }

    fn took(&self, connection: &Connection, message: Result<Message<'_>, Malformed>, sink: &Sink) -> Begun {
        match message {
            Ok(Message::Request(request)) => match Meta::of(request.params) {
                Ok(meta) => self.requested(connection, &request, &meta, sink),
                Err(error) => Begun::Done(Reply::failed(Some(&request.id), error)),
            },
            Ok(said) => {
                self.heard(connection.origin().scope.as_ref(), &said);
                Begun::Nothing
            }
            Err(malformed) => Begun::Done(Reply::failed(malformed.id.as_ref(), malformed.error)),
        }
    }

    /// Takes one message and sees it to its end. Nothing is returned for what wants no answer or was given up.
    pub async fn dispatch(&self, connection: &Connection, message: &[u8], sink: &Sink) -> Option<Reply> {
        match self.begin(connection, message, sink) {
            Begun::Nothing => None,
            Begun::Done(reply) => Some(reply),
            Begun::Pending(answer) | Begun::Open(answer) => answer.await,
        }
    }

    /// As [`Server::begin`], for a request that was read already.
    pub(super) fn requested(
        &self,
        connection: &Connection,
        request: &Request<'_>,
        meta: &Meta<'_>,
        sink: &Sink,
    ) -> Begun {
        match self.routed(connection, request, meta, sink) {
            Ok((method, call)) => self.run(method, call),
            Err(error) => Begun::Done(Reply::failed(Some(&request.id), error)),
        }
    }

    /// Answers a call of a legacy client anew, by the job that it has begun, wherever that was.
    pub(super) fn take_up(&self, connection: &Connection, id: RequestId, job: JobId, sink: &Sink) -> Begun {
        let request = Request { id, method: "tools/call".into(), params: None, turn: None };
        let routed = self.routed(connection, &request, &Meta::default(), sink);
        match routed.and_then(|(_, call)| call.allowed(Scope::JobsRead).map(|()| call)) {
            Ok(call) => self.pending(call, |call| tools::take_up(call, job)),
            Err(error) => Begun::Done(Reply::failed(Some(&request.id), error)),
        }
    }

    fn routed(
        &self,
        connection: &Connection,
        request: &Request<'_>,
        meta: &Meta<'_>,
        sink: &Sink,
    ) -> Result<(Method, Call), RpcError> {
        let era = era_of(connection, &request.method, meta)?;
        let method = Method::find(&request.method, era).ok_or_else(|| RpcError::method_not_found(&request.method))?;
        let call = Call::new(self, connection, era, request, meta, sink);
        method.scope().map_or(Ok(()), |scope| call.allowed(scope))?;
        Ok((method, call))
    }

    fn run(&self, method: Method, call: Call) -> Begun {
        #[cfg(feature = "fixture")]
        if let Some(work) = fixture::claimed(&call) {
            return self.pending(call, work);
        }
        let now = |result| Begun::Done(self.reply(&call.id, call.era, result));
        match method {
            Method::Initialize => match discovery::initialize(&call) {
                // What a connection is told it hears from this answer on.
                Ok(answer) if call.connection.origin().scope.is_some() => {
                    self.pending(call, |call| telling::begin(call, answer))
                }
                answer => now(answer),
            },
            Method::Ping => now(ResultBody::new(&serde_json::json!({}))),
            Method::Discover => now(discovery::discover()),
            Method::ToolsList => now(tools::list(&call)),
            Method::ResourceTemplatesList => now(resources::templates(&call)),
            Method::ToolsCall => match tools::chosen(&call) {
                Ok(chosen) => self.pending(call, |call| tools::call(call, chosen)),
                Err(error) => now(Err(error)),
            },
            Method::ResourcesList => self.pending(call, resources::list),
            Method::ResourcesRead => self.pending(call, resources::read),
            Method::Subscribe => self.pending(call, telling::subscribe),
            Method::Unsubscribe => self.pending(call, telling::unsubscribe),
            Method::PromptsList => now(prompts::list(&call)),
            Method::PromptsGet => self.pending(call, prompts::get),
            Method::Complete => self.pending(call, completion::complete),
            Method::SetLevel => self.pending(call, telling::set_level),
            Method::Listen => match listen::filter(&call).and_then(|filter| Ok((filter, listen::place(&call)?))) {
                Ok((filter, place)) => opened(self.pending(call, |call| listen::listen(call, filter, place))),
                Err(error) => now(Err(error)),
            },
            Method::TasksGet if call.era == Era::Modern => self.pending(call, tasks::modern::get),
            Method::TasksGet => self.pending(call, tasks::legacy::get),
            Method::TasksUpdate => self.pending(call, tasks::modern::update),
            Method::TasksCancel if call.era == Era::Modern => self.pending(call, tasks::modern::cancel),
            Method::TasksCancel => self.pending(call, tasks::legacy::cancel),
            Method::TasksResult => opened(self.pending(call, tasks::legacy::result)),
            Method::TasksList => self.pending(call, tasks::legacy::list),
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
        // On the heap at once: moving it from future to future would take longer than many a call.
        let work = isolated(work(call).instrument(span).boxed());
        Begun::Pending(Box::pin(async move {
            // It may have waited for its turn until then.
            if guard.is_given_up() {
                return None;
            }
            tokio::select! {
                // Most work is done at once, and then nothing else needs to be looked at.
                biased;
                result = work => {
                    let result = result.unwrap_or_else(|fault| Err(RpcError::new(ErrorCode::Internal, fault.message)));
                    Some(server.reply(&id, era, result))
                }
                () = guard.given_up() => None,
                () = server.overdue() => Some(server.reply(&id, era, Err(cut_off()))),
            }
        }))
    }

    /// Returns once no request should be under way any more.
    async fn overdue(&self) {
        self.engine().draining().await;
        tokio::time::sleep(STOP_MAX).await;
    }

    fn reply(&self, id: &RequestId, era: Era, result: Result<ResultBody, RpcError>) -> Reply {
        Reply::new(id, era, self.server_info(), result)
    }
}

fn cut_off() -> RpcError {
    let message = "the Longshore daemon is being stopped and could not finish this in time; jobs that were accepted \
        go on: call again, or look with `longshore ls`";
    RpcError::new(ErrorCode::Internal, message)
}

fn opened(begun: Begun) -> Begun {
    match begun {
        Begun::Pending(answer) => Begun::Open(answer),
        begun => begun,
    }
}

/// Runs `work` so that a panic in it harms nothing else. No task of its own: what a task costs is most of a quick call.
///
/// # Errors
/// An internal fault if it panicked.
pub(super) fn isolated<T>(work: impl Future<Output = T>) -> impl Future<Output = Result<T, Fault>> {
    // Nothing of the work is looked at again after a panic; what it shares with others stands behind locks.
    AssertUnwindSafe(work).catch_unwind().map(|outcome| {
        outcome.map_err(|panic| {
            let said = panic.downcast_ref::<&str>().copied();
            let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let error = format!("a panic: {}", said.unwrap_or("it said nothing"));
            tracing::error!(error, "a request failed by a bug");
            Fault::internal(error)
        })
    })
}

fn era_of(connection: &Connection, method: &str, meta: &Meta<'_>) -> Result<Era, RpcError> {
    let handshake = connection.handshake();
    if !(meta.is_modern(handshake.is_some()) || method == "server/discover") {
        let version = handshake.map_or(LegacyVersion::NEWEST, |handshake| handshake.version);
        return Ok(Era::Legacy(version));
    }
    let unusable = |key: &str, problem: &str| {
        let message = format!("`params._meta[\"io.modelcontextprotocol/{key}\"]` {problem}");
        RpcError::envelope(ErrorCode::InvalidParams, message)
    };
    match (meta.protocol_version.as_deref(), meta.client_capabilities) {
        (None, _) => Err(unusable("protocolVersion", "is missing")),
        (Some(version), _) if version != MODERN => Err(RpcError::unsupported_version(version)),
        (_, None) => Err(unusable("clientCapabilities", "is missing")),
        (_, Some(raw)) if !raw.get().starts_with('{') => Err(unusable("clientCapabilities", "must be an object")),
        _ => Ok(Era::Modern),
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
