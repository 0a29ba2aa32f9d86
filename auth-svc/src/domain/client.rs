//! An OAuth client of a partner.

use jiff::Timestamp;
use uuid::Uuid;

use super::scope::{Permission, Scope};
use crate::error::Error;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) partner: Uuid,
    pub(crate) name: String,
    pub(crate) sites: Vec<Uuid>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) disabled: bool,
    pub(crate) created_at: Timestamp,
}

/// What an operator registers.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) partner: Uuid,
    pub(crate) name: String,
    pub(crate) sites: Vec<Uuid>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) permissions: Vec<Permission>,
}

impl Registration {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let fault = |field, detail| Err(Error::InvalidField { field, detail });
        if !(1..=100).contains(&self.name.chars().count()) {
            return fault("name", "must have 1 to 100 characters");
        }
        if self.name.chars().any(char::is_control) {
            return fault("name", "must not hold control characters");
        }
        if !(1..=1_000).contains(&self.sites.len()) {
            return fault("site_ids", "must name 1 to 1,000 sites");
        }
        if self.scopes.is_empty() {
            return fault("scopes", "must name at least one");
        }
        Ok(())
    }
}
