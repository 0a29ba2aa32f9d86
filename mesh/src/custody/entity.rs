//! The tables of custody as sea-orm sees them.

pub(crate) mod backup {
    use sea_orm::entity::prelude::*;

    /// Backups that this service made; no part of any backup.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "backups")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// The oldest epoch that the backup needs.
        pub epoch: i64,
        pub created_at: i64,
        pub verified_at: Option<i64>,
        pub path: String,
        pub size_bytes: i64,
        pub rows: i64,
        pub sha256: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod store_identity {
    use sea_orm::entity::prelude::*;

    /// One row. `replay_after` is set by a restore: the erasures after that
    /// number of the ledger are to be done again.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "store_identity")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub service: String,
        pub deployment: String,
        pub region: String,
        pub created_at: i64,
        pub replay_after: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod sealed_secret {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sealed_secrets")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub epoch: i64,
        pub wrapped_key: Vec<u8>,
        pub sealed: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
