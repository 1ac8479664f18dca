//! What a caller can ask for; one operation per file. Every door comes through here.

mod account;
mod archive;
mod attempt_output;
mod brief;
mod cancel;
mod collect;
mod conflict;
mod events;
mod find;
mod fixture;
mod follow;
mod hand_on;
mod list;
mod listed;
mod nodes;
mod orphans;
mod output;
mod output_files;
mod questions;
mod remove;
mod retention;
mod retry;
mod room;
mod schedules;
mod submit;
mod view;
mod wait;

pub use brief::{Brief, BriefLine, BriefSection, Briefing, TOKENS_MAX, tokens};
pub use fixture::SubmitFixture;
pub use follow::{Changed, Follower};
pub use list::{JobPage, ListQuery, PAGE_MAX};
pub use listed::ListFollower;
pub use nodes::NodeView;
pub use output::{OUTPUT_BYTES_MAX, OutputCursor, OutputPage, OutputQuery, OutputStart};
pub use questions::{Answered, Answering, OpenQuestions, QuestionPage};
pub use remove::Removed;
pub use retention::RetentionReport;
pub use schedules::NewSchedule;
pub use submit::{Accepted, Submit};
pub use view::JobView;
pub use wait::{WAIT_JOBS_MAX, WaitFor, Waited};

pub use crate::engine::Caller;
