//! Memory of open tasks: jobs that wait in a queue, then all of them named by one listen too.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use crate::client::{Ask, Connection, Era};
use crate::daemon::Daemon;
use crate::{say, verdict};

/// Most that the tasks may take, in MiB.
const GROWTH_MAX: f64 = 40.0;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The program under test.
    #[arg(long)]
    binary: PathBuf,
    /// Tasks.
    #[arg(long, default_value_t = 10_000)]
    tasks: usize,
    /// Connections that submit them.
    #[arg(long, default_value_t = 16)]
    connections: usize,
}

pub(crate) async fn measure(options: Options) -> Result<bool> {
    let daemon = Daemon::start(&options.binary)?;
    let before = daemon.resident()?;
    let mut submitting = vec![];
    for number in 0..options.connections {
        let mut connection = Connection::to(&daemon).await?;
        let share = (number..options.tasks).step_by(options.connections).len();
        submitting.push(tokio::task::spawn_local(async move {
            let mut tasks = vec![];
            for _ in 0..share {
                tasks.push(connection.submit().await?);
            }
            anyhow::Ok(tasks)
        }));
    }
    let mut tasks = vec![];
    for submitter in submitting {
        tasks.extend(submitter.await??);
    }
    let open = told(&format!("{} open tasks", options.tasks), daemon.resident()?, before);
    let ask = Ask::new(Era::Modern, "subscriptions/listen", "", json!({ "notifications": { "taskIds": tasks } }));
    let mut listener = Connection::to(&daemon).await?;
    listener.listen(&ask, r#""method":"notifications/tasks""#, tasks.len()).await?;
    let heard = told("the same with one listen that names them all", daemon.resident()?, before);
    Ok(open && heard)
}

fn told(what: &str, now: f64, before: f64) -> bool {
    let met = now - before <= GROWTH_MAX;
    say(&format!(
        "tasks: {what}: {:.1} MiB more than none ({before:.1} MiB); goal: <= {GROWTH_MAX:.0} MiB: {}",
        now - before,
        verdict(met)
    ));
    met
}
