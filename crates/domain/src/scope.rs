//! What a caller may do with what it sees: the scopes of its token.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::access::{Principal, PrincipalClass};

/// One thing that a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Looking at jobs, their output and their history, and waiting for them.
    JobsRead,
    /// Submitting jobs, and changing or ending them.
    JobsWrite,
    /// Looking after the daemon itself. Held by persons only.
    Admin,
}

impl Scope {
    /// Every scope, in the order of the manual.
    pub const ALL: [Self; 3] = [Self::JobsRead, Self::JobsWrite, Self::Admin];

    /// The scope as it is written in tokens and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::JobsRead => 1,
            Self::JobsWrite => 2,
            Self::Admin => 4,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is no scope: expected {}", known()))
    }
}

/// A set of scopes. Written as a list of their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Scopes(u8);

impl Scopes {
    /// Everything that a caller of `class` can ever hold, and holds if nothing less was asked for.
    ///
    /// Agents and workers never look after the daemon: what stands between them and a person is not a setting.
    pub fn of_class(class: PrincipalClass) -> Self {
        match class {
            PrincipalClass::Person | PrincipalClass::Node => Scope::ALL.into_iter().collect(),
            PrincipalClass::Agent | PrincipalClass::Worker => [Scope::JobsRead, Scope::JobsWrite].into_iter().collect(),
        }
    }

    /// Whether `scope` is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Those that both sets have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// Each of them, in the order of the manual.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::default(), Self::with)
    }
}

impl TryFrom<Vec<String>> for Scopes {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        names.iter().map(|name| name.parse::<Scope>()).collect()
    }
}

impl From<Scopes> for Vec<String> {
    fn from(scopes: Scopes) -> Self {
        scopes.iter().map(|scope| scope.to_string()).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Vec::from(*self).join(" "))
    }
}

/// Who is calling and what the token allows, as it was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub principal: Principal,
    /// What. Private so that no grant exceeds its class.
    scopes: Scopes,
}

impl Grant {
    /// `scopes` for `principal`, less what its class can never hold.
    pub fn new(principal: Principal, scopes: Scopes) -> Self {
        let scopes = scopes.and(Scopes::of_class(principal.class));
        Self { principal, scopes }
    }

    /// All that the class of `principal` can hold.
    pub fn whole(principal: Principal) -> Self {
        let scopes = Scopes::of_class(principal.class);
        Self { principal, scopes }
    }

    /// What the token allows.
    pub fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// The same token in the hands of a model's client: what only persons may do is gone.
    #[must_use]
    pub fn for_agent(self) -> Self {
        Self::new(Principal::agent(self.principal.name), self.scopes)
    }
}
