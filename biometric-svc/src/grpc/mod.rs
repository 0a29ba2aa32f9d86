//! Protobuf to domain and back; no rule lives here.

mod biometric;

pub(crate) use biometric::BiometricApi;
