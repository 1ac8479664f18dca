//! Moving house: the whole of a home's store, its output and its artifacts, to a file and from it.

mod export;
mod import;
mod shelf;

use std::path::Path;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_store::moving::{Blobs, MovingError, Summary};
use serde::Serialize;

pub(crate) use export::export;
pub(crate) use import::import;

/// What was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Moved {
    /// The store, counted and digested where it was read.
    pub(crate) store: Summary,
    /// Output and artifacts.
    pub(crate) blobs: Blobs,
    /// The store had all of it before.
    pub(crate) existing: bool,
    /// Jobs that ran and whose output is neither here nor among the artifacts: it stays behind.
    pub(crate) without_output: u64,
}

/// Is told how far it is: how much of how much, if that is known.
pub(crate) type Progress<'p> = &'p (dyn Fn(u64) + Sync);

fn run<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::internal)?;
    runtime.block_on(work)
}

fn store_failed(error: MovingError) -> Fault {
    match error {
        MovingError::Store(error) => {
            let mut fault = Fault::from(error);
            fault.why = fault.private.take().or(fault.why);
            fault
        }
        MovingError::Inhabited => inhabited(),
        served @ MovingError::Served { .. } => Fault::new(FaultCode::StateConflict, served.to_string())
            .why("it would run jobs while they arrive; nothing was changed")
            .next("stop the daemons of all nodes; one that was killed counts as there for the length of a lease"),
        MovingError::Other(error) => {
            Fault::new(FaultCode::FileFailed, "the move was cut off").why(error.to_string()).next("repeat it")
        }
    }
}

fn inhabited() -> Fault {
    Fault::new(FaultCode::StateConflict, "the store has jobs or schedules of its own")
        .why("numbers and places in the history would mean two things; nothing was changed")
        .next("import into an empty store: another `LONGSHORE_HOME`, database or schema")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    match error.kind() {
        std::io::ErrorKind::InvalidData => {
            Fault::new(FaultCode::InvalidArgument, format!("{} cannot be imported", path.display()))
                .why(error.to_string())
                .next("export again, or copy the file anew; nothing was changed")
        }
        _ => crate::problem::file_failed(path, "read", error),
    }
}
