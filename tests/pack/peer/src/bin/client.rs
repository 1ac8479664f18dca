//! The adapter of rmcp 3.9.0 as a client, in both eras, with tasks in the modern one. It talks with the harness of the
//! tests with real clients in lines of JSON: see "The talk" in tests/clients/README.md.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rmcp::model::*;
use rmcp::service::{RequestContext, RoleClient, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, ErrorData};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::AbortHandle;

/// What a person fills into forms.
#[derive(Clone, Default)]
struct Person(Arc<Mutex<Option<Value>>>);

impl Person {
    fn elicited(&self) -> ElicitResult {
        match self.0.lock().expect("not poisoned").clone() {
            Some(content) => ElicitResult::new(ElicitationAction::Accept).with_content(content),
            None => ElicitResult::new(ElicitationAction::Decline),
        }
    }
}

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().enable_tasks().build();
        ClientConfig::new(capabilities, Implementation::new("interop", "1"))
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(self.elicited())
    }
}

/// A connection. What rmcp itself would wait for without end is bounded.
struct Connection {
    service: RunningService<RoleClient, Person>,
    patience: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let person = Person::default();
    let mut connection: Option<Arc<Connection>> = None;
    let mut under_way: HashMap<u64, AbortHandle> = HashMap::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let said: Value = serde_json::from_str(&line)?;
        let id = said["id"].as_u64().context("a line without id")?;
        if said.get("answer").is_some() {
            *person.0.lock().expect("not poisoned") = Some(said["answer"].clone());
        }
        match said["verb"].as_str().context("a line without verb")? {
            "open" => match open(person.clone(), &said).await {
                Ok(opened) => {
                    let greeting = opened.greeting();
                    connection = Some(Arc::new(opened));
                    tell(id, greeting);
                }
                Err(error) => tell(id, Err(error)),
            },
            "close" => {
                connection = None;
                tell(id, Ok(Value::Null));
            }
            "abandon" => {
                let call = said["call"].as_u64().context("no call")?;
                if let Some(call_task) = under_way.remove(&call) {
                    call_task.abort();
                    tell(call, Err(anyhow::anyhow!("given up")));
                }
            }
            _ => {
                let connection = connection.clone().context("not open")?;
                let answering = tokio::spawn(async move { tell(id, connection.answer(&said).await) });
                under_way.insert(id, answering.abort_handle());
            }
        }
    }
    Ok(())
}

fn tell(id: u64, outcome: anyhow::Result<Value>) {
    match outcome {
        Ok(ok) => println!("{}", json!({"id": id, "ok": ok})),
        Err(error) => println!("{}", json!({"id": id, "error": format!("{error:#}")})),
    }
}

fn text<'a>(said: &'a Value, member: &str) -> anyhow::Result<&'a str> {
    said[member].as_str().with_context(|| format!("no {member}"))
}

async fn open(person: Person, said: &Value) -> anyhow::Result<Connection> {
    let lifecycle = match text(said, "era")? {
        "legacy" => ClientLifecycleMode::Initialize,
        _ => {
            ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::V_2026_07_28], legacy_version: None }
        }
    };
    let server = &said["server"];
    let service = match server.get("url") {
        Some(_) => {
            let config = StreamableHttpClientTransportConfig::with_uri(text(server, "url")?);
            let config = config.auth_header(text(server, "token")?);
            person.serve_with_lifecycle(StreamableHttpClientTransport::from_config(config), lifecycle).await?
        }
        None => {
            let command: Vec<String> = serde_json::from_value(server["command"].clone())?;
            let env: HashMap<String, String> = serde_json::from_value(server["env"].clone())?;
            let (program, arguments) = command.split_first().context("no program")?;
            let mut command = Command::new(program);
            command.args(arguments).envs(env);
            person.serve_with_lifecycle(TokioChildProcess::new(command)?, lifecycle).await?
        }
    };
    let patience = Duration::from_secs_f64(said["timeout_s"].as_f64().context("no timeout_s")?);
    Ok(Connection { service, patience })
}

