//! What rows refer to, by UUID or by an external id, looked up for all of them at once.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::{
    domain::{
        external_id::{ExternalId, Object},
        import::{At, Faults},
    },
    error::Error,
    store::{DeviceAt, Store},
};

pub(super) struct References<'a> {
    store: &'a Store,
}

/// What each text of a column names, with what has to be known of it.
pub(super) struct Found<T>(HashMap<String, (Uuid, T)>);

impl<T> Found<T> {
    /// None, and a fault, where the text names nothing.
    pub(super) fn get(
        &self,
        text: &str,
        at: At,
        field: &'static str,
        faults: &mut Faults,
    ) -> Option<(Uuid, &T)> {
        if text.is_empty() {
            faults.add(at, field, "is required");
            return None;
        }
        let Some((id, known)) = self.0.get(text) else {
            faults.add(at, field, "names nothing that is registered");
            return None;
        };
        Some((*id, known))
    }

    /// As [`Self::get`], where nothing may be named.
    pub(super) fn get_optional(
        &self,
        text: &str,
        at: At,
        field: &'static str,
        faults: &mut Faults,
    ) -> Option<(Uuid, &T)> {
        if text.is_empty() {
            return None;
        }
        self.get(text, at, field, faults)
    }
}

/// What each text may mean, the likelier first.
struct Meanings<'t> {
    texts: Vec<(&'t str, Vec<Uuid>)>,
}

impl Meanings<'_> {
    fn ids(&self) -> Vec<Uuid> {
        let all = self.texts.iter().flat_map(|(_, ids)| ids.iter().copied());
        let once: HashSet<Uuid> = all.collect();
        once.into_iter().collect()
    }

    fn found<T: Clone>(&self, there: &HashMap<Uuid, T>) -> Found<T> {
        let first = |ids: &[Uuid]| {
            ids.iter()
                .find_map(|id| Some((*id, there.get(id)?.clone())))
        };
        Found(
            self.texts
                .iter()
                .filter_map(|(text, ids)| Some(((*text).to_owned(), first(ids)?)))
                .collect(),
        )
    }
}

impl<'a> References<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// A system's external ids may look like UUIDs: both are tried.
    async fn meanings<'t>(
        &self,
        object: Object,
        system: &str,
        texts: Vec<&'t str>,
    ) -> Result<Meanings<'t>, Error> {
        let once: HashSet<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        let texts: Vec<&str> = once.into_iter().collect();
        let mut external = Vec::new();
        let mut asked = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            if let Ok(id) = ExternalId::new(system.to_owned(), (*text).to_owned()) {
                asked.push(place);
                external.push(id);
            }
        }
        let mut meant: Vec<Vec<Uuid>> = texts
            .iter()
            .map(|text| Uuid::try_parse(text).into_iter().collect())
            .collect();
        let resolved = self.store.resolve(object, &external).await?;
        for (place, id) in asked.into_iter().zip(resolved) {
            meant[place].extend(id);
        }
        Ok(Meanings {
            texts: texts.into_iter().zip(meant).collect(),
        })
    }

    pub(super) async fn sites(&self, system: &str, texts: Vec<&str>) -> Result<Found<()>, Error> {
        let meanings = self.meanings(Object::Site, system, texts).await?;
        let there = self.store.sites_among(meanings.ids()).await?;
        let there = there.into_iter().map(|id| (id, ())).collect();
        Ok(meanings.found(&there))
    }

    /// Each with its site.
    pub(super) async fn buildings(
        &self,
        system: &str,
        texts: Vec<&str>,
    ) -> Result<Found<Uuid>, Error> {
        let meanings = self.meanings(Object::Building, system, texts).await?;
        let there = self.store.buildings_among(meanings.ids()).await?;
        Ok(meanings.found(&there))
    }

    /// Each with its site.
    pub(super) async fn entrances(
        &self,
        system: &str,
        texts: Vec<&str>,
    ) -> Result<Found<Uuid>, Error> {
        let meanings = self.meanings(Object::Entrance, system, texts).await?;
        let there = self.store.entrances_among(meanings.ids()).await?;
        Ok(meanings.found(&there))
    }

    /// By external id or `<partner's UUID>/<device id>`.
    pub(super) async fn devices(
        &self,
        system: &str,
        texts: Vec<&str>,
    ) -> Result<Found<DeviceAt>, Error> {
        let meanings = self.meanings(Object::Device, system, texts).await?;
        let names: Vec<(Uuid, String)> = meanings
            .texts
            .iter()
            .filter_map(|(text, _)| device_name(text))
            .collect();
        let named = self.store.devices_named(&names).await?;
        let uids: HashSet<Uuid> = meanings
            .texts
            .iter()
            .filter_map(|(text, ids)| external(text, ids))
            .collect();
        let there = self.store.devices_among(uids.into_iter().collect()).await?;
        let mut found = HashMap::new();
        for (text, ids) in &meanings.texts {
            let by_name = device_name(text).and_then(|name| named.get(&name));
            let device = by_name.or_else(|| there.get(&external(text, ids)?));
            if let Some(device) = device {
                found.insert((*text).to_owned(), (device.uid, device.clone()));
            }
        }
        Ok(Found(found))
    }

    /// Each with its site.
    pub(super) async fn device_groups(
        &self,
        system: &str,
        texts: Vec<&str>,
    ) -> Result<Found<Uuid>, Error> {
        let meanings = self.meanings(Object::DeviceGroup, system, texts).await?;
        let there = self.store.device_groups_among(meanings.ids()).await?;
        Ok(meanings.found(&there))
    }

    /// Each with its site.
    pub(super) async fn households(
        &self,
        system: &str,
        texts: Vec<&str>,
    ) -> Result<Found<Uuid>, Error> {
        let meanings = self.meanings(Object::Household, system, texts).await?;
        let there = self.store.households_among(meanings.ids()).await?;
        Ok(meanings.found(&there))
    }

    /// Each with the name in logs.
    pub(super) async fn residents(
        &self,
        system: &str,
        texts: Vec<&str>,
        now: i64,
    ) -> Result<Found<Uuid>, Error> {
        let meanings = self.meanings(Object::Resident, system, texts).await?;
        let there = self.store.residents_among(meanings.ids(), now).await?;
        Ok(meanings.found(&there))
    }
}

/// Our id of a device is nobody's to name it by.
fn external(text: &str, ids: &[Uuid]) -> Option<Uuid> {
    let own = Uuid::try_parse(text).ok();
    ids.iter().copied().find(|id| Some(*id) != own)
}

fn device_name(text: &str) -> Option<(Uuid, String)> {
    let (partner, id) = text.split_once('/')?;
    Some((Uuid::try_parse(partner).ok()?, id.to_owned()))
}
