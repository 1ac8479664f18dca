//! What a client is told with a refusal, in the words of HTTP authentication: where a better token comes from.
//!
//! Source: RFC 6750 section 3; RFC 9728 section 5.1; MCP 2026-07-28, authorization.

use longshore_domain::{Scope, Scopes};

use super::Access;

impl Access {
    /// Goes with a refusal for want of a valid token; `given` if there was one at all.
    pub(crate) fn challenge(&self, given: bool) -> String {
        let usual = Scopes::default().with(Scope::JobsRead).with(Scope::JobsWrite);
        let scope = self.oauth.as_ref().map(|_| format!("scope=\"{}\"", self.their_names(usual)));
        let error = given.then(|| "error=\"invalid_token\"".to_owned());
        bearer([error, Some(self.place()), scope])
    }

    /// Goes with a refusal for want of `scope`: all that a token must allow that replaces the one that allows `held`.
    pub(crate) fn step_up(&self, held: Scopes, scope: Scope) -> String {
        let error = "error=\"insufficient_scope\"".to_owned();
        let scope = format!("scope=\"{}\"", self.their_names(held.with(scope)));
        bearer([Some(error), Some(self.place()), Some(scope)])
    }

    /// Where a token comes from.
    fn place(&self) -> String {
        match &self.oauth {
            Some(oauth) => format!("resource_metadata=\"{}\"", oauth.metadata_url()),
            None => "realm=\"longshore\"".to_owned(),
        }
    }

    fn their_names(&self, scopes: Scopes) -> String {
        match &self.oauth {
            Some(oauth) => oauth.their_names(scopes).join(" "),
            None => scopes.to_string(),
        }
    }
}

fn bearer<const N: usize>(parts: [Option<String>; N]) -> String {
    format!("Bearer {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
