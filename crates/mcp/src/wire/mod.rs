//! What goes over the wire: envelopes, errors, lines. Knows nothing of jobs.
//!
//! Messages are never parsed further than needed: ids, arguments and results of others stay as the bytes they
//! came as, and answers are made by splicing.

mod arguments;
mod ask;
mod batch;
mod capabilities;
pub(crate) mod conversation;
mod error;
mod extensions;
mod hello;
mod level;
mod lines;
mod message;
mod meta;
mod nearest;
mod reply;
mod skimmed;
mod version;

pub(crate) use arguments::Arguments;
pub(crate) use ask::{Ask, AskError, AskKind};
pub(crate) use batch::batch;
pub(crate) use capabilities::Capabilities;
pub use conversation::CONVERSATION_VARIABLES;
pub(crate) use error::{ErrorCode, RpcError};
pub(crate) use extensions::{Extensions, TASKS};
pub use hello::Hello;
pub(crate) use hello::{GOODBYE, in_turn};
pub(crate) use level::Level;
pub(crate) use lines::{Line, LineReader};
pub(crate) use message::{Malformed, Message, Notification, Request, RequestId, Response};
pub(crate) use meta::{ClientInfo, Meta};
pub use reply::Reply;
pub(crate) use reply::{CacheHint, ResultBody, notification, request};
#[cfg(feature = "fuzz")]
pub(crate) use skimmed::skimmed_by;
pub(crate) use version::{Era, LegacyVersion, MODERN};

/// Longest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
