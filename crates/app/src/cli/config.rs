//! `longshore config`: which settings hold, and where they come from.

use clap::{Parser, Subcommand};
use serde_json::json;

use super::{Outcome, term};
use crate::config::{Config, DEFAULTS, Flags};
use crate::home::Home;

/// Show settings
#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting that holds
    Show {
        /// With where it comes from
        #[arg(long)]
        origin: bool,
        /// Each as a line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every setting with its default and what it means
    Default,
    /// Print where the file of settings belongs
    Path {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args, home: &Home) -> Outcome {
    match args.command {
        ConfigCommand::Show { origin, json } => show(&Config::load(home, &Flags::default())?, origin, json)?,
        ConfigCommand::Default => term::out(DEFAULTS)?,
        ConfigCommand::Path { json } => {
            let path = Config::path(home);
            match json {
                true => term::json(&json!({ "path": path, "exists": path.exists() }))?,
                false => term::out(&path.display().to_string())?,
            }
        }
    }
    Ok(0)
}

fn show(config: &Config, origin: bool, json: bool) -> Result<(), super::CliError> {
    for shown in &config.shown {
        match (json, origin) {
            (true, _) => term::json(shown)?,
            (false, true) => term::out(&format!("{} = {}  # {}", shown.key, shown.value, shown.origin))?,
            (false, false) => term::out(&format!("{} = {}", shown.key, shown.value))?,
        }
    }
    Ok(())
}
