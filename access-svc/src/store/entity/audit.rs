//! The audit log, and what auth-svc told for it.

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
