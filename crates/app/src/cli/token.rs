//! `longshore token`: tokens for agents, workers and other persons. Needs no daemon: what is kept in the home is read there,
//! what many nodes share in their store.

use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use longshore_domain::fault::Fault;
use longshore_domain::{PrincipalClass, Scope, Timestamp};
use longshore_engine::Clock;
use serde_json::json;

use super::{Outcome, job_text, term};
use crate::access::Shelf;
use crate::access::tokens::{self, NewToken, Token};
use crate::config::{Config, Flags, StoreAt, units};
use crate::home::Home;
use crate::http::wire::class_name;
use crate::store;

/// Make, list and revoke tokens
#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it; it cannot be shown again
    Create {
        /// Whom it proves; jobs belong to this name
        name: String,
        /// What it may do: agents and workers see their own jobs only
        #[arg(long, value_enum, default_value_t = Class::Agent)]
        class: Class,
        /// It allows this only, e.g. jobs:read; may be repeated. All that its class can hold if absent
        #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
        scope: Vec<Scope>,
        /// It ends after this long, e.g. 30d
        #[arg(long, value_name = "LENGTH", value_parser = units::length)]
        expires: Option<Duration>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// List tokens; the tokens themselves are not kept
    List {
        /// Each as a line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a token useless, at once
    Revoke {
        /// Whom it proves
        name: String,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What a token may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Class {
    Person,
    Agent,
    Worker,
}

impl From<Class> for PrincipalClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Person => Self::Person,
            Class::Agent => Self::Agent,
            Class::Worker => Self::Worker,
        }
    }
}

pub(super) fn run(args: &Args, home: &Home) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::internal)?;
    runtime.block_on(async {
        let config = Config::load(home, &Flags::default())?;
        let StoreAt::Server { .. } = config.store else {
            return change(args, &Shelf::Home(home.clone())).await;
        };
        let store = store::open(home, &config).await?;
        let outcome = change(args, &Shelf::Store(Arc::clone(&store))).await;
        store.close().await;
        outcome
    })
}

async fn change(args: &Args, shelf: &Shelf) -> Outcome {
    let now = Clock::system().now();
    match &args.command {
        TokenCommand::Create { name, class, scope, expires, json } => {
            let expires_at = expires.map(|length| now.plus(length));
            let scopes = (!scope.is_empty()).then(|| scope.iter().copied().collect());
            let new = NewToken { name, class: (*class).into(), scopes, expires_at };
            let token = tokens::create(shelf, &new, now).await?;
            match json {
                true => term::json(&json!({
                    "name": name,
                    "class": class_name(new.class),
                    "scopes": new.grant().scopes(),
                    "token": token,
                    "expires_at": expires_at.map(|at| at.to_string()),
                }))?,
                false => {
                    term::out(&token)?;
                    term::note("this is the only time it is shown");
                }
            }
        }
        TokenCommand::List { json } => list(shelf, *json, now).await?,
        TokenCommand::Revoke { name, json } => {
            tokens::revoke(shelf, name, now).await?;
            match json {
                true => term::json(&json!({ "name": name, "revoked": true }))?,
                false => term::out(&format!("the token of {name} opens nothing any more"))?,
            }
        }
    }
    Ok(0)
}

async fn list(shelf: &Shelf, json: bool, now: Timestamp) -> Result<(), super::CliError> {
    let uses = tokens::uses(shelf).await?;
    for token in &tokens::list(shelf).await? {
        let used_at = uses.get(&token.sha256).copied();
        let scopes = token.grant().scopes();
        let standing = match token {
            Token { revoked_at: Some(_), .. } => "revoked",
            token if token.is_live(now) => "live",
            _ => "expired",
        };
        let class = class_name(token.class);
        if json {
            term::json(&json!({
                "name": token.name,
                "class": class,
                "scopes": scopes,
                "standing": standing,
                "created_at": token.created_at.to_string(),
                "expires_at": token.expires_at.map(|at| at.to_string()),
                "revoked_at": token.revoked_at.map(|at| at.to_string()),
                "last_used_at": used_at.map(|at| at.to_string()),
            }))?;
        } else {
            let made = job_text::relative(token.created_at, now);
            let ends = token.expires_at.map(|at| format!(", ends {}", job_text::relative(at, now))).unwrap_or_default();
            let used = used_at.map_or("never used".into(), |at| format!("used {}", job_text::relative(at, now)));
            let line = format!("{:<20}  {class:<7}  {standing:<8}  {scopes}", token.name);
            term::out(&format!("{line}, made {made}{ends}, {used}"))?;
        }
    }
    Ok(())
}
