//! Who is calling, and the chat that a call belongs to.

use serde::{Deserialize, Serialize};

use crate::job::Job;

/// What kind of caller a principal is. Only persons may decide questions (design rule 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalClass {
    /// A human being: sees every job of the store, decides questions.
    Person,
    /// A model's client: sees and changes its own jobs only.
    Agent,
    /// A program that claims work.
    Worker,
    /// A running `longshore serve` acting for itself.
    Node,
}

/// The caller of an operation, as proved by its token or its connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// What kind of caller it is.
    pub class: PrincipalClass,
    /// Name, unique within the store; jobs belong to the principal with this name.
    pub name: String,
}

impl Principal {
    /// Name of the person who owns this installation, and of the agents that act with the local token.
    pub const OWNER: &'static str = "owner";

    /// The person who owns this installation: holder of the local token.
    pub fn owner() -> Self {
        Self { class: PrincipalClass::Person, name: Self::OWNER.into() }
    }

    /// An agent of that name.
    pub fn agent(name: impl Into<String>) -> Self {
        Self { class: PrincipalClass::Agent, name: name.into() }
    }

    /// Whether this caller may see `job` at all. A job that may not be seen is answered like an unknown one.
    ///
    /// Principals of one name share their jobs whatever their class: the owner's agent sees what the owner started
    /// from a shell, and still may not decide anything.
    pub fn may_see(&self, job: &Job) -> bool {
        self.sees_all() || job.principal.name == self.name
    }

    /// Whether this caller sees the jobs of everybody.
    pub fn sees_all(&self) -> bool {
        matches!(self.class, PrincipalClass::Person | PrincipalClass::Node)
    }
}

/// The chat that a job belongs to, across restarts and clients; free text of at most 200 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conversation(String);

impl Conversation {
    /// Longest accepted name, in bytes.
    pub const LEN_MAX: usize = 200;

    /// The conversation of that name; longer names are cut at a character border.
    pub fn new(name: &str) -> Self {
        let mut end = name.len().min(Self::LEN_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Self(name[..end].to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
