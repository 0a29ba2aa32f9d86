//! The tables as sea-orm sees them.

pub(crate) mod subject {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "subjects")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub epoch: i64,
        pub wrapped_key: Vec<u8>,
        /// 16 bytes each.
        pub galleries: Vec<u8>,
        pub created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod template {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "templates")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub subject_id: Uuid,
        pub model: String,
        pub model_version: String,
        /// Number of the rotation; 0 for a bare vector.
        pub rotation: i32,
        pub sealed: Vec<u8>,
        pub consent_sealed: Vec<u8>,
        pub consented_at: i64,
        pub created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        #[sea_orm(
            belongs_to = "super::subject::Entity",
            from = "Column::SubjectId",
            to = "super::subject::Column::Id"
        )]
        Subject,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The secret rotation of a model, under a key of its own.
pub(crate) mod rotation {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "rotations")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub model: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub version: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: i32,
        pub renewals: i32,
        pub epoch: i64,
        pub wrapped_key: Vec<u8>,
        pub sealed: Vec<u8>,
        pub created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What replicas tell each other: a subject is not what it was.
pub(crate) mod change {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "changes")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub seq: i64,
        pub subject_id: Uuid,
        pub replica: Uuid,
        pub at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// How far each replica has followed.
pub(crate) mod replica {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "replicas")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub applied: i64,
        /// Grows while the replica lives.
        pub beat: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An erasure, begun and, once it has a receipt, done.
pub(crate) mod erasure {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "erasures")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub subject_id: Uuid,
        pub pseudonym: Uuid,
        pub templates: i64,
        pub epoch: i64,
        pub begun_at: i64,
        pub erased_at: Option<i64>,
        pub ledger_number: Option<i64>,
        pub final_at: Option<i64>,
        #[sea_orm(column_type = "Text", nullable)]
        pub receipt: Option<String>,
        #[sea_orm(column_type = "Text", nullable)]
        pub final_receipt: Option<String>,
        #[sea_orm(column_type = "Text", nullable)]
        pub reason: Option<String>,
        #[sea_orm(column_type = "Text", nullable)]
        pub requested_by: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What was done to the store.
pub(crate) mod act {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "acts")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub number: i64,
        pub id: Uuid,
        pub at: i64,
        pub code: String,
        pub subject: String,
        pub actor: String,
        pub request: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
