//! A client's settings as messages.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use propdev_proto::auth::{
    Client as ClientMessage, ClientCertificate, ClientLimits, ClientSecret, IssuedCertificate,
    TokenLifetimes, WebhookSecret as WebhookSecretMessage, client_certificate::KnownBy,
};
use uuid::Uuid;

use super::to_proto;
use crate::{
    domain::{
        certificate::RequiredCertificate,
        client::{Client, Lifetimes, Secret, Settings},
        key_set::ClientKeys,
        limits::Limits,
        scope::{Permission, Scope},
        webhook_secret::WebhookSecret,
    },
    error::Error,
};

fn fault(field: &'static str, detail: &'static str) -> Error {
    Error::InvalidField { field, detail }
}

pub(super) fn sites(ids: &[String]) -> Result<Vec<Uuid>, Error> {
    parse_all("site_ids", "holds what is not a UUID", ids, |id| {
        Uuid::try_parse(id).ok()
    })
}

pub(super) fn scopes(names: &[String]) -> Result<Vec<Scope>, Error> {
    parse_all("scopes", "holds an unknown scope", names, Scope::parse)
}

pub(super) fn permissions(names: &[String]) -> Result<Vec<Permission>, Error> {
    let detail = "holds an unknown permission";
    parse_all("permissions", detail, names, Permission::parse)
}

pub(super) fn keys(jwks: &str) -> Result<Option<ClientKeys>, Error> {
    if jwks.is_empty() {
        return Ok(None);
    }
    ClientKeys::parse(jwks).map(Some)
}

pub(super) fn certificate(
    message: Option<ClientCertificate>,
) -> Result<Option<RequiredCertificate>, Error> {
    match message.map(|message| message.known_by) {
        None => Ok(None),
        Some(None) => Err(fault("certificate", "says nothing of the certificate")),
        Some(Some(KnownBy::Thumbprint(text))) => {
            RequiredCertificate::by_thumbprint(&text).map(Some)
        }
        Some(Some(KnownBy::Issued(issued))) => {
            RequiredCertificate::by_subject(&issued.subject, &issued.ca_pem).map(Some)
        }
    }
}

pub(super) fn lifetimes(message: Option<TokenLifetimes>) -> Lifetimes {
    let message = message.unwrap_or_default();
    let seconds = |value: u32| Some(value).filter(|value| *value > 0);
    Lifetimes {
        client: seconds(message.client_s),
        subject: seconds(message.subject_s),
    }
}

pub(super) fn limits(message: Option<ClientLimits>) -> Limits {
    let message = message.unwrap_or_default();
    Limits {
        requests_per_second: NonZeroU32::new(message.requests_per_second),
        burst: NonZeroU32::new(message.burst),
        misses_per_minute: NonZeroU32::new(message.misses_per_minute),
        device_misses_per_minute: NonZeroU32::new(message.device_misses_per_minute),
    }
}

fn limits_message(limits: &Limits) -> ClientLimits {
    let number = |value: Option<NonZeroU32>| value.map_or(0, NonZeroU32::get);
    ClientLimits {
        requests_per_second: number(limits.requests_per_second),
        burst: number(limits.burst),
        misses_per_minute: number(limits.misses_per_minute),
        device_misses_per_minute: number(limits.device_misses_per_minute),
    }
}

/// Puts the fields that the mask names in place of the settings' own.
pub(super) fn change(
    settings: &mut Settings,
    new: ClientMessage,
    paths: &[String],
) -> Result<(), Error> {
    if paths.is_empty() {
        return Err(fault("update_mask", "names no field"));
    }
    for path in paths {
        match path.as_str() {
            "name" => settings.name.clone_from(&new.name),
            "site_ids" => settings.sites = sites(&new.site_ids)?,
            "scopes" => settings.scopes = scopes(&new.scopes)?,
            "permissions" => settings.permissions = permissions(&new.permissions)?,
            "jwks" => settings.keys = keys(&new.jwks)?,
            "certificate" => settings.certificate = certificate(new.certificate.clone())?,
            "lifetimes" => settings.lifetimes = lifetimes(new.lifetimes),
            "limits" => settings.limits = limits(new.limits),
            _ => return Err(fault("update_mask", "names a field that cannot be changed")),
        }
    }
    Ok(())
}

pub(super) fn secret(secret: &Secret) -> ClientSecret {
    ClientSecret {
        secret_id: secret.id.to_string(),
        created_at: Some(to_proto(secret.created_at)),
        expires_at: secret.expires_at.map(to_proto),
    }
}

pub(super) fn webhook_secret(secret: &WebhookSecret) -> WebhookSecretMessage {
    WebhookSecretMessage {
        secret_id: secret.id.to_string(),
        created_at: Some(to_proto(secret.created_at)),
        expires_at: secret.expires_at.map(to_proto),
    }
}

pub(super) fn client(client: Client) -> ClientMessage {
    let settings = client.settings;
    ClientMessage {
        client_id: client.id,
        partner_id: client.partner.to_string(),
        name: settings.name,
        site_ids: settings.sites.iter().map(Uuid::to_string).collect(),
        scopes: settings.scopes.iter().map(|s| s.as_str().into()).collect(),
        permissions: settings
            .permissions
            .iter()
            .map(|p| p.as_str().into())
            .collect(),
        disabled: client.disabled,
        created_at: Some(to_proto(client.created_at)),
        secrets: client.secrets.iter().map(secret).collect(),
        jwks: settings
            .keys
            .map_or_else(String::new, |keys| keys.json().to_owned()),
        certificate: settings.certificate.map(|certificate| ClientCertificate {
            known_by: Some(match certificate {
                RequiredCertificate::Thumbprint(thumbprint) => {
                    KnownBy::Thumbprint(URL_SAFE_NO_PAD.encode(thumbprint))
                }
                RequiredCertificate::Issued(issued) => KnownBy::Issued(IssuedCertificate {
                    subject: issued.subject,
                    ca_pem: issued.ca_pem,
                }),
            }),
        }),
        lifetimes: Some(TokenLifetimes {
            client_s: settings.lifetimes.client.unwrap_or(0),
            subject_s: settings.lifetimes.subject.unwrap_or(0),
        }),
        limits: Some(limits_message(&settings.limits)),
        webhook_secrets: client.webhook_secrets.iter().map(webhook_secret).collect(),
    }
}

fn parse_all<T: PartialEq>(
    field: &'static str,
    detail: &'static str,
    texts: &[String],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Error> {
    let mut values = Vec::with_capacity(texts.len());
    for text in texts {
        let value = parse(text).ok_or_else(|| fault(field, detail))?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}
