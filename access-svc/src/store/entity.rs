//! The tables as sea-orm sees them.

macro_rules! entity {
    ($(#[$doc:meta])* $module:ident, $table:literal, { $($(#[$attribute:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        pub(crate) mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model {
                $($(#[$attribute])* pub $field: $type,)+
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

mod audit;
mod erasures;
mod openings;
mod people;
mod places;
mod rights;

pub(crate) use audit::{
    audit_checkpoint, audit_entry, audit_place, audit_source, audit_tile, auth_event,
};
pub(crate) use erasures::{erasure, erasure_receipt};
pub(crate) use openings::{command_result, event, evidence, feed, idempotency, opening, token_use};
pub(crate) use people::{
    consent, external_id, holding, household, household_member, pseudonym, resident, resident_site,
    withdrawal,
};
pub(crate) use places::{
    building, device, device_group, device_group_member, entrance, partner, site,
};
pub(crate) use rights::{grant, subscription};
