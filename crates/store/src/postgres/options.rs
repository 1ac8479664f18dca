//! How a database is reached.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;

/// How a database is reached. The defaults suit a node of a team.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// `postgres://user@host:port/database?sslmode=…`, as `libpq` takes it. Several hosts may be named; the one that
    /// takes writes is used. `sslmode` is one of `disable`, `prefer` (as it is without), `require`, `verify-ca` and
    /// `verify-full`; `sslrootcert` names a file of certificates to trust instead of those that the machine trusts.
    pub url: String,
    /// The password, where the URL has none.
    pub password: Option<String>,
    /// A file of passwords in the form of `libpq`'s, looked into where neither of the others has one.
    pub passfile: Option<PathBuf>,
    /// The schema that holds the tables, made if need be: 1 to 40 lower-case letters, digits and underscores. Stores of
    /// different schemas in one database have nothing to do with one another.
    pub schema: String,
    /// Most connections for reading and for rare writes, beside those of the writers, the one that listens and the one
    /// that keeps leases.
    pub connections: usize,
    /// Limit of a queue that a job names for the first time.
    pub queue_concurrency: u32,
    /// How long a request waits for a server that is away, and for a free connection, before it fails.
    pub patience: Duration,
}

impl PostgresOptions {
    /// Options with this URL and nothing else out of the ordinary.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            passfile: None,
            schema: "longshore".into(),
            connections: 4,
            queue_concurrency: 16,
            patience: Duration::from_secs(10),
        }
    }

    /// Where the database is, for people: without user and password.
    ///
    /// # Errors
    /// A sentence about what is wrong with the URL, which does not repeat it.
    pub fn location(&self) -> Result<String, String> {
        Address::read(self).map(|address| address.location).map_err(|trouble| trouble.to_string())
    }
}

/// Without secrets: the URL may hold a password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("passfile", &self.passfile)
            .field("connections", &self.connections)
            .field("queue_concurrency", &self.queue_concurrency)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
