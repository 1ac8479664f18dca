//! The section `[node]`: what this process is to others that share its store.

use std::net::IpAddr;

use axum::http::Uri;
use longshore_domain::fault::Fault;
use longshore_domain::label::Labels;

use super::resolve::Resolver;
use super::web::WebAddress;

/// Longest name of a node, in bytes.
const NAME_BYTES_MAX: usize = 100;

/// What this process is to others that share its store.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What others call it, if not by the name of the machine.
    pub(crate) name: Option<String>,
    /// What it has.
    pub(crate) labels: Labels,
    /// Where others reach it, if not where it listens.
    pub(crate) address: Option<String>,
}

/// The section `[node]`.
pub(super) fn node(given: &mut Resolver) -> Result<Node, Fault> {
    let given_text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let name = given.text("node.name", |file| &file.node.name, []).resolve(|text| {
        match text.len() <= NAME_BYTES_MAX && text.chars().all(|c| c.is_ascii_graphic()) {
            true => Ok(given_text(text)),
            false => Err(format!("expected one word of at most {NAME_BYTES_MAX} printable ASCII characters")),
        }
    })?;
    let labels = given.words(
        "node.labels",
        |file| &file.node.labels,
        |labels| Labels::new(labels).map_err(|problem| problem.to_string()),
    )?;
    let address = given.text("node.address", |file| &file.node.address, []).resolve(|text| match text {
        "" => Ok(None),
        text => address(text).map(Some),
    })?;
    Ok(Node { name, labels, address })
}

/// Scheme, host and port, without a slash behind them.
fn address(text: &str) -> Result<String, String> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    let uri: Uri = bare.parse().map_err(|_| "expected an address such as https://host:port")?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_near = uri.scheme_str() == Some("http") && host.parse().is_ok_and(is_private);
    // What is said of jobs may be read by whoever is in the same private network, not by others.
    let checked = if is_near { bare.replacen("http:", "https:", 1) } else { bare.to_owned() };
    let checked = WebAddress::parse(&checked)?;
    match checked.path() {
        "/" => Ok(bare.to_owned()),
        path => Err(format!("nodes are reached without a path, and this has `{path}`")),
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_nodes_are_safe_to_send_output_to() {
        for good in ["https://a.example", "https://a.example:7717", "http://127.0.0.1:1", "http://10.1.2.3:7717"] {
            assert_eq!(address(good), Ok(good.into()));
        }
        assert_eq!(address("http://[fd00::1]:7717/"), Ok("http://[fd00::1]:7717".into()));
        for bad in ["10.1.2.3:7717", "http://a.example", "http://8.8.8.8", "https://a.example/path", "ftp://10.1.2.3"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
