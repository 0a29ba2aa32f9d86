//! Whose right it is, and on what.

use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Resident(Uuid),
    /// Whoever is a member; guests are none.
    Household(Uuid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// By our own id of it.
    Device(Uuid),
    /// Whatever is in the group.
    Group(Uuid),
}
