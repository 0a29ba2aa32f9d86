//! Takes any client certificate whose key the client proves to hold. Whose it
//! is, auth-svc judges by what is registered for the client (RFC 8705).

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

/// Bytes of a chain. It goes inside with each request: no more of it than any
/// real one has.
const LONGEST_CHAIN: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyCertificate {
    pub(super) fn new() -> Self {
        Self {
            algorithms: ring::default_provider().signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let above: usize = intermediates.iter().map(|one| one.len()).sum();
        if leaf.len() + above > LONGEST_CHAIN {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_longer_than_any_real_one_is_refused() {
        let verifier = AnyCertificate::new();
        let shown = |sizes: &[usize]| {
            let chain: Vec<CertificateDer<'_>> =
                sizes.iter().map(|&size| vec![0; size].into()).collect();
            verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::now())
        };
        assert!(shown(&[2_000, 2_000, 2_000]).is_ok());
        assert!(shown(&[2_000, 8_000, 8_000]).is_err());
        assert!(shown(&[17_000]).is_err());
    }
}