impl Connection {
    fn greeting(&self) -> anyhow::Result<Value> {
        let server = self.service.peer_info().context("nothing was agreed on")?;
        let client = format!("rmcp {}", Implementation::from_build_env().version);
        Ok(json!({"client": client, "protocol": server.protocol_version}))
    }

    async fn answer(&self, said: &Value) -> anyhow::Result<Value> {
        match text(said, "verb")? {
            "tools" => {
                let tools = self.patient(self.service.list_all_tools()).await?;
                Ok(tools.iter().map(|tool| tool.name.to_string()).collect())
            }
            "call" => match self.call(said).await? {
                CallToolResponse::Complete(result) => Ok(told(&serde_json::to_value(result)?)),
                CallToolResponse::Task(created) => self.result(&created.task.task_id).await,
                other => bail!("neither a result nor a task: {other:?}"),
            },
            "prompt" => {
                let params =
                    GetPromptRequestParams::new(text(said, "name")?).with_arguments(object(said["arguments"].clone()));
                let result = self.patient(self.service.get_prompt(params)).await?;
                let messages = serde_json::to_value(result.messages)?;
                let contents: Vec<Value> =
                    messages.as_array().into_iter().flatten().map(|m| m["content"].clone()).collect();
                Ok(json!({"text": joined(&contents)}))
            }
            "start" => match self.call(said).await? {
                CallToolResponse::Task(created) => Ok(json!({"task": created.task.task_id})),
                other => bail!("no task: {other:?}"),
            },
            "status" => {
                let found = self.get(text(said, "task")?).await?;
                Ok(json!({"status": found.task.task.status}))
            }
            "result" => self.result(text(said, "task")?).await,
            "cancel" => {
                self.patient(self.service.cancel_task(CancelTaskParams::new(text(said, "task")?))).await?;
                Ok(Value::Null)
            }
            unknown => bail!("unknown verb {unknown}"),
        }
    }

    async fn patient<T, E>(&self, request: impl Future<Output = Result<T, E>>) -> anyhow::Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        Ok(tokio::time::timeout(self.patience, request).await.context("timed out")??)
    }

    async fn call(&self, said: &Value) -> anyhow::Result<CallToolResponse> {
        let params = CallToolRequestParams::new(text(said, "tool")?.to_owned())
            .with_arguments(object(said["arguments"].clone()));
        self.patient(self.service.call_tool_once(params)).await
    }

    async fn get(&self, task: &str) -> anyhow::Result<GetTaskResult> {
        self.patient(self.service.get_task(GetTaskParams::new(task))).await
    }

    /// Follows a task to its end, answering what it asks.
    async fn result(&self, task: &str) -> anyhow::Result<Value> {
        loop {
            let found = self.get(task).await?.task;
            match found.payload {
                TaskPayload::Completed { result } => return Ok(told(&Value::Object(result))),
                TaskPayload::InputRequired { input_requests } => self.update(task, &input_requests).await?,
                TaskPayload::Working => {
                    let pause = found.task.poll_interval_ms.context("no pollIntervalMs")?;
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                ended => bail!("the task ended without a result: {ended:?}"),
            }
        }
    }

    async fn update(&self, task: &str, asked: &InputRequests) -> anyhow::Result<()> {
        let elicits = asked.values().all(|request| matches!(request, InputRequest::Elicitation(_)));
        ensure!(elicits, "asked for something else than a form: {asked:?}");
        let answer = serde_json::to_value(self.service.service().elicited())?;
        let answers = asked.keys().map(|key| (key.clone(), answer.clone())).collect();
        self.patient(self.service.update_task(UpdateTaskParams::new(task, answers))).await
    }
}

fn told(result: &Value) -> Value {
    let content = result["content"].as_array().cloned().unwrap_or_default();
    json!({
        "structured": result["structuredContent"],
        "text": joined(&content),
        "is_error": result["isError"].as_bool().unwrap_or_default(),
    })
}

fn joined(content: &[Value]) -> String {
    content.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n")
}
