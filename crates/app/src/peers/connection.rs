//! One request to another node over a connection of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Largest answer that is taken.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What an attempt to ask comes to.
type Asked<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Sends a request to `address`, whose path is that of the request's before it, and reads the whole answer.
///
/// # Errors
/// Whatever keeps the answer away.
pub(super) async fn ask(address: &Uri, request: Request<Full<Bytes>>) -> Asked<Response<Bytes>> {
    let host = address.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_https = address.scheme_str() == Some("https");
    let port = address.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let connecting = async {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Asked::Ok(stream)
    };
    let stream = within(CONNECT_MAX, connecting).await?;
    match is_https {
        false => exchange(stream, request).await,
        true => {
            let name = ServerName::try_from(host.to_owned())?;
            let securing = async { Ok(TlsConnector::from(tls()?).connect(name, stream).await?) };
            exchange(within(CONNECT_MAX, securing).await?, request).await
        }
    }
}

async fn within<T>(length: Duration, doing: impl Future<Output = Asked<T>>) -> Asked<T> {
    tokio::time::timeout(length, doing).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// Trusts what the machine trusts.
fn tls() -> Asked<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&provider))?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()))
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Asked<Response<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It is driven here, so that it ends with whoever waits.
    let answer = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let bytes = Limited::new(body, BYTES_MAX).collect().await?.to_bytes();
        Asked::Ok(Response::from_parts(parts, bytes))
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}
