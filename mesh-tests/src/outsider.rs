//! Callers of the services' gRPC ports over an HTTP/2 client that is not the
//! mesh's own: it shows whatever certificate it was given, or none.

use std::fs;

use devmesh::layout::Layout;
use propctl::dev;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use tonic::Code;

/// A gRPC frame of one byte, a field tag without its value: no message of any
/// RPC, and a handler that is reached says so.
pub const NO_MESSAGE: [u8; 6] = [0, 0, 0, 0, 1, 0x0a];

pub struct Outsider {
    http: reqwest::Client,
    layout: Layout,
}

impl Outsider {
    /// `identity` is a certificate and its key, PEM.
    pub fn new(layout: &Layout, identity: Option<&str>) -> Self {
        let ca = fs::read(layout.ca()).expect("the CA");
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca).expect("a CA")]);
        if let Some(pem) = identity {
            builder =
                builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity"));
        }
        Self {
            http: builder.build().expect("a client"),
            layout: layout.clone(),
        }
    }

    /// How an RPC answers what is no message of its own; an error where the
    /// connection is refused.
    pub async fn call(&self, service: &str, path: &str) -> Result<Code, reqwest::Error> {
        let response = self
            .http
            .post(format!(
                "https://{}{path}",
                self.layout.addresses.grpc(service)
            ))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(NO_MESSAGE.to_vec())
            .send()
            .await?;
        let status = response.headers().get("grpc-status");
        let code = status.and_then(|value| value.to_str().ok()?.parse::<i32>().ok());
        Ok(code.map_or(Code::Ok, Code::from))
    }
}

/// A certificate and its key, PEM, of the mesh's own CA under any URI: a CA
/// that serves several trust domains issues such ones.
pub fn issue_as(layout: &Layout, uri: &str) -> String {
    let read = |name: &str| fs::read_to_string(layout.pki().join(name)).expect("the CA");
    let ca_key = KeyPair::from_pem(&read(dev::CA_KEY)).expect("the CA's key");
    let ca = Issuer::from_ca_cert_pem(&read(dev::CA_CERTIFICATE), ca_key).expect("the CA");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a URI"))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &ca).expect("a certificate");
    format!("{}{}", certificate.pem(), key.serialize_pem())
}
