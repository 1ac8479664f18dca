//! The section `[store]`: where jobs are kept.

use longshore_domain::fault::Fault;
use longshore_store::PostgresOptions;

use super::environment;
use super::resolve::{Given, Resolver};

/// Where jobs are kept.
#[derive(Clone, Debug)]
pub(crate) enum StoreAt {
    /// In a file of the home.
    Home,
    /// On a server that other nodes may share.
    Server {
        /// How it is reached.
        options: PostgresOptions,
        /// Where it is, for people.
        location: String,
    },
}

/// The section `[store]`.
pub(super) fn store(given: &mut Resolver) -> Result<StoreAt, Fault> {
    let variable = environment::variable("LONGSHORE_STORE_URL")
        .map(|raw| Given::new("store.url", raw, "environment variable LONGSHORE_STORE_URL"));
    given.secret("store.url", |file| &file.store.url, [variable], store_at)
}

/// With what may be shown of it.
fn store_at(url: &str) -> Result<(StoreAt, String), String> {
    if url.is_empty() {
        return Ok((StoreAt::Home, String::new()));
    }
    let options = PostgresOptions::new(url);
    let location = options.location()?;
    let options = PostgresOptions {
        password: environment::database_password(),
        passfile: environment::database_passfile(),
        ..options
    };
    Ok((StoreAt::Server { options, location: location.clone() }, location))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_server_has_no_secrets() {
        let (at, shown) = store_at("postgres://ann:s3cret@db.example/jobs?sslmode=require").unwrap();
        assert_eq!(shown, "postgres://db.example:5432/jobs, schema longshore");
        assert!(!format!("{at:?}").contains("s3cret"), "{at:?}");
        for url in ["mysql://ann:s3cret@db/jobs", "postgres://ann:s3cret@db:x/jobs", "s3cret"] {
            let problem = store_at(url).unwrap_err();
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }
}
