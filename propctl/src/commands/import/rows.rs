//! A record of each noun as the contract has it.

use clap::ValueEnum;
use propdev_proto::{
    access::{
        BuildingRow, CredentialKind, CredentialRow, DeviceGroupRow, DeviceKind, DeviceName,
        DeviceRow, EntranceRow, GrantRow, HouseholdRow, ImportRow, ResidentRow, SiteRow,
        SubscriptionRow, VehicleRow, WeeklyWindow, import_row::Object,
    },
    auth::PlateReading,
};

use super::Noun;
use crate::{
    commands::device::Kind,
    csv_file::{Column, Fault, Record},
    moment, window,
};

const fn required(name: &'static str) -> Column {
    Column {
        name,
        required: true,
    }
}

const fn optional(name: &'static str) -> Column {
    Column {
        name,
        required: false,
    }
}

const EXTERNAL_ID: Column = optional("external_id");

impl Noun {
    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Sites => const { &[required("name"), EXTERNAL_ID] },
            Self::Buildings => const { &[required("site"), required("name"), EXTERNAL_ID] },
            Self::Entrances => const { &[required("building"), required("name"), EXTERNAL_ID] },
            Self::Devices => {
                const {
                    &[
                        required("partner_id"),
                        required("device_id"),
                        required("site"),
                        optional("entrance"),
                        required("kind"),
                        required("name"),
                        required("time_zone"),
                        EXTERNAL_ID,
                    ]
                }
            }
            Self::DeviceGroups => {
                const {
                    &[
                        required("site"),
                        required("name"),
                        optional("devices"),
                        EXTERNAL_ID,
                    ]
                }
            }
            Self::Households => {
                const {
                    &[
                        required("site"),
                        optional("building"),
                        optional("unit"),
                        EXTERNAL_ID,
                    ]
                }
            }
            Self::Residents => {
                const {
                    &[
                        required("name"),
                        optional("households"),
                        optional("sites"),
                        EXTERNAL_ID,
                    ]
                }
            }
            Self::Vehicles => {
                const {
                    &[
                        required("resident"),
                        required("plate"),
                        optional("country"),
                        optional("held_from"),
                        optional("held_to"),
                        EXTERNAL_ID,
                    ]
                }
            }
            Self::Credentials => {
                const {
                    &[
                        required("resident"),
                        required("partner_id"),
                        required("kind"),
                        required("credential_id"),
                        required("site"),
                        optional("held_from"),
                        optional("held_to"),
                        EXTERNAL_ID,
                    ]
                }
            }
            Self::Grants => {
                const {
                    &[
                        optional("resident"),
                        optional("household"),
                        optional("device"),
                        optional("device_group"),
                        optional("windows"),
                        optional("ends_at"),
                        EXTERNAL_ID,
                    ]
                }
            }
            Self::Subscriptions => {
                const {
                    &[
                        required("household"),
                        optional("site"),
                        required("kind"),
                        required("paid_until"),
                        optional("grace_days"),
                        optional("suspended"),
                    ]
                }
            }
        }
    }

    /// What cannot be read of it is told; the rest is for the service to judge.
    pub(super) fn row(self, record: &Record, faults: &mut Vec<Fault>) -> ImportRow {
        let mut cells = Cells { record, faults };
        let object = match self {
            Self::Sites => Object::Site(SiteRow {
                name: cells.text("name"),
            }),
            Self::Buildings => Object::Building(BuildingRow {
                site: cells.text("site"),
                name: cells.text("name"),
            }),
            Self::Entrances => Object::Entrance(EntranceRow {
                building: cells.text("building"),
                name: cells.text("name"),
            }),
            Self::Devices => Object::Device(DeviceRow {
                device: Some(DeviceName {
                    partner_id: cells.text("partner_id"),
                    device_id: cells.text("device_id"),
                }),
                site: cells.text("site"),
                entrance: cells.text("entrance"),
                kind: cells.device_kind(),
                name: cells.text("name"),
                time_zone: cells.text("time_zone"),
            }),
            Self::DeviceGroups => Object::DeviceGroup(DeviceGroupRow {
                site: cells.text("site"),
                name: cells.text("name"),
                devices: cells.list("devices"),
            }),
            Self::Households => Object::Household(HouseholdRow {
                site: cells.text("site"),
                building: cells.text("building"),
                unit: cells.text("unit"),
            }),
            Self::Residents => Object::Resident(ResidentRow {
                name: cells.text("name"),
                households: cells.list("households"),
                sites: cells.list("sites"),
            }),
            Self::Vehicles => Object::Vehicle(VehicleRow {
                resident: cells.text("resident"),
                plate: Some(PlateReading {
                    number: cells.text("plate"),
                    country: cells.text("country"),
                }),
                held_from: cells.begin("held_from"),
                held_to: cells.end("held_to"),
            }),
            Self::Credentials => Object::Credential(CredentialRow {
                resident: cells.text("resident"),
                partner_id: cells.text("partner_id"),
                kind: cells.credential_kind(),
                credential_id: cells.text("credential_id"),
                site: cells.text("site"),
                held_from: cells.begin("held_from"),
                held_to: cells.end("held_to"),
            }),
            Self::Grants => Object::Grant(GrantRow {
                resident: cells.text("resident"),
                household: cells.text("household"),
                device: cells.text("device"),
                device_group: cells.text("device_group"),
                windows: cells.windows("windows"),
                ends_at: cells.end("ends_at"),
            }),
            Self::Subscriptions => Object::Subscription(SubscriptionRow {
                household: cells.text("household"),
                site: cells.text("site"),
                kind: cells.device_kind(),
                paid_until: cells.end("paid_until"),
                grace_days: cells.number("grace_days"),
                suspended: cells.yes("suspended"),
            }),
        };
        ImportRow {
            line: record.line,
            external_id: record.text("external_id").to_owned(),
            object: Some(object),
        }
    }
}

