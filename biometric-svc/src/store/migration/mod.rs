//! The schema's history.

mod m0001_initial;
mod m0002_rotated_templates;
mod m0003_custody;
mod m0004_templates_by_model;
mod m0005_acts;
mod m0006_erasure_orders;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_initial::Initial),
            Box::new(m0002_rotated_templates::RotatedTemplates),
            Box::new(m0003_custody::Custody),
            Box::new(m0004_templates_by_model::TemplatesByModel),
            Box::new(m0005_acts::NumberedActs),
            Box::new(m0006_erasure_orders::ErasureOrders),
        ]
    }
}
