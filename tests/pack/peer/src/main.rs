//! The task tools of the official conformance fixture, served by rmcp 3.9.0 and its `TaskManager`: over HTTP at the
//! address that is given until its input ends, else on standard input and output. It follows rmcp's documentation and repairs nothing.

use std::future::IntoFuture;
use std::time::Duration;

use rmcp::model::*;
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, ServerHandler, ServiceExt};
use serde_json::{Value, json};

/// One set of tasks for all connections of the process.
#[derive(Clone)]
struct Peer {
    tasks: TaskManager,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let peer = Peer { tasks: TaskManager::new() };
    let Some(address) = std::env::args().nth(1) else {
        let service = peer.serve(rmcp::transport::stdio()).await?;
        service.waiting().await?;
        return Ok(());
    };
    let sessions = LocalSessionManager::default().into();
    let service = StreamableHttpService::new(move || Ok(peer.clone()), sessions, StreamableHttpServerConfig::default());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("http://{}/mcp", listener.local_addr()?);
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

/// Name, description and properties of each tool.
fn tools() -> Vec<Tool> {
    let described = [
        ("greet", "Greets at once", json!({"name": {"type": "string"}})),
        (
            "slow_compute",
            "Works for a number of seconds",
            json!({"seconds": {"type": "number"}, "label": {"type": "string"}}),
        ),
        ("failing_job", "Fails as a tool does; only as a task", json!({})),
        ("protocol_error_job", "Fails with a JSON-RPC error", json!({})),
        ("confirm_delete", "Asks one question", json!({"filename": {"type": "string"}})),
        ("multi_input", "Asks two questions at once", json!({})),
        ("three_questions", "Asks three questions, one after the other", json!({})),
        ("test_tool_with_task", "Asks for a name, then works as a task", json!({})),
        (
            "test_custom_header",
            "Takes an argument as a header",
            json!({"value": {"type": "string", "x-mcp-header": "Value"}}),
        ),
        ("echo", "Returns its arguments", json!({})),
    ];
    let tool = |(name, description, properties): (&'static str, &'static str, Value)| {
        Tool::new(name, description, object(json!({"type": "object", "properties": properties})))
    };
    described.into_iter().map(tool).collect()
}

fn question(message: &str, member: &str, kind: &str) -> InputRequest {
    let schema = json!({"type": "object", "properties": {member: {"type": kind}}, "required": [member]});
    InputRequest::Elicitation(ElicitRequest::new(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: message.to_owned(),
        requested_schema: serde_json::from_value(schema).expect("a schema"),
    }))
}

fn text(text: String) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

fn given(response: &Value, member: &str) -> String {
    response["content"][member].to_string()
}

/// The work of a tool that may be a task.
async fn work(tool: String, arguments: Value, context: Option<TaskContext>) -> Result<CallToolResult, TaskExit> {
    match tool.as_str() {
        "slow_compute" => {
            let seconds = arguments["seconds"].as_f64().unwrap_or(1.0);
            let done = format!("slow_compute({}) after {seconds} s", arguments["label"]);
            let sleep = tokio::time::sleep(Duration::from_secs_f64(seconds));
            let Some(context) = context else {
                sleep.await;
                return Ok(text(done));
            };
            tokio::select! {
                () = context.cancelled() => Err(TaskExit::Cancelled),
                () = sleep => Ok(text(done)),
            }
        }
        "failing_job" => Ok(CallToolResult::error(vec![ContentBlock::text("failed on purpose")])),
        "protocol_error_job" => Err(TaskExit::Error(ErrorData::internal_error("failed on purpose", None))),
        "test_tool_with_task" => Ok(text(format!("Hello, {}!", arguments["name"]))),
        asking => {
            let context = context.ok_or_else(|| TaskExit::Error(needs_tasks()))?;
            ask(asking, &arguments, &context).await
        }
    }
}

async fn ask(tool: &str, arguments: &Value, context: &TaskContext) -> Result<CallToolResult, TaskExit> {
    match tool {
        "confirm_delete" => {
            let message = format!("Delete {}?", arguments["filename"]);
            let response = context.request_input("confirm", question(&message, "confirm", "boolean")).await?;
            Ok(text(format!("confirmed: {}", given(&response, "confirm"))))
        }
        "multi_input" => {
            let (one, two) = tokio::join!(
                context.request_input("one", question("The first value", "value", "string")),
                context.request_input("two", question("The second value", "value", "string")),
            );
            Ok(text(format!("{} and {}", given(&one?, "value"), given(&two?, "value"))))
        }
        _ => {
            let mut answers = vec![];
            for number in 1..=3 {
                let request = question(&format!("Question {number}"), "value", "string");
                answers.push(given(&context.request_input(format!("question-{number}"), request).await?, "value"));
            }
            Ok(text(answers.join(", ")))
        }
    }
}

fn needs_tasks() -> ErrorData {
    ErrorData::missing_required_client_capability(ClientCapabilities::builder().enable_tasks().build())
}

impl ServerHandler for Peer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_tasks().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let declared = context.client_capabilities().is_some_and(|declared| declared.supports_tasks());
        let mut arguments = Value::Object(request.arguments.unwrap_or_default());
        let name = request.name.to_string();
        match name.as_str() {
            "greet" => return Ok(text(format!("Hello, {}!", arguments["name"])).into()),
            "test_custom_header" => return Ok(text(arguments["value"].to_string()).into()),
            "echo" => return Ok(CallToolResult::structured(arguments).into()),
            "failing_job" | "test_tool_with_task" if !declared => return Err(needs_tasks()),
            "test_tool_with_task" => {
                let answer = request.input_responses.as_ref().and_then(|responses| responses.get("user_name"));
                let Some(answer) = answer else {
                    let asked = [("user_name".to_owned(), question("What is your name?", "name", "string"))];
                    return Ok(InputRequiredResult::from_input_requests(asked.into_iter().collect()).into());
                };
                arguments["name"] = answer["content"]["name"].clone();
            }
            "slow_compute" | "failing_job" | "protocol_error_job" | "confirm_delete" | "multi_input"
            | "three_questions" => {}
            unknown => return Err(ErrorData::invalid_params(format!("no tool {unknown}"), None)),
        }
        if declared {
            let run =
                move |context| -> rmcp::task_manager::TaskFuture { Box::pin(work(name, arguments, Some(context))) };
            return Ok(CreateTaskResult::new(self.tasks.spawn(TaskOptions::default(), run)).into());
        }
        match work(name, arguments, None).await {
            Ok(result) => Ok(result.into()),
            Err(TaskExit::Error(error)) => Err(error),
            Err(TaskExit::Cancelled) => Err(ErrorData::internal_error("cancelled", None)),
        }
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    /// Stays until the client goes: there is nothing that rmcp's sink would send about tasks.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        context.cancelled().await;
        Ok(())
    }

    async fn get_task(&self, asked: GetTaskParams, _: RequestContext<RoleServer>) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&asked.task_id)?))
    }

    async fn update_task(&self, asked: UpdateTaskParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        self.tasks.update_task(&asked.task_id, asked.input_responses)
    }

    async fn cancel_task(&self, asked: CancelTaskParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&asked.task_id)
    }
}
