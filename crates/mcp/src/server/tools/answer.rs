//! Answers of tools: structure and text, each enough alone, for some clients show only one of them.

use longshore_domain::{Fault, FaultCode, Job};
use longshore_engine::ops::Brief;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::server::{news, resources};
use crate::wire::{Era, ErrorCode, ResultBody, RpcError};

/// What a tool answers.
#[derive(Debug)]
pub(super) struct Answer {
    structured: Option<Box<RawValue>>,
    text: String,
    /// What happened to other jobs.
    news: Option<String>,
    link: Option<Link>,
    is_error: bool,
}

/// A link to a resource, as a block of content.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    uri: String,
    name: String,
    mime_type: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content {
    Text { text: String },
    ResourceLink(Link),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallToolResult {
    content: Vec<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<Box<RawValue>>,
    is_error: bool,
}

/// A fault as programs read it.
#[derive(Serialize)]
struct FaultContent<'a> {
    code: FaultCode,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    retryable: bool,
}

impl Answer {
    /// An answer whose structure is `structured`.
    ///
    /// # Errors
    /// Internal if the structure cannot be written.
    pub(super) fn new(structured: &impl Serialize, text: String) -> Result<Self, Fault> {
        let structured = to_raw_value(structured).map_err(Fault::internal)?;
        Ok(Self { structured: Some(structured), text, news: None, link: None, is_error: false })
    }

    /// Adds a link to the job.
    pub(super) fn linked(mut self, job: &Job) -> Self {
        let name = job.name.clone().unwrap_or_else(|| job.title.clone());
        self.link = Some(Link { uri: resources::job_uri(job.id), name, mime_type: resources::JSON });
        self
    }

    /// Adds what happened to other jobs, in both forms.
    pub(super) fn with_news(mut self, brief: Option<Brief>) -> Self {
        let Some(brief) = brief else { return self };
        self.structured = self.structured.map(|structured| news::added(&structured, &brief).unwrap_or(structured));
        self.news = Some(brief.text());
        self
    }

    /// Marks the answer as an error if the job ended badly, so that models notice.
    pub(super) fn marked_by(mut self, job: &Job) -> Self {
        self.is_error = job.outcome().is_some_and(|outcome| !outcome.is_success());
        self
    }

    /// What went wrong: what happened, why, and what to do.
    pub(super) fn fault(fault: &Fault) -> Self {
        let next = match fault.code {
            FaultCode::JobNotFound => Some("job_list {\"all\":true} shows the ids of your jobs"),
            FaultCode::JobFinished => Some("nothing to stop: job_read shows how it ended and what it printed"),
            _ => fault.next.as_deref(),
        };
        let content = FaultContent {
            code: fault.code,
            message: &fault.message,
            why: fault.why.as_deref(),
            next,
            retryable: fault.code.retryable(),
        };
        let line = |name: &str, text: Option<&str>| text.map_or_else(String::new, |text| format!("\n{name}: {text}"));
        let why = line("why", content.why);
        let text = format!("error[{}]: {}{why}{}", fault.code, fault.message, line("next", next));
        Self { structured: to_raw_value(&content).ok(), text, news: None, link: None, is_error: true }
    }

    /// The result for a caller of that era.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn into_result(self, era: Era) -> Result<ResultBody, RpcError> {
        let mut content = vec![Content::Text { text: self.text }];
        content.extend(self.news.map(|text| Content::Text { text }));
        content.extend(self.link.filter(|_| era.has_resource_links()).map(Content::ResourceLink));
        let structured_content = self.structured.filter(|_| era.has_structured_content());
        ResultBody::new(&CallToolResult { content, structured_content, is_error: self.is_error })
            .map_err(|error| RpcError::new(ErrorCode::Internal, error.message))
    }
}
