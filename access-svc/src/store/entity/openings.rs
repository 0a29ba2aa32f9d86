//! Openings, ours and the partners', and what each has used up.

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
