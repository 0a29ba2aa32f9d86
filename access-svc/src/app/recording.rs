//! Openings by key and fob, of many calls in one transaction: a question to the
//! database, and a commit, cost nearly the same for many as for one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures::FutureExt;
use jiff::Timestamp;
use mesh::{Clock, context::CallContext, gather::Gatherer};
use uuid::Uuid;

use crate::{
    domain::{
        device::{Device, DeviceKind},
        event::{CredentialKind, CredentialOpening, Event},
    },
    error::Error,
    store::{
        Holding, MonthKey, NewEvent, Resident, ResidentKey, Sealer, Sought, Store, each_for_itself,
    },
};

/// While one group is written down, the next asks its questions.
const GROUPS: usize = 2;
const TOGETHER: usize = 64;
/// What an event counts among a group's bytes, so that a group has at most
/// 2,048: a statement's parameters are limited.
const EVENT: usize = 512;

/// How many of a call's events were new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) accepted: u32,
    pub(crate) duplicates: u32,
}

impl Recorded {
    pub(super) fn of(total: usize, new: u64) -> Self {
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        let accepted = u32::try_from(new).unwrap_or(u32::MAX).min(total);
        Self {
            accepted,
            duplicates: total - accepted,
        }
    }
}

/// What one call of a client tells, who has been let in.
pub(super) struct Call {
    pub(super) partner: Uuid,
    pub(super) sites: Vec<Uuid>,
    pub(super) kind: CredentialKind,
    pub(super) events: Vec<CredentialOpening>,
    /// The audit log names each call's own request.
    pub(super) context: Option<CallContext>,
}

impl Call {
    fn device_kind(&self) -> DeviceKind {
        match self.kind {
            CredentialKind::Key => DeviceKind::Door,
            CredentialKind::Fob => DeviceKind::Barrier,
        }
    }
}

pub(crate) struct Recorder(Gatherer<Call, Result<Recorded, Error>>);

pub(crate) fn recorder(store: Store, clock: Arc<dyn Clock>) -> Recorder {
    let size = |call: &Call| call.events.len() * EVENT;
    let work = move |calls: Vec<Call>| {
        let (store, now) = (store.clone(), clock.now());
        let all = move |calls: Vec<Arc<Call>>| {
            let store = store.clone();
            async move { record(&store, &calls, now).await }
        };
        each_for_itself(calls, all).boxed()
    };
    Recorder(Gatherer::start_sized(GROUPS, TOGETHER, size, work))
}

impl Recorder {
    pub(super) async fn record(&self, call: Call) -> Result<Recorded, Error> {
        let recorded = self.0.submit(call).await;
        recorded.unwrap_or(Err(Error::GivenUp))
    }
}

/// All of these calls, or none.
async fn record(
    store: &Store,
    calls: &[Arc<Call>],
    now: Timestamp,
) -> Result<Vec<Recorded>, Error> {
    let devices = store.devices_by_id(devices_named(calls)).await?;
    let sought: Vec<(Sought, &[Uuid])> = calls
        .iter()
        .flat_map(|call| call.events.iter().map(move |event| (call, event)))
        .map(|(call, event)| {
            let sought = Sought::credential(call.partner, call.kind, &event.credential_id);
            (sought, call.sites.as_slice())
        })
        .collect();
    let holdings = store.credential_holdings(&sought).await?;
    let residents: HashSet<Uuid> = holdings.iter().flatten().map(|h| h.resident).collect();
    let known = Known {
        devices: devices
            .iter()
            .map(|device| ((device.partner, device.id.as_str()), device))
            .collect(),
        holders: store
            .residents_with_keys(residents.into_iter().collect())
            .await?,
        month: store.month_key(now).await?,
        now,
    };
    let mut holdings = holdings.iter();
    let mut events = Vec::with_capacity(calls.len());
    for call in calls {
        let told = call.events.iter().zip(holdings.by_ref());
        let of_call = async {
            told.map(|(event, held)| known.event(store, call, event, held))
                .collect::<Result<Vec<NewEvent>, Error>>()
        };
        events.push(match &call.context {
            Some(context) => context.clone().scope(of_call).await?,
            None => of_call.await?,
        });
    }
    let new = store.insert_events(events).await?;
    Ok(calls
        .iter()
        .zip(new)
        .map(|(call, new)| Recorded::of(call.events.len(), new))
        .collect())
}

/// By their partners' ids.
fn devices_named(calls: &[Arc<Call>]) -> HashSet<(Uuid, String)> {
    let mut named = HashSet::new();
    for call in calls {
        let ids = call.events.iter().filter_map(|e| e.device_id.clone());
        named.extend(ids.map(|id| (call.partner, id)));
    }
    named
}

/// What the database knows of a group's events.
struct Known<'a> {
    devices: HashMap<(Uuid, &'a str), &'a Device>,
    holders: HashMap<Uuid, (Resident, ResidentKey)>,
    month: MonthKey,
    now: Timestamp,
}

impl Known<'_> {
    fn event(
        &self,
        store: &Store,
        call: &Call,
        told: &CredentialOpening,
        held: &[Holding],
    ) -> Result<NewEvent, Error> {
        // Who will hold it is nobody's business yet: a clock that is ahead counts as now.
        let at = told.opened_at.min(self.now);
        let holder = holder_at(held, at).and_then(|id| self.holders.get(&id));
        let event = Event {
            id: Uuid::now_v7(),
            kind: call.kind,
            partner: call.partner,
            device_known: told
                .device_id
                .as_ref()
                .is_some_and(|id| self.is_known(call, id)),
            device_id: told.device_id.clone(),
            holder: holder.map(|(resident, _)| resident.audit_pseudonym),
            opened_at: told.opened_at,
            received_at: self.now,
        };
        let sealer = holder.map_or(Sealer::Month(&self.month), |(_, key)| Sealer::Resident(key));
        store.new_event(event, told, holder.map(|(resident, _)| resident.id), sealer)
    }

    /// Whether this is a device of the client, and of the kind that such a
    /// credential opens.
    fn is_known(&self, call: &Call, id: &str) -> bool {
        self.devices.get(&(call.partner, id)).is_some_and(|device| {
            device.kind == call.device_kind() && call.sites.contains(&device.site)
        })
    }
}

/// Who held it then: an event that comes late finds the holder of its time.
fn holder_at(holdings: &[Holding], at: Timestamp) -> Option<Uuid> {
    holdings
        .iter()
        .find(|holding| holding.held.is_at(at))
        .map(|holding| holding.resident)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{etag::Version, event::HoldingKind, holding::Held};

    #[test]
    fn a_late_event_finds_the_holder_of_its_time() {
        let at = |text: &str| -> Timestamp { text.parse().expect("a time") };
        let holding = |resident: u128, from: &str, to: Option<&str>| Holding {
            id: Uuid::nil(),
            resident: Uuid::from_u128(resident),
            kind: HoldingKind::Key,
            held: Held {
                from: at(from),
                to: to.map(at),
            },
            version: Version::FIRST,
        };
        let holdings = [
            holding(1, "2026-01-01T00:00:00Z", Some("2026-06-01T00:00:00Z")),
            holding(2, "2026-06-01T00:00:00Z", None),
        ];
        let holder = |time| holder_at(&holdings, at(time));
        assert_eq!(holder("2026-05-31T23:59:59Z"), Some(Uuid::from_u128(1)));
        assert_eq!(holder("2026-06-01T00:00:00Z"), Some(Uuid::from_u128(2)));
        assert_eq!(holder("2025-12-31T23:59:59Z"), None);
    }
}
