//! What a legacy session over HTTP wants to be told, kept in the store: any node, and a daemon that was started again,
//! goes on telling it. Written when it changes, and never by a request that only asks or calls.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_domain::store::{NewDocument, Store};
use longshore_domain::{Fault, JobId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::wire::Level;

/// What a session wants is forgotten this long after it last wanted something else.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Resources that one session can watch.
const WATCHED_MAX: usize = 1000;

/// What one session wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wishes {
    /// Nothing more: its client has ended it.
    #[serde(default)]
    pub(super) ended: bool,
    /// Log messages that are at least that grave.
    #[serde(default)]
    pub(super) level: Option<Level>,
    /// Resources by their address; those that never change have no job.
    #[serde(default)]
    pub(super) watched: BTreeMap<String, Option<JobId>>,
}

impl Wishes {
    /// Watches a resource; returns whether there is room for it.
    pub(super) fn watch(&mut self, uri: &str, job: Option<JobId>) -> bool {
        let room = self.watched.len() < WATCHED_MAX || self.watched.contains_key(uri);
        if room {
            self.watched.insert(uri.to_owned(), job);
        }
        room
    }

    /// Whether it wants to hear of that job.
    pub(super) fn include(&self, job: JobId) -> bool {
        self.level.is_some() || self.watched.values().any(|watched| *watched == Some(job))
    }

    /// Whether there is any job that it wants to hear of.
    pub(super) fn are_of_jobs(&self) -> bool {
        self.level.is_some() || self.watched.values().any(Option::is_some)
    }
}

/// What the session of that scope wants, and how often that was written.
///
/// # Errors
/// The store's own.
pub(super) async fn read(store: &dyn Store, scope: &str) -> Result<(u64, Wishes), Fault> {
    match store.document(name(scope)).await? {
        Some(document) => Ok((document.version, serde_json::from_str(&document.text).map_err(Fault::internal)?)),
        None => Ok((0, Wishes::default())),
    }
}

/// Writes what the session of that scope wants, if nobody has since `replaces`; whether it did.
///
/// # Errors
/// The store's own.
pub(super) async fn write(
    store: &dyn Store,
    scope: &str,
    replaces: u64,
    wishes: &Wishes,
    now: Timestamp,
) -> Result<bool, Fault> {
    let text = serde_json::to_string(wishes).map_err(Fault::internal)?;
    Ok(store.write_document(NewDocument { name: name(scope), replaces, text, keep: Some(KEPT) }, now).await?)
}

/// The scope itself opens the session, so that it is not kept.
fn name(scope: &str) -> String {
    let digest = Sha256::digest(scope).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("session {digest}")
}
