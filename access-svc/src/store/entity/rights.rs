//! What opens, and whether it is paid for.

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