struct Cells<'r, 'f> {
    record: &'r Record,
    faults: &'f mut Vec<Fault>,
}

impl Cells<'_, '_> {
    fn fault(&mut self, column: &str, detail: impl Into<String>) {
        self.faults
            .push(Fault::new(self.record.line, column, detail));
    }

    fn text(&self, column: &str) -> String {
        self.record.text(column).to_owned()
    }

    fn list(&self, column: &str) -> Vec<String> {
        let parts = self.record.text(column).split(';').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn device_kind(&mut self) -> i32 {
        let text = self.record.text("kind");
        if text.is_empty() {
            return DeviceKind::Unspecified.into();
        }
        match Kind::from_str(text, true) {
            Ok(kind) => kind.into(),
            Err(_) => {
                self.fault("kind", "is neither door nor barrier");
                DeviceKind::Unspecified.into()
            }
        }
    }

    fn credential_kind(&mut self) -> i32 {
        match self.record.text("kind").to_ascii_lowercase().as_str() {
            "key" => CredentialKind::Key,
            "fob" => CredentialKind::Fob,
            "" => CredentialKind::Unspecified,
            _ => {
                self.fault("kind", "is neither key nor fob");
                CredentialKind::Unspecified
            }
        }
        .into()
    }

    fn begin(&mut self, column: &str) -> Option<prost_types::Timestamp> {
        self.time(column, moment::parse_begin)
    }

    fn end(&mut self, column: &str) -> Option<prost_types::Timestamp> {
        self.time(column, moment::parse_end)
    }

    fn time(
        &mut self,
        column: &str,
        parse: fn(&str) -> Result<jiff::Timestamp, String>,
    ) -> Option<prost_types::Timestamp> {
        let text = self.record.text(column);
        if text.is_empty() {
            return None;
        }
        match parse(text) {
            Ok(time) => Some(moment::to_proto(time)),
            Err(detail) => {
                self.fault(column, format!("is {detail}"));
                None
            }
        }
    }

    fn windows(&mut self, column: &str) -> Vec<WeeklyWindow> {
        let mut windows = Vec::new();
        for text in self.list(column) {
            match window::parse(&text) {
                Ok(window) => windows.push(window),
                Err(detail) => self.fault(column, detail),
            }
        }
        windows
    }

    fn number(&mut self, column: &str) -> u32 {
        let text = self.record.text(column);
        if text.is_empty() {
            return 0;
        }
        text.parse().unwrap_or_else(|_| {
            self.fault(column, "is no number");
            0
        })
    }

    fn yes(&mut self, column: &str) -> bool {
        match self.record.text(column).to_ascii_lowercase().as_str() {
            "yes" | "true" => true,
            "" | "no" | "false" => false,
            _ => {
                self.fault(column, "is neither yes nor no");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv_file::parse;

    fn read(noun: Noun, text: &str) -> (Vec<ImportRow>, Vec<Fault>) {
        let parsed = parse(text.as_bytes(), noun.columns());
        let mut faults = parsed.faults;
        let rows = parsed.good.iter();
        let rows = rows.map(|record| noun.row(record, &mut faults)).collect();
        (rows, faults)
    }

    #[test]
    fn a_grant_has_windows_and_an_end() {
        let (rows, faults) = read(
            Noun::Grants,
            "household,device_group,windows,ends_at,external_id\n\
             H-1,G-1,mon-fri 08:00-20:00; sat 10:00-12:00,2026-12-31,R-1\n",
        );
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!((rows[0].line, rows[0].external_id.as_str()), (2, "R-1"));
        let Some(Object::Grant(grant)) = &rows[0].object else {
            panic!("another noun");
        };
        assert_eq!(grant.windows.len(), 2);
        let end = grant.ends_at.as_ref().expect("an end");
        assert_eq!(moment::show(Some(end)), "2027-01-01T00:00:00Z");
        assert_eq!(
            (grant.resident.as_str(), grant.household.as_str()),
            ("", "H-1")
        );
    }

    #[test]
    fn cells_hold_lists_and_dates_are_days() {
        let (rows, _) = read(Noun::Residents, "name,sites\nAnna,\" S-1;S-2 ;\"\n");
        let Some(Object::Resident(resident)) = &rows[0].object else {
            panic!("another noun");
        };
        assert_eq!(resident.sites, ["S-1", "S-2"]);
        let (rows, _) = read(
            Noun::Vehicles,
            "resident,plate,held_from\nR-1,A123BC77,2026-12-31\n",
        );
        let Some(Object::Vehicle(vehicle)) = &rows[0].object else {
            panic!("another noun");
        };
        let from = moment::show(vehicle.held_from.as_ref());
        assert_eq!(from, "2026-12-31T00:00:00Z");
    }

    #[test]
    fn every_cell_that_cannot_be_read_is_told_without_its_text() {
        let (_, faults) = read(
            Noun::Subscriptions,
            "household,kind,paid_until,grace_days,suspended\nH-1,gate,soon,many,perhaps\n",
        );
        let columns: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(columns, ["kind", "paid_until", "grace_days", "suspended"]);
        assert!(faults.iter().all(|fault| fault.line == 2));
        let (_, faults) = read(
            Noun::Credentials,
            "resident,partner_id,kind,credential_id,site\nR-1,p,marked,k-1,s\n",
        );
        assert_eq!(faults.len(), 1);
        assert!(!faults[0].detail.contains("marked"));
    }
}
