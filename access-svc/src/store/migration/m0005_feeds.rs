//! Numbers by which openings and events are followed; what is there already
//! gets them too.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, string},
};

pub(super) struct Feeds;

impl MigrationName for Feeds {
    fn name(&self) -> &str {
        "m0005_feeds"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Feeds {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let feeds = Table::create()
            .table(Alias::new("feeds"))
            .col(string("name").primary_key())
            .col(big_integer("last"))
            .to_owned();
        manager.create_table(feeds).await?;
        for table in ["openings", "events"] {
            let alter = Table::alter()
                .table(Alias::new(table))
                .add_column(big_integer("number").default(0))
                .to_owned();
            manager.alter_table(alter).await?;
            for statement in [
                format!(
                    "UPDATE {table} SET number = numbered.number FROM \
                     (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS number FROM {table}) \
                     AS numbered WHERE numbered.id = {table}.id"
                ),
                format!(
                    "INSERT INTO feeds (name, last) \
                     SELECT '{table}', COALESCE(MAX(number), 0) FROM {table}"
                ),
            ] {
                manager
                    .get_connection()
                    .execute_unprepared(&statement)
                    .await?;
            }
            let index = Index::create()
                .name(format!("{table}_by_number"))
                .table(Alias::new(table))
                .col(Alias::new("number"))
                .to_owned();
            manager.create_index(index).await?;
        }
        Ok(())
    }
}
