//! Pure: devices, rights, plates, tokens' claims, and the decision.

pub mod plate;

pub(crate) mod consent;
pub(crate) mod decision;
pub(crate) mod device;
pub(crate) mod entry;
pub(crate) mod erasure;
pub(crate) mod etag;
pub(crate) mod event;
pub(crate) mod external_id;
pub(crate) mod grant;
pub(crate) mod guest;
pub(crate) mod holding;
pub(crate) mod household;
pub(crate) mod import;
pub(crate) mod limits;
pub(crate) mod opening;
pub(crate) mod partner;
pub(crate) mod passage;
pub(crate) mod payment;
pub(crate) mod schedule;
pub(crate) mod signature;
pub(crate) mod syntax;
pub(crate) mod token;
