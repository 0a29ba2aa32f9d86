//! The schema's history. What an older release of this program still reads is
//! only ever added to.

mod m0001_initial;
mod m0002_whole_server;
mod m0003_numbered_revocations;
mod m0004_webhook_secrets;
mod m0005_custody;

use sea_orm_migration::prelude::*;

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_initial::Initial),
            Box::new(m0002_whole_server::WholeServer),
            Box::new(m0003_numbered_revocations::NumberedRevocations),
            Box::new(m0004_webhook_secrets::SignedWebhooks),
            Box::new(m0005_custody::Custody),
        ]
    }
}
