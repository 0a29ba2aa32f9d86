//! What operators may order over a site or a device, whoever comes.

/// The orders in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passage {
    /// Open to nobody.
    pub(crate) lockdown: bool,
    /// Open to every resident, as in a fire; beats lockdown.
    pub(crate) free: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Lockdown,
    FreePassage,
}

impl Order {
    /// As the audit names it.
    pub(crate) fn code(self, on: bool) -> &'static str {
        match (self, on) {
            (Self::Lockdown, true) => "lockdown_on",
            (Self::Lockdown, false) => "lockdown_off",
            (Self::FreePassage, true) => "free_passage_on",
            (Self::FreePassage, false) => "free_passage_off",
        }
    }
}
