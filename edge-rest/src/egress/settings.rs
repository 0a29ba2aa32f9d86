//! A partner's settings as access-svc keeps them, checked before any use.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use propdev_proto::access::{GetEgressSettingsResponse, PartnerClientCredentials};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use secrecy::SecretString;
use url::Url;

use super::address::Addresses;

/// Which of our clients at the partner speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OurClient {
    Intercom,
    Barrier,
}

/// Holds secrets: without `Debug`.
pub(crate) struct Settings {
    pub(crate) version: i64,
    pub(crate) token_url: Url,
    api_base: String,
    door_path: String,
    barrier_path: String,
    /// The device id alone goes out, and no Idempotency-Key.
    pub(crate) minimal: bool,
    pub(crate) intercom: Credentials,
    pub(crate) barrier: Credentials,
    /// The partner's own CA; none means the system's.
    pub(crate) roots: Option<Arc<RootCertStore>>,
}

pub(crate) struct Credentials {
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsFault {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is not an https URL without user, query and fragment")]
    NotHttps(&'static str),
    #[error("{0} leads to an address that is not public")]
    NotPublic(&'static str),
    #[error("{0} does not begin with a slash or lacks {{device_id}}")]
    Path(&'static str),
    #[error("ca_pem holds no usable certificate")]
    Ca,
    #[error("the TLS client cannot be built")]
    Client,
}

const DEVICE_ID: &str = "{device_id}";

/// What RFC 3986 section 2.3 leaves unreserved.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Settings {
    pub(crate) fn read(
        answer: GetEgressSettingsResponse,
        addresses: Addresses,
    ) -> Result<Self, SettingsFault> {
        let partner = answer.partner.ok_or(SettingsFault::Missing("partner"))?;
        let token_url = https("token_url", &partner.token_url, addresses)?;
        let api_base = https("api_base", &partner.api_base, addresses)?;
        let roots = own_roots(&partner.ca_pem)?;
        Ok(Self {
            version: partner.settings_version,
            token_url,
            api_base: api_base.as_str().trim_end_matches('/').to_owned(),
            door_path: path("door_path", partner.door_path, "/v1/doors/{device_id}/open")?,
            barrier_path: path(
                "barrier_path",
                partner.barrier_path,
                "/v1/barriers/{device_id}/open",
            )?,
            minimal: partner.minimal,
            intercom: credentials("intercom", answer.intercom)?,
            barrier: credentials("barrier", answer.barrier)?,
            roots,
        })
    }

    pub(crate) fn credentials(&self, client: OurClient) -> &Credentials {
        match client {
            OurClient::Intercom => &self.intercom,
            OurClient::Barrier => &self.barrier,
        }
    }

    /// Where a command for this device goes; none where no URL can say so:
    /// `.` and `..` vanish from a path, however they are encoded.
    pub(crate) fn command_url(&self, client: OurClient, device_id: &str) -> Option<Url> {
        if matches!(device_id, "." | "..") {
            return None;
        }
        let template = match client {
            OurClient::Intercom => &self.door_path,
            OurClient::Barrier => &self.barrier_path,
        };
        let encoded = utf8_percent_encode(device_id, SEGMENT).to_string();
        Url::parse(&format!(
            "{}{}",
            self.api_base,
            template.replace(DEVICE_ID, &encoded)
        ))
        .ok()
    }
}

pub(super) fn https(
    name: &'static str,
    text: &str,
    addresses: Addresses,
) -> Result<Url, SettingsFault> {
    let url = Url::parse(text).map_err(|_| SettingsFault::NotHttps(name))?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if url.scheme() != "https" || !url.has_host() || !plain {
        return Err(SettingsFault::NotHttps(name));
    }
    if !addresses.allows_host(&url) {
        return Err(SettingsFault::NotPublic(name));
    }
    Ok(url)
}

fn path(name: &'static str, text: String, default: &str) -> Result<String, SettingsFault> {
    let text = if text.is_empty() {
        default.to_owned()
    } else {
        text
    };
    // Without the slash it could go on with the host's name.
    if text.starts_with('/') && text.contains(DEVICE_ID) {
        Ok(text)
    } else {
        Err(SettingsFault::Path(name))
    }
}

fn credentials(
    name: &'static str,
    found: Option<PartnerClientCredentials>,
) -> Result<Credentials, SettingsFault> {
    let found = found.ok_or(SettingsFault::Missing(name))?;
    Ok(Credentials {
        client_id: found.client_id,
        client_secret: found.client_secret.into(),
    })
}

/// None for an empty text: the system's.
pub(super) fn own_roots(pem: &str) -> Result<Option<Arc<RootCertStore>>, SettingsFault> {
    match pem.trim() {
        "" => Ok(None),
        pem => Ok(Some(Arc::new(read_roots(pem)?))),
    }
}

fn read_roots(pem: &str) -> Result<RootCertStore, SettingsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots
            .add(certificate.map_err(|_| SettingsFault::Ca)?)
            .map_err(|_| SettingsFault::Ca)?;
    }
    if roots.is_empty() {
        Err(SettingsFault::Ca)
    } else {
        Ok(roots)
    }
}

#[cfg(test)]
mod tests;
