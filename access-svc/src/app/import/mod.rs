//! Many objects at once: all of them, or none.

mod people;
mod places;
mod references;
mod rights;

use jiff::Timestamp;
use mesh::Caller;
use propdev_proto::access::{ImportRow, import_row::Object as Row};
use references::References;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        external_id::{ExternalId, ExternalIds, Object},
        import::{At, Fault, Faults, Once},
    },
    error::Error,
    store::{NewObjects, ObjectId, Owner},
};

pub(crate) struct Import {
    /// Whose external ids the rows have and refer to; empty for none.
    pub(crate) system: String,
    pub(crate) validate_only: bool,
    pub(crate) caller: Caller,
    pub(crate) rows: Vec<ImportRow>,
}

pub(crate) struct Imported {
    pub(crate) objects: Vec<Uuid>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) faulty_rows: usize,
    pub(crate) imported: usize,
}

/// A row, whatever is wrong with it, and the other system's name of it.
struct Line<T> {
    at: At,
    external_ids: ExternalIds,
    row: T,
}

/// A column of the rows.
fn column<'l, T>(lines: &'l [Line<T>], text: impl Fn(&'l T) -> &'l str) -> Vec<&'l str> {
    lines.iter().map(|line| text(&line.row)).collect()
}

/// A column whose cells hold several texts.
fn columns<'l, T>(lines: &'l [Line<T>], texts: impl Fn(&'l T) -> &'l [String]) -> Vec<&'l str> {
    let all = lines.iter().flat_map(|line| texts(&line.row));
    all.map(String::as_str).collect()
}

/// What an import has come to.
struct Work {
    system: String,
    now: Timestamp,
    faults: Faults,
    new: NewObjects,
    /// In the order of the rows.
    objects: Vec<Uuid>,
}

impl App {
    pub(crate) async fn import(&self, import: Import) -> Result<Imported, Error> {
        let Import {
            system,
            validate_only,
            caller,
            rows,
        } = import;
        if !system.is_empty() {
            // The id stands for any: the system's name is what is looked at.
            ExternalId::new(system.clone(), "-".into())?;
        }
        // Twins may be hashed under an epoch that this replica has yet to read.
        self.parts.store.learns_epoch().await?;
        self.parts.store.learns_epoch_of_names().await?;
        let total = rows.len();
        let mut work = Work {
            system,
            now: self.parts.clock.now(),
            faults: Faults::default(),
            new: NewObjects::default(),
            objects: Vec::new(),
        };
        self.look_at(&mut work, rows, &caller).await?;
        let Work {
            faults,
            new,
            objects,
            ..
        } = work;
        let good = faults.is_empty() && !validate_only;
        if good {
            self.parts.store.insert_objects(new).await?;
        }
        Ok(Imported {
            objects: if good { objects } else { Vec::new() },
            faulty_rows: faults.faulty_rows(),
            faults: faults.into_sorted(),
            imported: if good { total } else { 0 },
        })
    }

    /// The noun of the first row that has any is that of the import.
    async fn look_at(
        &self,
        work: &mut Work,
        rows: Vec<ImportRow>,
        caller: &Caller,
    ) -> Result<(), Error> {
        macro_rules! of {
            ($noun:ident, $object:expr, $look:ident) => {{
                let pick = |row: Row| match row {
                    Row::$noun(row) => Some(row),
                    _ => None,
                };
                let lines = self.import_lines(work, $object, rows, caller, pick).await?;
                self.$look(work, lines).await
            }};
        }
        match rows.iter().find_map(|row| row.object.as_ref()) {
            None => {
                for (row, one) in rows.iter().enumerate() {
                    let line = one.line;
                    work.faults.add(At { row, line }, "", NO_OBJECT);
                }
                Ok(())
            }
            Some(Row::Site(_)) => of!(Site, Some(Object::Site), import_sites),
            Some(Row::Building(_)) => of!(Building, Some(Object::Building), import_buildings),
            Some(Row::Entrance(_)) => of!(Entrance, Some(Object::Entrance), import_entrances),
            Some(Row::Device(_)) => of!(Device, Some(Object::Device), import_devices),
            Some(Row::DeviceGroup(_)) => {
                of!(DeviceGroup, Some(Object::DeviceGroup), import_device_groups)
            }
            Some(Row::Household(_)) => of!(Household, Some(Object::Household), import_households),
            Some(Row::Resident(_)) => of!(Resident, Some(Object::Resident), import_residents),
            Some(Row::Vehicle(_)) => of!(Vehicle, Some(Object::Holding), import_vehicles),
            Some(Row::Credential(_)) => of!(Credential, Some(Object::Holding), import_credentials),
            Some(Row::Grant(_)) => of!(Grant, Some(Object::Grant), import_grants),
            Some(Row::Subscription(_)) => of!(Subscription, None, import_subscriptions),
        }
    }

