//! Where tokens are kept: in files of one home, or in the store that many nodes share.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use longshore_domain::Timestamp;
use longshore_domain::fault::Fault;
use longshore_domain::store::{NewDocument, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::daemon::lock;
use crate::home::Home;
use crate::problem::file_failed;

/// What was read of the store counts as fresh for this long: a token that was revoked opens nothing after that.
const FRESH: Duration = Duration::from_secs(2);

/// Keeps small documents in JSON under names.
#[derive(Clone)]
pub(crate) enum Shelf {
    /// As files of that home.
    Home(Home),
    /// As documents of that store.
    Store(Arc<dyn Store>),
}

/// What tells whether something newer may have been written since.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// Each state of a file is a file of its own, so its number differs too.
    File(Option<(SystemTime, u64)>),
    Read(Instant),
}

impl Shelf {
    /// A document; empty if it was never written.
    ///
    /// # Errors
    /// `file_failed`; the store's own.
    pub(crate) async fn read<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, Fault> {
        match self {
            Self::Home(home) => read_file(home, name),
            Self::Store(store) => Ok(read_document(&**store, name).await?.1),
        }
    }

    /// Changes a document. `change` begins anew if somebody else changed it meanwhile; what it refuses changes nothing.
    ///
    /// # Errors
    /// Those of `change`, and as [`Self::read`].
    pub(crate) async fn change<T: DeserializeOwned + Default + Serialize, R>(
        &self,
        name: &str,
        now: Timestamp,
        change: impl Fn(&mut T) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        match self {
            Self::Home(home) => change_file(home, name, change),
            Self::Store(store) => loop {
                let (version, mut kept) = read_document(&**store, name).await?;
                let answer = change(&mut kept)?;
                let text = serde_json::to_string(&kept).map_err(Fault::internal)?;
                let new = NewDocument { name: name.into(), replaces: version, text, keep: None };
                if store.write_document(new, now).await? {
                    return Ok(answer);
                }
            },
        }
    }

    /// Taken before a document is read.
    pub(super) fn mark(&self, name: &str) -> Mark {
        match self {
            Self::Home(home) => Mark::File(state(home, name)),
            Self::Store(_) => Mark::Read(Instant::now()),
        }
    }

    /// Whether what was read after `mark` can be gone by.
    pub(super) fn is_fresh(&self, name: &str, mark: Mark) -> bool {
        match (self, mark) {
            (Self::Home(home), Mark::File(seen)) => seen == state(home, name),
            (Self::Store(_), Mark::Read(at)) => at.elapsed() < FRESH,
            _ => false,
        }
    }
}

fn read_file<T: DeserializeOwned + Default>(home: &Home, name: &str) -> Result<T, Fault> {
    let path = home.file(name);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| file_failed(&path, "read", &error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(file_failed(&path, "read", &error)),
    }
}

fn change_file<T: DeserializeOwned + Default + Serialize, R>(
    home: &Home,
    name: &str,
    change: impl Fn(&mut T) -> Result<R, Fault>,
) -> Result<R, Fault> {
    let held = lock::tokens(home)?;
    let mut kept = read_file(home, name)?;
    let answer = change(&mut kept)?;
    home.replace(name, &serde_json::to_vec_pretty(&kept).map_err(Fault::internal)?)?;
    held.release();
    Ok(answer)
}

/// A document with its version.
async fn read_document<T: DeserializeOwned + Default>(store: &dyn Store, name: &str) -> Result<(u64, T), Fault> {
    match store.document(name.into()).await? {
        Some(document) => Ok((document.version, serde_json::from_str(&document.text).map_err(Fault::internal)?)),
        None => Ok((0, T::default())),
    }
}

fn state(home: &Home, name: &str) -> Option<(SystemTime, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(home.file(name)).ok()?;
    Some((found.modified().ok()?, found.ino()))
}
