//! What each part is told: the configuration, handed on in parts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::artifact::Artifacts;
use longshore_domain::fault::Fault;
use longshore_domain::node::NewNode;
use longshore_domain::store::Store;
use longshore_engine::{Clock, Engine, Keeping, Settings};
use longshore_mcp::{Server, ServerSettings};
use longshore_store::ObjectArtifacts;

use crate::config::{Config, StoreAt};
use crate::daemon::cgroup::{self, Placement};
use crate::daemon::machine::{self, OpenFiles};
use crate::home::Home;
use crate::problem::file_failed;
use crate::store;

/// How long the end of an attempt waits for its output to be kept.
const KEEPING_MAX: Duration = Duration::from_secs(60);

/// What the engine of a daemon that listens at `listen` is told. Has the kernel hold limits where commands will run.
///
/// # Errors
/// `file_failed`.
pub(super) fn engine(
    home: &Home,
    config: &Config,
    clock: &Clock,
    listen: SocketAddr,
    artifacts: Keeping,
    open_files: OpenFiles,
) -> Result<Settings, Fault> {
    let Placement { scope, cgroup } =
        Placement::decide(&config.cgroup, machine::is_systemd_service(), cgroup::delegated());
    cgroup.as_deref().into_iter().for_each(cgroup::prepare);
    let program = std::env::current_exe().map_err(|error| file_failed(home.root(), "served", &error))?;
    Ok(Settings {
        node: node(home, config, clock, listen)?,
        run_dir: home.file("run"),
        output_dir: home.file("output"),
        archive_dir: home.file("archive"),
        shim_program: program,
        shim_args: vec![crate::SHIM.into()],
        shim_scope: scope,
        cgroup,
        open_files: open_files.before,
        queues: config.queues.clone(),
        lease: config.lease,
        env_allow: config.env_allow.clone(),
        retention: config.retention.clone(),
        artifacts: Some(artifacts),
        fixtures: false,
    })
}

/// The place that keeps artifacts of a store, which was looked at.
///
/// # Errors
/// `config_invalid`, also if it is another store's; `artifacts_unavailable`.
pub(super) async fn artifacts(config: &Config, store: &dyn Store) -> Result<Keeping, Fault> {
    let artifacts = ObjectArtifacts::open(&config.artifacts.options)?;
    match artifacts.check().await {
        // Those in the home come and go with it: on a full disk the rest of it still has its use.
        Err(error) if !config.artifacts.named => tracing::warn!(%error, "artifacts cannot be kept"),
        checked => checked?,
    }
    if !config.artifacts.named && matches!(config.store, StoreAt::Server { .. }) {
        tracing::warn!("`[artifacts] url` is not set: what commands print is on this node alone, and gone with it");
    }
    if config.artifacts.named {
        artifacts.claim(&store::identity(store).await?).await?;
    }
    Ok(Keeping { artifacts: Arc::new(artifacts), output: config.artifacts.named, patience: KEEPING_MAX })
}

fn node(home: &Home, config: &Config, clock: &Clock, listen: SocketAddr) -> Result<NewNode, Fault> {
    let id = home.node(clock)?;
    let listens = (!listen.ip().is_unspecified()).then(|| format!("http://{listen}"));
    Ok(NewNode {
        id,
        name: config.node.name.clone().unwrap_or_else(machine::name),
        address: config.node.address.clone().or(listens),
        labels: config.node.labels.clone(),
        capacity: config.capacity,
        version: env!("CARGO_PKG_VERSION").into(),
        boot: machine::boot(),
        incarnation: home.incarnation()?,
    })
}

/// What speaks MCP for the engine, on every door; `key` signs what clients carry for us between requests.
pub(super) fn mcp(config: &Config, engine: &Engine, key: [u8; 32]) -> Server {
    Server::new(engine.clone(), server(config, key))
}

fn server(config: &Config, key: [u8; 32]) -> ServerSettings {
    ServerSettings {
        call_budget: config.call_budget,
        client_budgets: config.call_budgets.clone(),
        ..ServerSettings::new(env!("CARGO_PKG_VERSION"), key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn the_server_is_told_the_budgets_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let text = "call_budget = \"30s\"\n[call_budgets]\n\"claude-code\" = \"90s\"\n";
        std::fs::write(Config::path(&home), text).unwrap();
        let settings = server(&Config::load(&home, &Flags::default()).unwrap(), [0; 32]);
        assert_eq!(settings.call_budget, Duration::from_secs(30));
        assert_eq!(settings.client_budgets, [("claude-code".to_owned(), Duration::from_secs(90))]);
    }
}
