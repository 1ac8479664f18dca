//! One quick tool, `echo`, served by rmcp 3.9.0 at its fastest: no sessions, answers in JSON, no delayed packets. What
//! our own overhead is measured against. Serves over HTTP at the address that is given until its input ends.

use std::future::IntoFuture;
use std::sync::Arc;

use axum::serve::ListenerExt;
use rmcp::model::*;
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, ServerHandler};
use serde_json::{Value, json};

#[derive(Clone)]
struct Echo;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None);
    let service = StreamableHttpService::new(|| Ok(Echo), Arc::new(NeverSessionManager::default()), config);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        stream.set_nodelay(true).ok();
    });
    let router = axum::Router::new().nest_service("/mcp", service);
    tokio::select! {
        served = axum::serve(listener, router).into_future() => served?,
        ended = end_of_input() => ended?,
    }
    Ok(())
}

async fn end_of_input() -> std::io::Result<()> {
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await.map(|_| ())
}

fn tool() -> Tool {
    let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}});
    Tool::new("echo", "Returns its arguments", object(schema))
}

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![tool()]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match &*request.name {
            "echo" => Ok(CallToolResult::structured(Value::Object(request.arguments.unwrap_or_default())).into()),
            unknown => Err(ErrorData::invalid_params(format!("no tool {unknown}"), None)),
        }
    }
}
