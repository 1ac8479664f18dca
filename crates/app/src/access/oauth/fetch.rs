//! Reading a small document of the authorization server. Blocks for a bounded time, follows no redirects.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::tls::{RootCerts, TlsConfig};

use crate::config::WebAddress;

/// Longest wait for the whole answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Largest document that is taken.
const BYTES_MAX: u64 = 512 * 1024;

/// The JSON document at `address`.
///
/// # Errors
/// A sentence that says what went wrong.
pub(super) fn json<T: DeserializeOwned>(address: &WebAddress) -> Result<T, String> {
    let answer = agent(address).get(address.as_str()).call().map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("it answers with status {}", answer.status().as_u16()));
    }
    let mut bytes = vec![];
    let read = answer.into_body().into_reader().take(BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("the document has more than {BYTES_MAX} bytes"));
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("the document cannot be used: {error}"))
}

/// Made for each fetch: these are rare, and what is not kept needs no memory.
fn agent(address: &WebAddress) -> ureq::Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(ANSWER_MAX))
        .tls_config(tls);
    // Only what leaves this machine goes through a proxy that the environment names.
    let config = if address.is_https() { config } else { config.proxy(None) };
    config.build().new_agent()
}
