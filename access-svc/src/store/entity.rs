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

entity!(
    partner, "partners", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        name: String,
        token_url: String,
        api_base: String,
        door_path: String,
        barrier_path: String,
        minimal: bool,
        ca_pem: String,
        settings_version: i64,
        epoch: i64,
        wrapped_key: Vec<u8>,
        intercom_client_id: String,
        intercom_secret: Vec<u8>,
        barrier_client_id: String,
        barrier_secret: Vec<u8>,
        created_at: i64,
    }
);

entity!(
    site, "sites", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        name: String,
        lockdown: bool,
        free_passage: bool,
        version: i64,
        created_at: i64,
    }
);

entity!(
    building, "buildings", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        site_id: Uuid,
        name: String,
        version: i64,
        created_at: i64,
    }
);

entity!(
    entrance, "entrances", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        building_id: Uuid,
        name: String,
        version: i64,
        created_at: i64,
    }
);

entity!(
    device, "devices", {
        #[sea_orm(primary_key, auto_increment = false)]
        uid: Uuid,
        partner_id: Uuid,
        device_id: String,
        site_id: Uuid,
        entrance_id: Option<Uuid>,
        kind: i16,
        name: String,
        time_zone: String,
        disabled: bool,
        lockdown: bool,
        free_passage: bool,
        version: i64,
        created_at: i64,
    }
);

entity!(
    device_group, "device_groups", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        site_id: Uuid,
        name: String,
        version: i64,
        created_at: i64,
    }
);

entity!(
    device_group_member, "device_group_members", {
        #[sea_orm(primary_key, auto_increment = false)]
        group_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        device_uid: Uuid,
    }
);

entity!(
    household, "households", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        site_id: Uuid,
        building_id: Option<Uuid>,
        unit: String,
        version: i64,
        created_at: i64,
    }
);

entity!(
    household_member, "household_members", {
        #[sea_orm(primary_key, auto_increment = false)]
        household_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        resident_id: Uuid,
    }
);

entity!(
    /// A guest has a host and an end. `galleries_pending` until the biometric store knows where
    /// the resident is recognised.
    resident, "residents", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        subject_id: Uuid,
        audit_pseudonym: Uuid,
        epoch: i64,
        wrapped_key: Vec<u8>,
        name_sealed: Vec<u8>,
        suspended: bool,
        erasing: bool,
        host_household_id: Option<Uuid>,
        guest_until: Option<i64>,
        galleries_pending: bool,
        version: i64,
        created_at: i64,
    }
);

entity!(
    resident_site, "resident_sites", {
        #[sea_orm(primary_key, auto_increment = false)]
        resident_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        site_id: Uuid,
    }
);

entity!(
    /// What `sub` says to a partner, and whom it means.
    pseudonym, "pseudonyms", {
        #[sea_orm(primary_key, auto_increment = false)]
        pseudonym: String,
        partner_id: Uuid,
        resident_id: Uuid,
    }
);

entity!(
    /// Of a resident or a household, on a device or a group: one of each pair is null.
    grant, "grants", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        resident_id: Option<Uuid>,
        household_id: Option<Uuid>,
        device_uid: Option<Uuid>,
        group_id: Option<Uuid>,
        windows: String,
        ends_at: Option<i64>,
        version: i64,
        created_at: i64,
    }
);

entity!(
    /// `lookup` is the keyed hash of a plate or a credential under the key of
    /// `lookup_epoch`, `sealed` the same under the resident's key.
    holding, "holdings", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        resident_id: Uuid,
        kind: i16,
        site_id: Option<Uuid>,
        lookup: Vec<u8>,
        lookup_epoch: i64,
        sealed: Vec<u8>,
        held_from: i64,
        held_to: Option<i64>,
        version: i64,
    }
);

entity!(
    subscription, "subscriptions", {
        #[sea_orm(primary_key, auto_increment = false)]
        household_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        site_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        kind: i16,
        paid_until: i64,
        grace_days: i32,
        suspended: bool,
        as_of: i64,
        version: i64,
    }
);

entity!(
    /// `reference_sealed` is under the resident's key.
    consent, "consents", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        resident_id: Uuid,
        reference_sealed: Vec<u8>,
        consented_at: i64,
        withdrawal_id: Option<Uuid>,
        created_at: i64,
    }
);

entity!(
    /// `subject_id` is there until the biometric store has erased it; `receipts` is a JSON array.
    withdrawal, "withdrawals", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        resident_id: Uuid,
        audit_pseudonym: Uuid,
        subject_id: Option<Uuid>,
        withdrawn_at: i64,
        erased_at: Option<i64>,
        receipts: String,
    }
);

entity!(
    /// Without an owner, `lookup` and `value` are the id itself and `lookup_epoch` is 0; else
    /// its keyed hash, and the same under the owner's key.
    external_id, "external_ids", {
        #[sea_orm(primary_key, auto_increment = false)]
        noun: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        system: String,
        #[sea_orm(primary_key, auto_increment = false)]
        lookup: Vec<u8>,
        object_id: Uuid,
        owner: Option<Uuid>,
        lookup_epoch: i64,
        value: Vec<u8>,
    }
);

