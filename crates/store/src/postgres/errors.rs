//! What PostgreSQL says, in the words of the port. Values of rows and passwords are never part of it.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::id::JobNumber;
use longshore_domain::job::Refusal;
use longshore_domain::store::{BoxedError, StoreError};
use tokio_postgres::error::SqlState;

/// Something that undoes everything a transaction was about to do. Refusals are no trouble: they are answers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The connection broke, or none could be made.
    #[error("no connection to the database server")]
    Lost(#[source] BoxedError),
    /// The connection broke while the transaction was being committed, and looking again did not tell what became of it;
    /// or it was committed and its answer cannot be read.
    #[error("what became of a commit is not known")]
    Unknown(#[source] BoxedError),
    /// The server refused. Its details are left out: they can quote rows.
    #[error("the database server says: {message} ({})", code.code())]
    Server { code: SqlState, message: String },
    /// All connections of the pool are taken.
    #[error("no connection of the pool became free within {0:?}")]
    Busy(Duration),
    /// The server takes no writes: a replica, or set so.
    #[error("the database server takes no writes")]
    ReadOnly,
    /// TLS or the login could not be agreed upon.
    #[error("the connection could not be secured or the login was refused")]
    Handshake(#[source] BoxedError),
    /// A row does not hold what was once written.
    #[error("column {column} cannot be read")]
    Unreadable {
        column: usize,
        #[source]
        source: BoxedError,
    },
    /// The row that another row names is not there.
    #[error("job {0} is named by another row and is not there")]
    Missing(JobNumber),
    /// A job that stood in line could not be claimed.
    #[error("job {number} stood in line and could not be claimed")]
    NotClaimable {
        number: JobNumber,
        #[source]
        source: Refusal,
    },
    /// A newer Longshore wrote the schema, and this one cannot work with it.
    #[error("the schema is newer")]
    Newer { found: u32, known: u32 },
    /// What was read first did not hold any more when the rest was read.
    #[error("somebody else changed what was being read")]
    Overtaken,
    /// The store is shut.
    #[error("the store is shut")]
    Shut,
    /// Anything else.
    #[error(transparent)]
    Other(BoxedError),
}

/// What the driver's steps give.
pub(super) type Attempted<T> = Result<T, Trouble>;

/// Whether the same transaction may succeed when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Somebody else was in the way: at once.
    AtOnce,
    /// The server is away, overloaded or changing its role: after a pause, over a new connection.
    Later,
    /// Never.
    Never,
}

impl Trouble {
    pub(super) fn again(&self) -> Again {
        let Self::Server { code, .. } = self else {
            return match self {
                Self::Lost(_) | Self::ReadOnly => Again::Later,
                Self::Overtaken => Again::AtOnce,
                _ => Again::Never,
            };
        };
        match code.code() {
            // A row that must be unique was written by somebody else: the next attempt sees it.
            "23505" => Again::AtOnce,
            code if code.starts_with("40") => Again::AtOnce,
            "25006" | "25P03" | "53200" | "53300" | "55P03" | "57014" | "57P01" | "57P02" | "57P03" | "57P05" => {
                Again::Later
            }
            code if code.starts_with("08") => Again::Later,
            _ => Again::Never,
        }
    }

    /// Whether it is the fault of what a request holds, so that the others of its batch may do without it.
    pub(super) fn is_of_one_request(&self) -> bool {
        match self {
            Self::Server { code, .. } => ["22", "23", "54"].iter().any(|class| code.code().starts_with(class)),
            Self::Unreadable { .. } | Self::Missing(_) | Self::NotClaimable { .. } => true,
            _ => false,
        }
    }

    /// Whether the connection cannot be used any more.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Lost(_)) || matches!(self, Self::Server { code, .. } if code.code().starts_with("57P"))
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(said) = error.as_db_error() {
            return Self::Server { code: said.code().clone(), message: said.message().to_owned() };
        }
        if error.is_closed() {
            return Self::Lost(Box::new(error));
        }
        let cause = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
        match cause {
            // The client's own finding, not the system's.
            Some(io) if io.kind() == std::io::ErrorKind::PermissionDenied && io.raw_os_error().is_none() => {
                Self::ReadOnly
            }
            _ if is_of_handshake(&error) => Self::Handshake(Box::new(error)),
            Some(_) => Self::Lost(Box::new(error)),
            None => Self::Other(Box::new(error)),
        }
    }
}

/// The client library tells what sort of error it has in its text alone.
fn is_of_handshake(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    ["TLS handshake", "authentication", "invalid configuration"].iter().any(|sort| text.contains(sort))
}

/// The port's error for somebody whose transaction came to nothing.
pub(super) fn failed(operation: &'static str, trouble: impl Into<Arc<Trouble>>) -> StoreError {
    let trouble = trouble.into();
    let source = Box::new(Arc::clone(&trouble));
    match &*trouble {
        Trouble::Lost(_) | Trouble::Busy(_) | Trouble::Handshake(_) => StoreError::Unavailable(source),
        Trouble::Unknown(_) => StoreError::Unknown(source),
        Trouble::ReadOnly => StoreError::ReadOnly(source),
        Trouble::Unreadable { .. } | Trouble::Missing(_) => StoreError::Corrupt(source),
        Trouble::Newer { found, known } => StoreError::Newer { found: *found, known: *known },
        Trouble::Shut => StoreError::Closed,
        Trouble::Server { code, .. } => said(operation, code.code(), source),
        Trouble::NotClaimable { .. } | Trouble::Overtaken | Trouble::Other(_) => {
            StoreError::Failed { operation, source }
        }
    }
}

/// Source: the manual of PostgreSQL, appendix A.
fn said(operation: &'static str, code: &str, source: BoxedError) -> StoreError {
    match code {
        "53100" => StoreError::Full(source),
        "25006" | "42501" => StoreError::ReadOnly(source),
        "XX001" | "XX002" => StoreError::Corrupt(source),
        "3D000" | "55P03" | "57014" => StoreError::Unavailable(source),
        code if ["08", "28", "53", "57"].iter().any(|class| code.starts_with(class)) => StoreError::Unavailable(source),
        _ => StoreError::Failed { operation, source },
    }
}
