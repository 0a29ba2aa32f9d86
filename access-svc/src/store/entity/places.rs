//! Partners, and what stands where.

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
