//! `Debug` of messages that carry a secret, a vector, a plate or a name: the
//! type's name and nothing else. `redacted_messages.in` is the list that keeps
//! the generator from deriving them.

use std::fmt;

macro_rules! redacted {
    ($($message:ty),+ $(,)?) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )+};
}

redacted!(
    crate::biometric::FaceVector,
    crate::auth::ClientCredentials,
    crate::auth::PlateReading,
    crate::auth::IssueTokenResponse,
    crate::auth::RegisterClientResponse,
    crate::auth::AddClientSecretResponse,
    crate::auth::SetWebhookSecretResponse,
    crate::auth::RotateWebhookSecretResponse,
    crate::auth::WebhookSigningSecret,
    crate::auth::IntrospectTokenRequest,
    crate::auth::IntrospectTokenResponse,
    crate::auth::RevokeTokenRequest,
    crate::access::OpenRequest,
    crate::access::GetOpeningRequest,
    crate::access::CredentialOpening,
    crate::access::WebhookSignature,
    crate::access::RecordCredentialOpeningsRequest,
    crate::access::RecordCommandResultsRequest,
    crate::access::PartnerClientCredentials,
    crate::access::Resident,
    crate::access::CreateResidentRequest,
    crate::access::AddCredentialRequest,
    crate::access::OpenLinkResponse,
    crate::access::UpdateResidentRequest,
    crate::access::AddVehicleRequest,
    crate::access::Guest,
    crate::access::CreateGuestRequest,
    crate::access::Consent,
    crate::access::RecordConsentRequest,
    crate::access::EnrolFaceRequest,
    crate::access::ExternalId,
    crate::access::Holding,
    crate::access::Grant,
    crate::access::ResolveExternalIdsRequest,
    crate::access::ImportRequest,
    crate::access::ImportRow,
    crate::access::ResidentRow,
    crate::access::VehicleRow,
    crate::access::CredentialRow,
    crate::access::GrantRow,
    crate::access::SubscriptionRow,
);

#[cfg(test)]
mod tests {
    use crate::{access::CreateResidentRequest, auth::PlateReading, biometric::FaceVector};

    #[test]
    fn a_marked_value_never_reaches_debug() {
        let plate = PlateReading {
            number: "A123BC77".into(),
            country: "RU".into(),
        };
        assert!(!format!("{plate:?}").contains("A123BC77"));
        let face = FaceVector {
            model: "m".into(),
            values: b"marked".to_vec(),
        };
        assert!(!format!("{face:?}").contains("109"));
        let resident = CreateResidentRequest {
            name: "Marked Name".into(),
            ..CreateResidentRequest::default()
        };
        assert!(!format!("{resident:?}").contains("Marked"));
    }
}
