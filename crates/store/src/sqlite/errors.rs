//! What SQLite says, in the words of the port.

use std::sync::Arc;

use longshore_domain::id::JobNumber;
use longshore_domain::job::Refusal;
use longshore_domain::store::{BoxedError, StoreError};
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// Something that undoes everything a batch was about to do. Refusals are no trouble: they are answers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// SQLite failed, or a row does not hold what was once written.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// It was committed, and the disk did not take it.
    #[error("what was committed could not be brought to the disk")]
    Unsynced(#[source] std::io::Error),
    /// The row is not the one that was read: somebody else wrote to the database.
    #[error("job {0} was changed by somebody other than the writer")]
    ChangedBehind(JobNumber),
    /// The row that an index or another row names is not there.
    #[error("job {0} is named by another row and is not there")]
    Missing(JobNumber),
    /// A job that stood in line could not be claimed.
    #[error("job {number} stood in line and could not be claimed")]
    NotClaimable {
        number: JobNumber,
        #[source]
        source: Refusal,
    },
}

/// What the writer's steps give.
pub(super) type Attempted<T> = Result<T, Trouble>;

/// Turns an error of SQLite into the port's, naming what was being done.
pub(crate) fn failed(operation: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| classify(operation, &error)(Box::new(error))
}

/// The port's error for everybody in a batch that came to nothing.
pub(super) fn trouble(operation: &'static str, trouble: &Arc<Trouble>) -> StoreError {
    let cause = Box::new(Arc::clone(trouble));
    match &**trouble {
        Trouble::Sqlite(error) => classify(operation, error)(cause),
        Trouble::Unsynced(_) => StoreError::Unknown(cause),
        Trouble::Missing(_) => StoreError::Corrupt(cause),
        Trouble::ChangedBehind(_) | Trouble::NotClaimable { .. } => StoreError::Failed { operation, source: cause },
    }
}

/// The port's error for a failure of the file system.
pub(super) fn io_failed(operation: &'static str, error: std::io::Error) -> StoreError {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        StorageFull => StoreError::Full(Box::new(error)),
        NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem => StoreError::ReadOnly(Box::new(error)),
        _ => StoreError::Failed { operation, source: Box::new(error) },
    }
}

fn classify(operation: &'static str, error: &rusqlite::Error) -> impl Fn(BoxedError) -> StoreError + use<> {
    let (code, extended) = match error {
        rusqlite::Error::SqliteFailure(failure, _) => (Some(failure.code), failure.extended_code),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => (Some(ErrorCode::DatabaseCorrupt), 0),
        _ => (None, 0),
    };
    move |source| match code {
        Some(ErrorCode::DiskFull) => StoreError::Full(source),
        // The shared index of the log could not grow. Source: sqlite.org/rescode.html#ioerr_shmsize.
        _ if extended == ffi::SQLITE_IOERR_SHMSIZE => StoreError::Full(source),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => StoreError::ReadOnly(source),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(source),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse,
        _ => StoreError::Failed { operation, source },
    }
}
