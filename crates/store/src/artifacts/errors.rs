//! What object stores say, in the words of the port.

use std::error::Error as StdError;
use std::io::ErrorKind;

use longshore_domain::artifact::ArtifactError;
use object_store::Error;
use object_store::client::HttpError;

/// What requests without credentials are answered with: the address at which machines of a cloud find theirs.
const CLOUD_CREDENTIALS: &str = "169.254.169.254";

/// Where artifacts are, for messages.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) location: String,
}

impl Place {
    /// The port's error for what an object store says.
    pub(super) fn failed(&self, operation: &'static str, error: Error) -> ArtifactError {
        let location = self.location.clone();
        let system = system_kind(&error);
        let text = error.to_string();
        let source = Box::new(error);
        match (&*source, system) {
            (Error::NotFound { .. }, _) => ArtifactError::NoPlace { location, source },
            (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, _)
            | (_, Some(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)) => {
                ArtifactError::Denied { location, source }
            }
            _ if text.contains(CLOUD_CREDENTIALS) => {
                ArtifactError::Denied { location, source: "there are no credentials in the environment".into() }
            }
            (_, Some(ErrorKind::NotFound | ErrorKind::NotADirectory)) => ArtifactError::NoPlace { location, source },
            _ if was_not_served(&source) => ArtifactError::Unavailable { location, source },
            _ => ArtifactError::Failed { location, operation, source },
        }
    }

    pub(super) fn io_failed(&self, operation: &'static str, error: std::io::Error) -> ArtifactError {
        self.failed(operation, Error::Generic { store: "folder", source: error.into() })
    }
}

/// Whether it says that there is no such object. A bucket that is not there says the same.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. })
}

fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn system_kind(error: &Error) -> Option<ErrorKind> {
    causes(error).find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind)
}

/// Whether it is the connection that failed, or the server that could not serve anybody.
fn was_not_served(error: &Error) -> bool {
    let busy = [" 500 ", " 502 ", " 503 ", " 504 "];
    causes(error).any(|cause| cause.is::<HttpError>())
        || busy.iter().any(|status| error.to_string().contains(&format!("status code:{status}")))
}
