//! How failures of files and of this program's surroundings become faults.

use std::path::Path;

use longshore_domain::fault::{Fault, FaultCode};

/// A file or folder that could not be used; `operation` completes "cannot be …".
pub(crate) fn file_failed(path: &Path, operation: &str, error: &std::io::Error) -> Fault {
    Fault::new(FaultCode::FileFailed, format!("{} cannot be {operation}", path.display()))
        .why(error.to_string())
        .next("correct its permissions or free some space, then try again")
}
