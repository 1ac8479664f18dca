//! Who is calling and what they may do: from a credential to a grant. Doors ask; nothing else here knows of HTTP.

mod challenge;
mod failures;
mod oauth;
mod rate;
mod shelf;
pub(crate) mod tokens;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{Grant, Timestamp};

use crate::config::{self, Limits};
use crate::home::Home;
use failures::Failures;
use oauth::OAuth;
pub(crate) use oauth::Resource;
use rate::Buckets;
pub(crate) use shelf::Shelf;
use tokens::TokenBook;

/// Decides whom a credential proves, and who asks too often.
pub(crate) struct Access {
    tokens: TokenBook,
    oauth: Option<OAuth>,
    requests: Option<Buckets<String>>,
    failures: Failures,
}

/// A caller whose credential was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    /// Who, and what the credential allows.
    pub(crate) grant: Grant,
    proof: Proof,
}

impl Pass {
    /// Whether it may end before the daemon does.
    pub(crate) fn can_end(&self) -> bool {
        !matches!(self.proof, Proof::Local)
    }
}

/// What was proved, so that it can be asked later whether it still holds.
#[derive(Clone, Debug)]
enum Proof {
    /// The local token, which holds as long as the daemon runs.
    Local,
    /// A token of ours, by its digest.
    Token(String),
    /// A token of the authorization server, which ends by itself.
    Issued { until: Timestamp },
}

impl Access {
    /// What the local token of `home`, those on `shelf` and the configuration allow.
    ///
    /// # Errors
    /// `file_failed`.
    pub(crate) fn open(
        home: &Home,
        shelf: Shelf,
        limits: &Limits,
        oauth: Option<config::OAuth>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            tokens: TokenBook::open(home, shelf)?,
            oauth: oauth.map(OAuth::new),
            requests: Buckets::new(f64::from(limits.requests_per_second), limits.requests_at_once),
            failures: Failures::new(limits.failures_per_minute),
        })
    }

    /// Whom `secret` proves at `now`.
    ///
    /// # Errors
    /// `unauthorized` if nobody; `issuer_unreachable`, `file_failed`, the store's own if that cannot be found out.
    pub(crate) async fn admit(&self, secret: &str, now: Timestamp) -> Result<Pass, Fault> {
        match &self.oauth {
            Some(oauth) if OAuth::looks_issued(secret) => {
                let issued = oauth.verify(secret).await.map_err(|refusal| refusal.into_fault())?;
                Ok(Pass { grant: issued.grant, proof: Proof::Issued { until: issued.until } })
            }
            _ => {
                let found = self.tokens.pass(secret, now).await?;
                found.ok_or_else(|| self.refusal("the token is wrong, expired or revoked"))
            }
        }
    }

    /// Whether a caller that was let in once would still be.
    ///
    /// # Errors
    /// `file_failed`, the store's own if that cannot be found out.
    pub(crate) async fn still_holds(&self, pass: &Pass, now: Timestamp) -> Result<bool, Fault> {
        match &pass.proof {
            Proof::Local => Ok(true),
            Proof::Token(digest) => self.tokens.is_live(digest, now).await,
            Proof::Issued { until } => Ok(now < *until),
        }
    }

    /// The answer to whoever has no valid token.
    pub(crate) fn refusal(&self, why: &str) -> Fault {
        let advice = match &self.oauth {
            None => "others are made with `longshore token create`",
            Some(_) => "others are made with `longshore token create`, or come from the authorization server",
        };
        Fault::new(FaultCode::Unauthorized, "a valid token is needed")
            .why(why)
            .next(format!("send `Authorization: Bearer …`; the local token is the file `token` of the home, {advice}"))
    }

    /// Counts one request of a caller.
    ///
    /// # Errors
    /// How long to pause, if it was one too many. The local token is never limited: nobody locks themselves out.
    pub(crate) fn count_request(&self, pass: &Pass) -> Result<(), Duration> {
        match (&pass.proof, &self.requests) {
            (Proof::Local, _) | (_, None) => Ok(()),
            (_, Some(requests)) => requests.take(pass.grant.principal.name.clone(), Instant::now()),
        }
    }

    /// Whether `secret` from `peer` is looked at.
    ///
    /// # Errors
    /// How long to pause, if too many from there were wrong. The local token is let in all the same.
    pub(crate) fn may_try(&self, peer: IpAddr, secret: &str) -> Result<(), Duration> {
        self.failures.look(peer, Instant::now()).or_else(|pause| match self.tokens.is_local(secret) {
            true => Ok(()),
            false => Err(pause),
        })
    }

    /// Counts a credential from `peer` that was wrong.
    pub(crate) fn count_failure(&self, peer: IpAddr) {
        self.failures.count(peer, Instant::now());
    }

    /// What a client of the authorization server must know of us, if there is one.
    pub(crate) fn resource(&self) -> Option<Resource> {
        self.oauth.as_ref().map(OAuth::resource)
    }

    /// Whether `path`, without its first slash, is that of the resource as clients see it.
    pub(crate) fn is_resource_path(&self, path: &str) -> bool {
        self.oauth.as_ref().is_some_and(|oauth| oauth.path() == path)
    }
}

/// The answer to whoever asks too often.
pub(crate) fn rate_limited(message: &str, pause: Duration) -> Fault {
    let seconds = pause.as_secs_f64();
    Fault::new(FaultCode::RateLimited, message).next(format!("pause for {seconds:.1} s, then ask again"))
}