    /// Rows of one noun with their external ids; `object` is none where it has none.
    async fn import_lines<T>(
        &self,
        work: &mut Work,
        object: Option<Object>,
        rows: Vec<ImportRow>,
        caller: &Caller,
        pick: impl Fn(Row) -> Option<T>,
    ) -> Result<Vec<Line<T>>, Error> {
        let mut lines = Vec::with_capacity(rows.len());
        let mut named = Vec::new();
        let mut once = Once::default();
        for (row, one) in rows.into_iter().enumerate() {
            let at = At {
                row,
                line: one.line,
            };
            let Some(object_of_row) = one.object else {
                work.faults.add(at, "", NO_OBJECT);
                continue;
            };
            let Some(picked) = pick(object_of_row) else {
                work.faults
                    .add(at, "", "is of another noun than the first row");
                continue;
            };
            let external_id = work.external_id(at, object, one.external_id, caller);
            if let Some(external_id) = &external_id {
                once.check(external_id.id.clone(), at, EXTERNAL_ID, &mut work.faults);
                named.push((at, external_id.clone()));
            }
            let mut external_ids = ExternalIds::default();
            if let Some(external_id) = external_id {
                external_ids.insert(external_id);
            }
            lines.push(Line {
                at,
                external_ids,
                row: picked,
            });
        }
        if let Some(object) = object {
            let ids: Vec<ExternalId> = named.iter().map(|(_, id)| id.clone()).collect();
            let found = self.parts.store.resolve(object, &ids).await?;
            for ((at, _), found) in named.iter().zip(found) {
                if found.is_some() {
                    work.faults.add(*at, EXTERNAL_ID, "names another already");
                }
            }
        }
        Ok(lines)
    }

    /// What is to be told of an object, and its other name, beside its own row.
    fn register_object(
        &self,
        work: &mut Work,
        object: ObjectId,
        owner: &Owner<'_>,
        external_ids: &ExternalIds,
    ) -> Result<(), Error> {
        // A device has no id of ours that callers know.
        if object.object != Object::Device {
            work.objects.push(object.id);
        }
        if !external_ids.is_empty() {
            let store = &self.parts.store;
            work.new
                .name(store.new_external_ids(object, owner, external_ids)?);
        }
        Ok(())
    }

    fn import_references(&self) -> References<'_> {
        References::new(&self.parts.store)
    }
}

const EXTERNAL_ID: &str = "external_id";
const NO_OBJECT: &str = "holds no object";

impl Work {
    fn external_id(
        &mut self,
        at: At,
        object: Option<Object>,
        id: String,
        caller: &Caller,
    ) -> Option<ExternalId> {
        if id.is_empty() {
            return None;
        }
        if object.is_none() {
            self.faults.add(at, EXTERNAL_ID, "is of what has none");
            return None;
        }
        if self.system.is_empty() {
            self.faults
                .add(at, EXTERNAL_ID, "needs the system whose id it is");
            return None;
        }
        let checked = ExternalId::new(self.system.clone(), id).and_then(|one| {
            let given = ExternalIds::new([(one.system.clone(), one.id.clone())])?;
            ExternalIds::default().replaced(given, caller)?;
            Ok(one)
        });
        self.faults.take(at, EXTERNAL_ID, checked)
    }

    fn time(
        &mut self,
        at: At,
        field: &'static str,
        time: Option<prost_types::Timestamp>,
    ) -> Option<Timestamp> {
        let time = time?;
        let read = mesh::clock::from_proto(time.seconds, time.nanos).ok();
        if read.is_none() {
            self.faults.add(at, field, "is out of range");
        }
        read
    }
}
