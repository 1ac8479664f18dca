//! Whose a place is: an object there that names the store.

use longshore_domain::artifact::ArtifactError;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode};

use super::ObjectArtifacts;
use super::errors::is_missing;

/// The object.
const MARK: &str = "store.txt";

/// Makes the place that of a store, if it is nobody's yet.
pub(super) async fn claim(artifacts: &ObjectArtifacts, store: &str) -> Result<(), ArtifactError> {
    let mark = artifacts.root.clone().join(MARK);
    let owner = match owner(artifacts, &mark).await? {
        Some(owner) => owner,
        None => {
            put(artifacts, &mark, store).await?;
            // Of two stores that find nothing, both look who came first.
            owner(artifacts, &mark).await?.unwrap_or_default()
        }
    };
    match owner == store {
        true => Ok(()),
        false => Err(ArtifactError::Taken { location: artifacts.place.location.clone(), mark: mark.to_string() }),
    }
}

async fn owner(artifacts: &ObjectArtifacts, mark: &Path) -> Result<Option<String>, ArtifactError> {
    let failed = |error| artifacts.place.failed("read whose it is", error);
    match artifacts.objects.get(mark).await {
        Ok(found) => {
            let bytes = found.bytes().await.map_err(failed)?;
            Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
        }
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

async fn put(artifacts: &ObjectArtifacts, mark: &Path, store: &str) -> Result<(), ArtifactError> {
    let text = format!("{store}\n");
    let put = artifacts.objects.put_opts(mark, text.clone().into(), PutMode::Create.into()).await;
    let put = match put {
        // What cannot put on a condition puts.
        Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
            artifacts.objects.put(mark, text.into()).await
        }
        put => put,
    };
    match put {
        Ok(_) | Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(()),
        Err(error) => Err(artifacts.place.failed("write whose it is", error)),
    }
}
