//! Pure: models, and what a ranking of subjects means.

pub(crate) mod identification;
pub(crate) mod model;
