//! Securing connections, with as much trust as was asked for.

use std::path::Path;
use std::sync::Arc;

use longshore_domain::store::BoxedError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Trust;
use super::errors::{Attempted, Trouble};

/// What makes connections secure.
///
/// # Errors
/// If the file of roots cannot be read, or the machine's own cannot.
pub(super) fn connector(trust: &Trust) -> Attempted<MakeRustlsConnect> {
    config(trust).map(MakeRustlsConnect::new).map_err(Trouble::Handshake)
}

fn config(trust: &Trust) -> Result<ClientConfig, BoxedError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Any => Arc::new(Chain { roots: None, provider: Arc::clone(&provider) }),
        Trust::Chain(file) => Arc::new(Chain { roots: Some(read(file)?), provider: Arc::clone(&provider) }),
        Trust::Host(Some(file)) => {
            WebPkiServerVerifier::builder_with_provider(Arc::new(read(file)?), Arc::clone(&provider)).build()?
        }
        Trust::Host(None) => Arc::new(rustls_platform_verifier::Verifier::new(Arc::clone(&provider))?),
    };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn read(file: &Path) -> Result<RootCertStore, BoxedError> {
    let unusable = |error: BoxedError| format!("{} cannot be used as `sslrootcert`: {error}", file.display());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| unusable(error.into()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(error.into()))?;
        roots.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    match roots.is_empty() {
        true => Err(unusable("it holds no certificate".into()).into()),
        false => Ok(roots),
    }
}

/// Checks that a certificate leads to one of `roots`, whatever its host; without roots any will do. That the server
/// has the certificate's key is always checked.
#[derive(Debug)]
struct Chain {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
