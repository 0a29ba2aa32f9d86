//! Erasures, which outlive the person.

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
