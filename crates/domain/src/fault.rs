//! The one shape in which every error reaches a caller: what happened, why, and what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Stable names of the things that can go wrong. Scripts and agents act on these, not on the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// An argument is missing, of the wrong type or out of range.
    InvalidArgument,
    /// A request or argument exceeds a named limit.
    TooLarge,
    /// No such job, or one of somebody else: the two cannot be told apart.
    JobNotFound,
    /// No such question, resource or route.
    NotFound,
    /// The job is finished; nothing changes it any more.
    JobFinished,
    /// The job's present state does not allow the operation.
    StateConflict,
    /// The same idempotency key came with a different body.
    IdempotencyConflict,
    /// The caller's attempt no longer holds the lease.
    LeaseLost,
    /// The result was asked for before the job ended.
    ResultNotReady,
    /// The output was removed by retention.
    OutputExpired,
    /// A cursor that this store never handed out.
    StaleCursor,
    /// No token, or a wrong, expired or revoked one.
    Unauthorized,
    /// The caller is known and may not do this.
    Forbidden,
    /// A wait ended before what it waited for; the job goes on.
    WaitTimeout,
    /// More requests than the limit allows.
    RateLimited,
    /// The authorization server does not tell the keys that its tokens are checked with.
    IssuerUnreachable,
    /// The disk that holds the store is full.
    StoreFull,
    /// The store cannot be written: read-only file system or missing permission.
    StoreReadOnly,
    /// The database file is damaged.
    StoreCorrupt,
    /// The database was written by a newer Longshore.
    StoreNewer,
    /// The store is shut or in use by another process.
    StoreUnavailable,
    /// Whoever keeps artifacts cannot be reached, or does not let us in.
    ArtifactsUnavailable,
    /// An artifact is not there any more, or is not what was kept.
    ArtifactDamaged,
    /// Another node, which alone has what was asked for, does not answer.
    NodeUnreachable,
    /// No daemon answers.
    DaemonUnreachable,
    /// Another daemon already serves this home.
    AlreadyRunning,
    /// The address to listen on is taken or not allowed.
    ListenFailed,
    /// The configuration file cannot be used.
    ConfigInvalid,
    /// A file or folder that Longshore needs cannot be read or written.
    FileFailed,
    /// A bug in Longshore.
    Internal,
}

impl FaultCode {
    /// Every code, in the order of the manual.
    pub const ALL: [Self; 30] = [
        Self::InvalidArgument,
        Self::TooLarge,
        Self::JobNotFound,
        Self::NotFound,
        Self::JobFinished,
        Self::StateConflict,
        Self::IdempotencyConflict,
        Self::LeaseLost,
        Self::ResultNotReady,
        Self::OutputExpired,
        Self::StaleCursor,
        Self::Unauthorized,
        Self::Forbidden,
        Self::WaitTimeout,
        Self::RateLimited,
        Self::IssuerUnreachable,
        Self::StoreFull,
        Self::StoreReadOnly,
        Self::StoreCorrupt,
        Self::StoreNewer,
        Self::StoreUnavailable,
        Self::ArtifactsUnavailable,
        Self::ArtifactDamaged,
        Self::NodeUnreachable,
        Self::DaemonUnreachable,
        Self::AlreadyRunning,
        Self::ListenFailed,
        Self::ConfigInvalid,
        Self::FileFailed,
        Self::Internal,
    ];

    /// The code as it is written in JSON and on the terminal.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// HTTP status of an answer with this code.
    pub fn http_status(self) -> u16 {
        self.row().1
    }

    /// Exit code of the CLI; at or above 64, so that it is told apart from small exit codes of jobs.
    pub fn exit_code(self) -> u8 {
        self.row().2
    }

    /// Whether the same call may succeed later without any change.
    pub fn retryable(self) -> bool {
        self.row().3
    }

