//! What a chat is told.

use longshore_engine::ops::{Brief, BriefLine, BriefSection};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a chat should know now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BriefBody {
    /// All of it for a model, at most 200 tokens; empty if there is nothing.
    pub(crate) text: String,
    /// What ended since the chat last heard, newest first.
    pub(crate) ended: BriefSectionBody,
    /// What runs, newest job first.
    pub(crate) running: BriefSectionBody,
    /// What waits: for persons first.
    pub(crate) waiting: BriefSectionBody,
}

/// Jobs that stand alike.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BriefSectionBody {
    /// Those that are told.
    pub(crate) jobs: Vec<BriefLineBody>,
    /// How many there are beside them.
    pub(crate) more: u64,
}

/// One job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BriefLineBody {
    /// Its id.
    pub(crate) id: String,
    /// How it stands, and its title.
    pub(crate) text: String,
}

impl From<Brief> for BriefBody {
    fn from(brief: Brief) -> Self {
        Self {
            text: brief.text(),
            ended: brief.ended.into(),
            running: brief.running.into(),
            waiting: brief.waiting.into(),
        }
    }
}

impl From<BriefSection> for BriefSectionBody {
    fn from(section: BriefSection) -> Self {
        let line = |line: BriefLine| BriefLineBody { id: line.job.to_string(), text: line.text };
        Self { jobs: section.lines.into_iter().map(line).collect(), more: section.more }
    }
}
