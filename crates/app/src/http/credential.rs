//! Where credentials are read, and nowhere else.

use axum::http::{HeaderMap, Uri, header};
use longshore_domain::fault::{Fault, FaultCode};

/// Names under which programs put tokens into addresses.
const TOKEN_PARAMETERS: [&str; 3] = ["access_token", "token", "api_key"];

/// What a request proves its sender with, by where it came from. A new source must say in [`Credential::is_ambient`]
/// what else it needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    /// The header `Authorization`. Only who knows the token can send it.
    Bearer(&'a str),
}

impl<'a> Credential<'a> {
    /// The credential of a request, if it has one.
    ///
    /// # Errors
    /// Why what is there is none.
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Option<Self>, &'static str> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let Some(first) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err("the header `Authorization` is there more than once");
        }
        let bearer = first.to_str().ok().and_then(|given| given.split_once(' '));
        match bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
            Some((_, secret)) => Ok(Some(Self::Bearer(secret.trim()))),
            None => Err("the header `Authorization` is not of the form `Bearer TOKEN`"),
        }
    }

    /// The secret itself.
    pub(super) fn secret(self) -> &'a str {
        match self {
            Self::Bearer(secret) => secret,
        }
    }

    /// Whether browsers send it along with whatever a page asks for, as they do with cookies. Then it proves nothing of
    /// the page, and a request without `Origin` must be refused.
    fn is_ambient(self) -> bool {
        match self {
            Self::Bearer(_) => false,
        }
    }
}

/// Refuses a request that a page of somebody else may have caused. That `Origin`, where it is present, is our own was
/// checked before.
///
/// # Errors
/// `forbidden`.
pub(super) fn check_origin(credential: Credential<'_>, headers: &HeaderMap) -> Result<(), Fault> {
    match credential.is_ambient() && !headers.contains_key(header::ORIGIN) {
        false => Ok(()),
        true => Err(Fault::new(FaultCode::Forbidden, "the request does not say which page sent it")
            .why("browsers send this credential by themselves, so the header `Origin` is needed")
            .next("send `Origin`, or a token in the header `Authorization`")),
    }
}

/// Refuses addresses with a token in them: addresses are logged and remembered by everybody on the way.
///
/// # Errors
/// `invalid_argument`, without the token.
pub(super) fn check_address(uri: &Uri) -> Result<(), Fault> {
    let mut names = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    match names.find(|name| TOKEN_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name))) {
        None => Ok(()),
        Some(_) => Err(Fault::new(FaultCode::InvalidArgument, "tokens are not taken from addresses")
            .why("an address is logged and remembered on its way")
            .next("send `Authorization: Bearer …` instead, and revoke the token that was in the address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_one_header_of_one_form() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            Credential::of(&headers).map(|found| found.map(|found| found.secret().to_owned()))
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["Bearer abc"]), Ok(Some("abc".into())));
        assert_eq!(of(&["bearer  abc "]), Ok(Some("abc".into())));
        for values in [&["Basic eA=="][..], &["abc"], &["Bearer"], &["Bearer a", "Bearer b"]] {
            assert!(of(values).is_err(), "{values:?}");
        }
    }

    #[test]
    fn no_address_may_hold_a_token() {
        let check = |address: &str| check_address(&address.parse().unwrap()).is_ok();
        for good in ["/api/v1/jobs", "/api/v1/jobs?limit=3&text=token", "/?tokens=1"] {
            assert!(check(good), "{good}");
        }
        for bad in ["/?token=x", "/mcp?a=b&access_token=x", "/?Access_Token=x", "/?token", "/?api_key=x"] {
            assert!(!check(bad), "{bad}");
        }
    }
}
