//! Who lives where, what they hold, what they have consented to, and what others call all of it.

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
        withdrawn_by: String,
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
