//! Guests of households.

use audit_log::Entry;
use jiff::Timestamp;
use mesh::fault;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::App;
use crate::{
    SERVICE,
    domain::{
        erasure::{Order, Reason, Step},
        etag::{IfMatch, Version},
        guest::{check_end, check_guest_name, check_rights},
        plate::Plate,
        schedule::Window,
    },
    error::{Error, Noun},
    store::{Guest, GuestRight, NewGuest, Page, Resident, Target, Whom},
};

/// Guests whose erasure is begun in one go.
const AT_ONCE: u64 = 200;

/// Who is to come, and what for.
pub(crate) struct Invitation {
    pub(crate) household: Uuid,
    pub(crate) name: Zeroizing<String>,
    pub(crate) ends_at: Timestamp,
    pub(crate) plate: Option<Plate>,
    pub(crate) targets: Vec<Target>,
    pub(crate) windows: Vec<Window>,
}

impl App {
    /// The guest, and the ids of the grants in the order of the targets.
    pub(crate) async fn create_guest(
        &self,
        invited: Invitation,
    ) -> Result<(Guest, Vec<Uuid>), Error> {
        let now = self.parts.clock.now();
        check_guest_name(&invited.name)?;
        check_end(invited.ends_at, now)?;
        check_rights(invited.targets.len(), &invited.windows)?;
        let resident = Resident {
            id: Uuid::now_v7(),
            // Random: neither says when the other was made.
            subject: Uuid::new_v4(),
            audit_pseudonym: Uuid::new_v4(),
            suspended: false,
            host: Some(invited.household),
            guest_until: Some(invited.ends_at),
            version: Version::FIRST,
        };
        let told = |code, subject: Option<Uuid>| Entry {
            who: Some(resident.audit_pseudonym),
            subject: subject.map(|id| id.to_string()),
            ..self.act(code)
        };
        let rights: Vec<GuestRight> = invited
            .targets
            .into_iter()
            .map(|target| {
                let grant = Uuid::now_v7();
                GuestRight {
                    grant,
                    target,
                    telling: told("grant_created", Some(grant)),
                }
            })
            .collect();
        let grants = rights.iter().map(|right| right.grant).collect();
        let vehicle = invited.plate;
        let new = NewGuest {
            resident: resident.clone(),
            household: invited.household,
            ends_at: invited.ends_at,
            name: invited.name,
            vehicle: vehicle.map(|plate| (plate, told("vehicle_added", None))),
            rights,
            windows: invited.windows,
        };
        let telling = told("guest_created", None);
        self.parts.store.insert_guest(new, now, telling).await?;
        let guest = Guest {
            resident,
            name: None,
        };
        Ok((guest, grants))
    }

    pub(crate) async fn guest(&self, id: Uuid, with_name: bool) -> Result<Guest, Error> {
        let now = self.parts.clock.now();
        let guest = self.parts.store.guest(id, now, with_name).await?;
        guest.ok_or(Error::NotFound(Noun::Guest))
    }

    pub(crate) async fn list_guests(
        &self,
        household: Option<Uuid>,
        page: Page,
        with_names: bool,
    ) -> Result<Vec<Guest>, Error> {
        let now = self.parts.clock.now();
        self.parts
            .store
            .list_guests(household, page, now, with_names)
            .await
    }

    pub(crate) async fn extend_guest(
        &self,
        id: Uuid,
        if_match: IfMatch,
        ends_at: Timestamp,
    ) -> Result<(), Error> {
        let now = self.parts.clock.now();
        check_end(ends_at, now)?;
        let telling = self.act("guest_extended");
        self.parts
            .store
            .extend_guest(id, if_match, ends_at, now, telling)
            .await
    }

    /// One who has ended, or is erased already, stays so.
    pub(crate) async fn end_guest(&self, id: Uuid, requested_by: String) -> Result<(), Error> {
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        let ended = store.end_guest(id, now, self.act("guest_ended")).await?;
        if !ended {
            if store.erasure(Whom::Resident(id)).await?.is_some() {
                return Ok(());
            }
            let resident = store.resident(id).await?;
            if resident.is_none_or(|resident| resident.host.is_none()) {
                return Err(Error::NotFound(Noun::Guest));
            }
        }
        self.begin_guests_erasure(id, requested_by, now).await
    }

    /// The rest of their erasures follows with all others. One that fails does not hold up the
    /// others.
    pub(super) async fn erase_ended_guests(&self) -> Result<(), Error> {
        let now = self.parts.clock.now();
        let mut outcome = Ok(());
        for guest in self.parts.store.ended_guests(now, AT_ONCE).await? {
            let ourselves = format!("svc/{SERVICE}");
            let begun = self.begin_guests_erasure(guest, ourselves, now).await;
            outcome = begun.and(outcome);
        }
        outcome
    }

    async fn begin_guests_erasure(
        &self,
        guest: Uuid,
        requested_by: String,
        now: Timestamp,
    ) -> Result<(), Error> {
        let order = Order {
            reason: Reason::RetentionEnded,
            requested_by,
        };
        let store = &self.parts.store;
        let begun = store.begin_guests_erasure(guest, order, now).await?;
        if begun.is_some() {
            fault::point(Step::Rights.fault_point());
        }
        Ok(())
    }
}
