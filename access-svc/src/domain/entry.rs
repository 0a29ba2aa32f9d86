//! What the audit log says of a decision, an outcome, an event; and what leads
//! from an entry to a person, which it does not say.

use audit_log::{Entry, Kind, entry::code};
use jiff::Timestamp;
use mesh::context::CallContext;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    device::Means,
    event::{CommandResult, CredentialKind, Event},
    opening::{CommandStatus, Opening},
    plate::{Difference, Plate},
};

/// Who is behind what no call asked for.
const OURSELVES: &str = "svc/access-svc";

/// What leads from an entry to a person, such as a key, a plate or a home: kept beside it, sealed.
pub(crate) enum Link {
    Household(Uuid),
    Credential(CredentialKind, Zeroizing<String>),
    Plate {
        country: String,
        number: Zeroizing<String>,
    },
}

impl Link {
    pub(crate) fn plate(plate: &Plate) -> Self {
        Self::Plate {
            country: plate.country().to_owned(),
            number: Zeroizing::new(plate.canonical().to_owned()),
        }
    }

    /// The kind, then what was held; neither holds a NUL.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let household;
        let parts = match self {
            Self::Household(id) => {
                household = id.to_string();
                ["household", "", household.as_str()]
            }
            Self::Credential(CredentialKind::Key, id) => ["key", "", id.as_str()],
            Self::Credential(CredentialKind::Fob, id) => ["fob", "", id.as_str()],
            Self::Plate { country, number } => ["plate", country.as_str(), number.as_str()],
        };
        // The exact size: growing would leave a copy behind that is not wiped.
        let size = parts.iter().map(|part| part.len()).sum::<usize>() + 2;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                bytes.push(0);
            }
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(bytes).ok()?.splitn(3, '\0');
        let (kind, country, held) = (parts.next()?, parts.next()?, parts.next()?);
        let held = Zeroizing::new(held.to_owned());
        match kind {
            "household" => Uuid::try_parse(&held).ok().map(Self::Household),
            "key" => Some(Self::Credential(CredentialKind::Key, held)),
            "fob" => Some(Self::Credential(CredentialKind::Fob, held)),
            "plate" => Some(Self::Plate {
                country: country.to_owned(),
                number: held,
            }),
            _ => None,
        }
    }
}

/// With the request that it is of.
pub(crate) fn in_call(entry: Entry) -> Entry {
    Entry {
        request: CallContext::current().map(|call| call.request_id),
        ..entry
    }
}

/// What a caller did, or this service by itself.
pub(crate) fn act(kind: Kind, code: &str, at: Timestamp) -> Entry {
    let caller = CallContext::current().and_then(|call| call.caller);
    in_call(Entry {
        actor: Some(caller.map_or_else(|| OURSELVES.to_owned(), |caller| caller.to_string())),
        ..Entry::new(kind, code, at)
    })
}

pub(crate) fn decision(opening: &Opening) -> Entry {
    let code = opening.denial_code.as_deref().unwrap_or("granted");
    let checks = opening.checks.iter();
    in_call(Entry {
        client: Some(opening.client_id.clone()),
        means: Some(opening.means.as_str().to_owned()),
        who: opening.audit_pseudonym,
        checks: checks
            .map(|check| (check.name.clone(), check.passed))
            .collect(),
        ..of_opening(
            Entry::new(Kind::Decision, code, opening.decided_at),
            opening,
        )
    })
}

pub(crate) fn outcome(opening: &Opening, status: CommandStatus, at: Timestamp) -> Entry {
    in_call(of_opening(
        Entry::new(Kind::Outcome, status.as_str(), at),
        opening,
    ))
}

/// That the plate of an opening's decision may have been another.
pub(crate) fn near_miss(opening: &Opening, at: Timestamp) -> Entry {
    in_call(Entry {
        client: Some(opening.client_id.clone()),
        means: Some(opening.means.as_str().to_owned()),
        ..of_opening(Entry::new(Kind::Suggestion, code::NEAR_MISS, at), opening)
    })
}

