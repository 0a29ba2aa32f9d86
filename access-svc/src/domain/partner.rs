//! A partner and how we reach it.

use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::syntax::check_name;
use crate::error::Error;

const DOOR_PATH: &str = "/v1/doors/{device_id}/open";
const BARRIER_PATH: &str = "/v1/barriers/{device_id}/open";

#[derive(Clone, Debug)]
pub(crate) struct Partner {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) token_url: String,
    pub(crate) api_base: String,
    pub(crate) door_path: String,
    pub(crate) barrier_path: String,
    pub(crate) minimal: bool,
    pub(crate) ca_pem: String,
    pub(crate) settings_version: i64,
}

/// One of our OAuth clients at the partner's.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) client_id: String,
    pub(crate) client_secret: Zeroizing<String>,
}

/// What is to change of a partner; none leaves as it is.
#[derive(Default)]
pub(crate) struct PartnerChange {
    pub(crate) name: Option<String>,
    pub(crate) token_url: Option<String>,
    pub(crate) api_base: Option<String>,
    pub(crate) door_path: Option<String>,
    pub(crate) barrier_path: Option<String>,
    pub(crate) minimal: Option<bool>,
    pub(crate) ca_pem: Option<String>,
    pub(crate) intercom: Option<Credentials>,
    pub(crate) barrier: Option<Credentials>,
}

impl Partner {
    /// As it is from the next command on; our clients there are looked at for themselves.
    pub(crate) fn changed(self, change: &PartnerChange) -> Result<Self, Error> {
        let text = |old: String, new: &Option<String>| new.clone().unwrap_or(old);
        Self {
            id: self.id,
            name: text(self.name, &change.name),
            token_url: text(self.token_url, &change.token_url),
            api_base: text(self.api_base, &change.api_base),
            door_path: text(self.door_path, &change.door_path),
            barrier_path: text(self.barrier_path, &change.barrier_path),
            minimal: change.minimal.unwrap_or(self.minimal),
            ca_pem: text(self.ca_pem, &change.ca_pem),
            settings_version: self.settings_version + 1,
        }
        .complete()
    }

    /// Fills in the paths left out and checks the rest.
    pub(crate) fn complete(mut self) -> Result<Self, Error> {
        check_name("name", &self.name, 100)?;
        check_url("token_url", &self.token_url)?;
        check_url("api_base", &self.api_base)?;
        if self.api_base.ends_with('/') {
            return Err(fault("api_base", "must not end with a slash"));
        }
        for (field, path, default) in [
            ("door_path", &mut self.door_path, DOOR_PATH),
            ("barrier_path", &mut self.barrier_path, BARRIER_PATH),
        ] {
            if path.is_empty() {
                *path = default.into();
            }
            if !path.starts_with('/') || path.matches("{device_id}").count() != 1 {
                return Err(fault(
                    field,
                    "must begin with a slash and hold {device_id} once",
                ));
            }
        }
        Ok(self)
    }
}

impl Credentials {
    pub(crate) fn check(&self, field: &'static str) -> Result<(), Error> {
        if self.client_id.is_empty() || self.client_secret.is_empty() {
            return Err(fault(field, "needs a client_id and a client_secret"));
        }
        Ok(())
    }
}

fn check_url(field: &'static str, text: &str) -> Result<(), Error> {
    let url = Url::parse(text).map_err(|_| fault(field, "is not a URL"))?;
    if url.scheme() != "https" {
        return Err(fault(field, "must be https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fault(field, "must not hold credentials"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(fault(field, "must not hold a query or a fragment"));
    }
    Ok(())
}

fn fault(field: &'static str, detail: &'static str) -> Error {
    Error::InvalidField { field, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partner() -> Partner {
        Partner {
            id: Uuid::nil(),
            name: "p".into(),
            token_url: "https://auth.example/token".into(),
            api_base: "https://gate.example".into(),
            door_path: String::new(),
            barrier_path: "/b/{device_id}".into(),
            minimal: false,
            ca_pem: String::new(),
            settings_version: 1,
        }
    }

    #[test]
    fn paths_left_out_are_filled_in() {
        let partner = partner().complete().expect("a partner");
        assert_eq!(partner.door_path, DOOR_PATH);
        assert_eq!(partner.barrier_path, "/b/{device_id}");
    }

    #[test]
    fn what_is_left_out_of_a_change_stays() {
        let change = PartnerChange {
            api_base: Some("https://gate-2.example".into()),
            barrier_path: Some(String::new()),
            ..PartnerChange::default()
        };
        let changed = partner().changed(&change).expect("a partner");
        assert_eq!(changed.api_base, "https://gate-2.example");
        assert_eq!(changed.barrier_path, BARRIER_PATH);
        assert_eq!(changed.token_url, partner().token_url);
        assert_eq!(changed.settings_version, 2);
        let wrong = PartnerChange {
            token_url: Some("http://auth.example".into()),
            ..PartnerChange::default()
        };
        assert!(partner().changed(&wrong).is_err());
    }

    #[test]
    fn urls_that_would_leak_or_wander_are_refused() {
        for url in [
            "http://gate.example",
            "https://u:p@gate.example",
            "https://gate.example?x=1",
            "ftp://x",
            "",
        ] {
            let wrong = Partner {
                token_url: url.into(),
                ..partner()
            };
            assert!(wrong.complete().is_err(), "{url}");
        }
        assert!(
            Partner {
                api_base: "https://gate.example/".into(),
                ..partner()
            }
            .complete()
            .is_err()
        );
        assert!(
            Partner {
                door_path: "/x".into(),
                ..partner()
            }
            .complete()
            .is_err()
        );
    }
}