entity!(
    /// Probes of the last 24 hours, as MACs.
    evidence, "evidence", {
        #[sea_orm(primary_key, auto_increment = false)]
        mac: Vec<u8>,
        id: Uuid,
        client_id: String,
        first_seen: i64,
    }
);

entity!(
    token_use, "token_uses", {
        #[sea_orm(primary_key, auto_increment = false)]
        use_key: String,
        opening_id: Uuid,
        used_at: i64,
    }
);

entity!(
    /// `key` and `fingerprint` are MACs.
    idempotency, "idempotency_keys", {
        #[sea_orm(primary_key, auto_increment = false)]
        key: Vec<u8>,
        fingerprint: Vec<u8>,
        opening_id: Uuid,
        created_at: i64,
    }
);

entity!(
    /// `command_id` is null and `command_status` 0 when denied;
    /// `answered_status` is 0 until the request to open has its answer, `number`
    /// until the row, as it is, has its place in the feed.
    opening, "openings", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        partner_id: Uuid,
        site_id: Uuid,
        device_id: String,
        kind: i16,
        client_id: String,
        means: i16,
        audit_pseudonym: Option<Uuid>,
        denial_code: Option<String>,
        checks: String,
        decided_at: i64,
        command_id: Option<Uuid>,
        command_status: i16,
        answered_status: i16,
        expires_at: i64,
        number: i64,
    }
);

entity!(
    /// `sealed` holds the credential's id under the holder's key, or the log's.
    event, "events", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        kind: i16,
        partner_id: Uuid,
        dedupe: Vec<u8>,
        device_id: Option<String>,
        device_known: bool,
        holder: Option<Uuid>,
        resident_id: Option<Uuid>,
        sealed: Vec<u8>,
        opened_at: i64,
        received_at: i64,
        number: i64,
    }
);

entity!(
    /// The last number given in a feed.
    feed, "feeds", {
        #[sea_orm(primary_key, auto_increment = false)]
        name: String,
        last: i64,
    }
);

entity!(
    command_result, "command_results", {
        #[sea_orm(primary_key, auto_increment = false)]
        dedupe: Vec<u8>,
        command_id: Uuid,
        opened: bool,
        at: i64,
        received_at: i64,
    }
);

entity!(
    /// What auth-svc told, encoded.
    auth_event, "auth_events", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        client_id: String,
        payload: Vec<u8>,
    }
);

entity!(
    /// An erasure from its beginning on; it outlives the person. `subject_id`
    /// is there until the biometric store has erased; `counts` is JSON.
    erasure, "erasures", {
        #[sea_orm(primary_key, auto_increment = false)]
        resident_id: Uuid,
        pseudonym: Uuid,
        subject_id: Option<Uuid>,
        step: i16,
        reason: i16,
        requested_by: String,
        replayed: bool,
        begun_at: i64,
        erased_at: Option<i64>,
        counts: String,
        epoch: Option<i64>,
        ledger_number: Option<i64>,
        final_at: Option<i64>,
        biometric_final_at: Option<i64>,
    }
);

entity!(
    /// Compact JWS, numbered from 1 by service.
    erasure_receipt, "erasure_receipts", {
        #[sea_orm(primary_key, auto_increment = false)]
        resident_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        service: String,
        #[sea_orm(primary_key, auto_increment = false)]
        number: i16,
        receipt: String,
    }
);

entity!(
    /// The audit log. `number` is null until the entry has its place in the tree, and below
    /// zero for what no service of ours put here; `sealed` is what leads to a person.
    audit_entry, "audit_entries", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        number: Option<i64>,
        payload: Vec<u8>,
        sealed: Option<Vec<u8>>,
        mac: Vec<u8>,
        code: String,
        device_id: Option<String>,
        audit_pseudonym: Option<Uuid>,
        opening_id: Option<Uuid>,
    }
);

entity!(
    /// The tree's hashes, up to 256 in a row.
    audit_tile, "audit_tiles", {
        #[sea_orm(primary_key, auto_increment = false)]
        level: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        tile: i64,
        hashes: Vec<u8>,
    }
);

entity!(
    /// The newest is the log's state; of older ones the first of each hour is kept.
    audit_checkpoint, "audit_checkpoints", {
        #[sea_orm(primary_key, auto_increment = false)]
        size: i64,
        at: i64,
        kept: bool,
        note: String,
    }
);

entity!(
    /// Up to which size each place outside has the log's checkpoints.
    audit_place, "audit_places", {
        #[sea_orm(primary_key, auto_increment = false)]
        place: String,
        size: i64,
        at: i64,
    }
);

entity!(
    /// The last of each service's own acts that the log has.
    audit_source, "audit_sources", {
        #[sea_orm(primary_key, auto_increment = false)]
        service: String,
        last: Uuid,
    }
);
