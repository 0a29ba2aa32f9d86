//! Rows of clients and their secrets, and what they mean.

use std::num::NonZeroU32;

use mesh::clock::from_micros;
use sea_orm::ActiveValue::{NotSet, Set};
use uuid::Uuid;

use super::entity::{client, client_secret, webhook_secret};
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

pub(super) fn settings_row(settings: &Settings) -> client::ActiveModel {
    // At most 100,000 and 3,600: both fit.
    let number = |value: Option<NonZeroU32>| Set(value.map(|value| value.get() as i32));
    let seconds = |value: Option<u32>| Set(value.map(|value| value as i32));
    let (thumbprint, issued) = match &settings.certificate {
        Some(RequiredCertificate::Thumbprint(thumbprint)) => (Some(thumbprint.to_vec()), None),
        Some(RequiredCertificate::Issued(issued)) => (None, Some(issued)),
        None => (None, None),
    };
    client::ActiveModel {
        client_id: NotSet,
        partner_id: NotSet,
        disabled: NotSet,
        created_at: NotSet,
        name: Set(settings.name.clone()),
        sites: Set(join(settings.sites.iter())),
        scopes: Set(join(settings.scopes.iter().map(|s| s.as_str()))),
        permissions: Set(join(settings.permissions.iter().map(|p| p.as_str()))),
        jwks: Set(settings.keys.as_ref().map(|keys| keys.json().to_owned())),
        certificate_thumbprint: Set(thumbprint),
        certificate_subject: Set(issued.map(|issued| issued.subject.clone())),
        certificate_ca: Set(issued.map(|issued| issued.ca_pem.clone())),
        client_lifetime_s: seconds(settings.lifetimes.client),
        subject_lifetime_s: seconds(settings.lifetimes.subject),
        requests_per_second: number(settings.limits.requests_per_second),
        burst: number(settings.limits.burst),
        misses_per_minute: number(settings.limits.misses_per_minute),
        device_misses_per_minute: number(settings.limits.device_misses_per_minute),
    }
}

pub(super) fn read(
    row: client::Model,
    secrets: Vec<Secret>,
    webhook_secrets: Vec<WebhookSecret>,
) -> Result<Client, Error> {
    let unsigned = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    let number = |value| unsigned(value).and_then(NonZeroU32::new);
    let thumbprint = row.certificate_thumbprint.map(|bytes| {
        let thumbprint = bytes.try_into().map_err(|_| Error::Corrupt("client"))?;
        Ok::<_, Error>(RequiredCertificate::Thumbprint(thumbprint))
    });
    let certificate = match (thumbprint, row.certificate_subject, row.certificate_ca) {
        (Some(thumbprint), ..) => Some(thumbprint?),
        (None, Some(subject), Some(ca)) => Some(RequiredCertificate::by_subject(&subject, &ca)?),
        _ => None,
    };
    Ok(Client {
        id: row.client_id,
        partner: row.partner_id,
        settings: Settings {
            name: row.name,
            sites: split(&row.sites, |id| Uuid::try_parse(id).ok()),
            scopes: split(&row.scopes, Scope::parse),
            permissions: split(&row.permissions, Permission::parse),
            keys: row.jwks.as_deref().map(ClientKeys::parse).transpose()?,
            certificate,
            lifetimes: Lifetimes {
                client: unsigned(row.client_lifetime_s),
                subject: unsigned(row.subject_lifetime_s),
            },
            limits: Limits {
                requests_per_second: number(row.requests_per_second),
                burst: number(row.burst),
                misses_per_minute: number(row.misses_per_minute),
                device_misses_per_minute: number(row.device_misses_per_minute),
            },
        },
        secrets,
        webhook_secrets,
        disabled: row.disabled,
        created_at: from_micros(row.created_at),
    })
}

impl From<client_secret::Model> for Secret {
    fn from(row: client_secret::Model) -> Self {
        Self {
            id: row.id,
            hash: row.hash,
            created_at: from_micros(row.created_at),
            expires_at: row.expires_at.map(from_micros),
        }
    }
}

impl From<&webhook_secret::Model> for WebhookSecret {
    fn from(row: &webhook_secret::Model) -> Self {
        Self {
            id: row.id,
            created_at: from_micros(row.created_at),
            expires_at: row.expires_at.map(from_micros),
        }
    }
}

fn join(values: impl Iterator<Item = impl ToString>) -> String {
    values.map(|v| v.to_string()).collect::<Vec<_>>().join(" ")
}

fn split<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    text.split(' ').filter_map(parse).collect()
}
