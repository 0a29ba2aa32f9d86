//! How a partner misbehaves when it is told to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest that a call is left hanging.
pub(crate) const HANG: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    Ok,
    /// Takes the call at once and answers after a delay.
    Slow,
    /// 503.
    Down,
    /// 403 with a problem.
    Refuse,
    /// The next call is answered 401 and every token is void.
    UnauthorizedOnce,
    /// Takes the call and never answers.
    Hang,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Behaviour {
    /// Of the gateway.
    pub(crate) mode: Mode,
    /// The one partner whose gateway it is; none is all of them.
    pub(crate) partner: Option<String>,
    /// Of the token endpoint.
    pub(crate) token_mode: Mode,
    pub(crate) delay_ms: u64,
}

impl Behaviour {
    /// Of the gateway of the partner who was recognised by its token.
    pub(crate) fn mode_of(&self, partner: Option<&str>) -> Mode {
        if self.partner.is_none() || self.partner.as_deref() == partner {
            self.mode
        } else {
            Mode::Ok
        }
    }
}
