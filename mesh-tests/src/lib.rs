//! Tests of the whole mesh; see `tests/`.