/// The same of a request for a token, which the request's id leads to.
pub(crate) fn near_miss_of_token(
    partner: Uuid,
    client: &str,
    device: Option<&str>,
    at: Timestamp,
) -> Entry {
    in_call(Entry {
        partner: Some(partner),
        client: Some(client.to_owned()),
        device: device.map(str::to_owned),
        means: Some(Means::Plate.as_str().to_owned()),
        ..Entry::new(Kind::Suggestion, code::NEAR_MISS, at)
    })
}

/// Whose plate it may have been, and how the one that was read differs.
pub(crate) fn suggesting(entry: Entry, who: Uuid, difference: Difference) -> Entry {
    Entry {
        who: Some(who),
        differs: Some(difference.as_str().to_owned()),
        ..entry
    }
}

fn of_opening(entry: Entry, opening: &Opening) -> Entry {
    Entry {
        opening: Some(opening.id),
        command: opening.command.as_ref().map(|command| command.id),
        partner: Some(opening.partner),
        site: Some(opening.site),
        device: Some(opening.device_id.clone()),
        ..entry
    }
}

pub(crate) fn confirmation(partner: Uuid, result: &CommandResult, at: Timestamp) -> Entry {
    let code = if result.opened { "opened" } else { "failed" };
    in_call(Entry {
        opening: Some(result.opening_id),
        command: Some(result.command_id),
        partner: Some(partner),
        happened_at: Some(result.at),
        ..Entry::new(Kind::Confirmation, code, at)
    })
}

pub(crate) fn event(event: &Event) -> Entry {
    let (means, code) = match event.kind {
        CredentialKind::Key => ("key", "key_opened"),
        CredentialKind::Fob => ("fob", "fob_opened"),
    };
    in_call(Entry {
        partner: Some(event.partner),
        device: event.device_id.clone(),
        means: Some(means.to_owned()),
        who: event.holder,
        happened_at: Some(event.opened_at),
        subject: Some(event.id.to_string()),
        ..Entry::new(Kind::Event, code, event.received_at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(link: &Link) -> String {
        match Link::from_bytes(&link.to_bytes()).expect("a link") {
            Link::Household(id) => format!("household {id}"),
            Link::Credential(CredentialKind::Key, id) => format!("key {}", *id),
            Link::Credential(CredentialKind::Fob, id) => format!("fob {}", *id),
            Link::Plate { country, number } => format!("{country} {}", *number),
        }
    }

    #[test]
    fn a_link_comes_back_from_its_bytes() {
        let id = || Zeroizing::new("a:1".to_owned());
        assert_eq!(
            back(&Link::Credential(CredentialKind::Key, id())),
            "key a:1"
        );
        assert_eq!(
            back(&Link::Credential(CredentialKind::Fob, id())),
            "fob a:1"
        );
        let plate = Plate::parse("a123bc 77", "").expect("a plate");
        assert_eq!(back(&Link::plate(&plate)), "RU A123BC77");
        let home = Link::Household(Uuid::nil());
        assert_eq!(back(&home), format!("household {}", Uuid::nil()));
        for wrong in [
            &b""[..],
            b"household\0\0x",
            b"key",
            b"key\0x",
            b"name\0\0x",
            b"\xff\0\0",
        ] {
            assert!(Link::from_bytes(wrong).is_none());
        }
    }

    #[test]
    fn what_no_call_asked_for_is_this_services_own_doing() {
        let at = "2026-11-24T06:00:00Z".parse().expect("a time");
        let entry = act(Kind::Act, "done", at);
        assert_eq!(entry.actor.as_deref(), Some("svc/access-svc"));
        assert_eq!(entry.request, None);
    }

    #[tokio::test]
    async fn what_a_call_asked_for_names_its_caller_and_request() {
        let at = "2026-11-24T06:00:00Z".parse().expect("a time");
        let caller = "operator/operator/olga".parse().expect("a caller");
        let call = CallContext::new(std::time::Duration::from_secs(1), "r1".into());
        let entry = call
            .made_by(caller)
            .scope(async { act(Kind::Act, "done", at) })
            .await;
        assert_eq!(entry.actor.as_deref(), Some("operator/operator/olga"));
        assert_eq!(entry.request.as_deref(), Some("r1"));
    }
}
