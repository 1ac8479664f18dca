//! Settings as they were written: nothing is interpreted but their types.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use longshore_domain::fault::{Fault, FaultCode};
use serde::Deserialize;
use toml::Spanned;

use crate::problem::file_failed;

type Written<T> = Option<Spanned<T>>;

/// One file of settings. Each value remembers where it stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConfigFile {
    pub(crate) listen: Written<String>,
    pub(crate) listen_public: Written<bool>,
    pub(crate) hosts: Written<Vec<String>>,
    pub(crate) capacity: Written<u32>,
    pub(crate) queue_concurrency: Written<u32>,
    pub(crate) lease: Written<String>,
    pub(crate) env_allow: Written<Vec<String>>,
    pub(crate) durability: Written<String>,
    pub(crate) cgroup: Written<String>,
    pub(crate) call_budget: Written<String>,
    pub(crate) store: StoreFile,
    pub(crate) artifacts: ArtifactsFile,
    pub(crate) node: NodeFile,
    pub(crate) log: LogFile,
    pub(crate) retention: RetentionFile,
    pub(crate) limits: LimitsFile,
    pub(crate) oauth: OAuthFile,
    /// The section `[call_budgets]`: what the names of clients begin with.
    pub(crate) call_budgets: BTreeMap<String, Spanned<String>>,
    pub(crate) queues: BTreeMap<String, QueueFile>,
}

/// The section `[store]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreFile {
    pub(crate) url: Written<String>,
}

/// The section `[artifacts]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ArtifactsFile {
    pub(crate) url: Written<String>,
    pub(crate) endpoint: Written<String>,
    pub(crate) region: Written<String>,
    pub(crate) allow_http: Written<bool>,
}

/// The section `[node]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NodeFile {
    pub(crate) name: Written<String>,
    pub(crate) labels: Written<Vec<String>>,
    pub(crate) address: Written<String>,
}

/// The section `[log]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogFile {
    pub(crate) level: Written<String>,
    pub(crate) format: Written<String>,
}

/// The section `[retention]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionFile {
    pub(crate) output: Written<String>,
    pub(crate) record: Written<String>,
    pub(crate) output_max: Written<String>,
}

/// The section `[limits]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsFile {
    pub(crate) requests_per_second: Written<u32>,
    pub(crate) requests_at_once: Written<u32>,
    pub(crate) failures_per_minute: Written<u32>,
}

/// The section `[oauth]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OAuthFile {
    pub(crate) issuer: Written<String>,
    pub(crate) resource: Written<String>,
    pub(crate) audience: Written<String>,
    pub(crate) jwks_url: Written<String>,
    pub(crate) jwks_pause: Written<String>,
    pub(crate) principal_claim: Written<String>,
    pub(crate) class: Written<String>,
    pub(crate) scopes: ScopesFile,
}

/// The section `[oauth.scopes]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScopesFile {
    pub(crate) read: Written<String>,
    pub(crate) write: Written<String>,
    pub(crate) admin: Written<String>,
}

/// One section `[queues.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueueFile {
    pub(crate) concurrency: Spanned<u32>,
}

/// A file of settings with its text, which turns positions into lines.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) settings: ConfigFile,
}

impl Source {
    /// Reads settings from text; `name` stands in messages.
    ///
    /// # Errors
    /// `config_invalid` with the line: not TOML, an unknown key, or a value of the wrong type.
    pub(crate) fn parse(name: &str, text: String) -> Result<Self, Fault> {
        match toml::from_str(&text) {
            Ok(settings) => Ok(Self { name: name.into(), text, settings }),
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(&text, span.start));
                Err(Fault::new(FaultCode::ConfigInvalid, format!("{name} line {line} cannot be used"))
                    .why(error.message().replace('\n', "; "))
                    .next("correct the line; `longshore config default` lists every setting"))
            }
        }
    }

    /// Reads the file at `path`, if there is one.
    ///
    /// # Errors
    /// `file_failed`, or as [`Source::parse`].
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Fault> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&path.display().to_string(), text).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file_failed(path, "read", &error)),
        }
    }

    /// The line of a value, from 1.
    pub(crate) fn line<T>(&self, value: &Spanned<T>) -> usize {
        line_of(&self.text, value.span().start)
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
}