    /// The one table: name, HTTP status, exit code, retryable. Exit codes follow BSD's sysexits where one fits.
    fn row(self) -> (&'static str, u16, u8, bool) {
        match self {
            Self::InvalidArgument => ("invalid_argument", 400, 64, false),
            Self::TooLarge => ("too_large", 413, 65, false),
            Self::JobNotFound => ("job_not_found", 404, 66, false),
            Self::NotFound => ("not_found", 404, 66, false),
            Self::JobFinished => ("job_finished", 409, 79, false),
            Self::StateConflict => ("state_conflict", 409, 79, false),
            Self::IdempotencyConflict => ("idempotency_conflict", 409, 79, false),
            Self::LeaseLost => ("lease_lost", 409, 79, false),
            Self::ResultNotReady => ("result_not_ready", 409, 80, true),
            Self::OutputExpired => ("output_expired", 410, 66, false),
            Self::StaleCursor => ("stale_cursor", 400, 64, false),
            Self::Unauthorized => ("unauthorized", 401, 77, false),
            Self::Forbidden => ("forbidden", 403, 77, false),
            Self::WaitTimeout => ("wait_timeout", 408, 81, true),
            Self::RateLimited => ("rate_limited", 429, 75, true),
            Self::IssuerUnreachable => ("issuer_unreachable", 503, 69, true),
            Self::StoreFull => ("store_full", 507, 74, true),
            Self::StoreReadOnly => ("store_read_only", 503, 74, true),
            Self::StoreCorrupt => ("store_corrupt", 500, 74, false),
            Self::StoreNewer => ("store_newer", 500, 74, false),
            Self::StoreUnavailable => ("store_unavailable", 503, 75, true),
            Self::ArtifactsUnavailable => ("artifacts_unavailable", 503, 75, true),
            Self::ArtifactDamaged => ("artifact_damaged", 500, 74, false),
            Self::NodeUnreachable => ("node_unreachable", 503, 69, true),
            Self::DaemonUnreachable => ("daemon_unreachable", 503, 69, true),
            Self::AlreadyRunning => ("already_running", 409, 69, false),
            Self::ListenFailed => ("listen_failed", 503, 69, true),
            Self::ConfigInvalid => ("config_invalid", 400, 78, false),
            Self::FileFailed => ("file_failed", 500, 74, true),
            Self::Internal => ("internal", 500, 70, false),
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error as a caller sees it, the same through MCP, HTTP and CLI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// Stable name of the kind of error.
    pub code: FaultCode,
    /// What happened, one sentence without a full stop at the end.
    pub message: String,
    /// Why it happened, if more is known than the message says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What the caller can do now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// For whoever runs Longshore; goes to the log, never to the caller.
    #[serde(skip)]
    pub private: Option<String>,
}

impl Fault {
    /// A fault with its sentence; add the cause and the advice with [`Fault::why`] and [`Fault::next`].
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), why: None, next: None, private: None }
    }

    /// Adds why it happened.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Adds what to do now.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds what only the log may say.
    #[must_use]
    pub fn private(mut self, detail: impl Into<String>) -> Self {
        self.private = Some(detail.into());
        self
    }

    /// An argument that cannot be used.
    pub fn invalid(argument: &str, problem: impl fmt::Display) -> Self {
        Self::new(FaultCode::InvalidArgument, format!("`{argument}`: {problem}"))
    }

    /// The answer for an unknown job and for a job of somebody else alike.
    pub fn job_not_found(id: impl fmt::Display) -> Self {
        Self::new(FaultCode::JobNotFound, format!("there is no job `{id}`"))
            .why("it never existed, was removed, or belongs to somebody else")
            .next("list your jobs to find its id")
    }

    /// A bug; `detail` goes to the log only.
    pub fn internal(detail: impl fmt::Display) -> Self {
        Self::new(FaultCode::Internal, "Longshore failed to do this")
            .next("this is a bug: the daemon's log has the details")
            .private(detail.to_string())
    }
}
