//! Pure: models, vectors, and what a ranking of subjects means.

pub(crate) mod identification;
pub(crate) mod model;
pub(crate) mod vector;
