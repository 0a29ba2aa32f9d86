//! An operator's calls, over mTLS gRPC like everybody's.

use mesh::{client::MeshChannel, policy::Policy, tls::Credentials};
use propdev_proto::{
    access::{
        audit_log_service_client::AuditLogServiceClient, audit_service_client::AuditServiceClient,
        building_service_client::BuildingServiceClient,
        consent_service_client::ConsentServiceClient,
        device_group_service_client::DeviceGroupServiceClient,
        device_service_client::DeviceServiceClient, entrance_service_client::EntranceServiceClient,
        erasure_service_client::ErasureServiceClient, event_service_client::EventServiceClient,
        grant_service_client::GrantServiceClient, guest_service_client::GuestServiceClient,
        holding_service_client::HoldingServiceClient,
        household_service_client::HouseholdServiceClient,
        import_service_client::ImportServiceClient, opening_service_client::OpeningServiceClient,
        partner_service_client::PartnerServiceClient,
        resident_service_client::ResidentServiceClient, site_service_client::SiteServiceClient,
        subscription_service_client::SubscriptionServiceClient,
    },
    auth::{
        client_service_client::ClientServiceClient,
        signing_key_service_client::SigningKeyServiceClient,
    },
    biometric::biometric_service_client::BiometricServiceClient,
    mesh::custody_service_client::CustodyServiceClient,
};

use crate::{Error, layout::Layout};

/// Clients of every service that operators call, under one role.
#[derive(Clone)]
pub struct Operator {
    access: MeshChannel,
    auth: MeshChannel,
    biometric: MeshChannel,
}

impl Operator {
    pub fn connect(layout: &Layout, role: &str) -> Result<Self, Error> {
        let fault = |error: String| Error::Certificates(error);
        let tls = layout.tls(&layout.operator_folder(role));
        let credentials = Credentials::load(tls).map_err(|e| fault(e.to_string()))?;
        let policy = Policy::built_in().map_err(|e| fault(e.to_string()))?;
        let channel = |service| {
            let endpoint = format!("https://{}", layout.addresses.grpc(service));
            mesh::client::connect(service, &endpoint, credentials.clone(), policy.clone())
                .map_err(|e| fault(e.to_string()))
        };
        Ok(Self {
            access: channel("access-svc")?,
            auth: channel("auth-svc")?,
            biometric: channel("biometric-svc")?,
        })
    }

    /// Of a service that stores.
    pub fn custody(&self, service: &str) -> CustodyServiceClient<MeshChannel> {
        let channel = match service {
            "auth-svc" => &self.auth,
            "access-svc" => &self.access,
            _ => &self.biometric,
        };
        CustodyServiceClient::new(channel.clone())
    }

    pub fn biometric(&self) -> BiometricServiceClient<MeshChannel> {
        BiometricServiceClient::new(self.biometric.clone())
    }

    pub fn clients(&self) -> ClientServiceClient<MeshChannel> {
        ClientServiceClient::new(self.auth.clone())
    }

    pub fn signing_keys(&self) -> SigningKeyServiceClient<MeshChannel> {
        SigningKeyServiceClient::new(self.auth.clone())
    }

    pub fn audit(&self) -> AuditServiceClient<MeshChannel> {
        AuditServiceClient::new(self.access.clone())
    }

    pub fn audit_log(&self) -> AuditLogServiceClient<MeshChannel> {
        AuditLogServiceClient::new(self.access.clone())
    }

    pub fn partners(&self) -> PartnerServiceClient<MeshChannel> {
        PartnerServiceClient::new(self.access.clone())
    }

    pub fn sites(&self) -> SiteServiceClient<MeshChannel> {
        SiteServiceClient::new(self.access.clone())
    }

    pub fn buildings(&self) -> BuildingServiceClient<MeshChannel> {
        BuildingServiceClient::new(self.access.clone())
    }

    pub fn entrances(&self) -> EntranceServiceClient<MeshChannel> {
        EntranceServiceClient::new(self.access.clone())
    }

    pub fn device_groups(&self) -> DeviceGroupServiceClient<MeshChannel> {
        DeviceGroupServiceClient::new(self.access.clone())
    }

    pub fn devices(&self) -> DeviceServiceClient<MeshChannel> {
        DeviceServiceClient::new(self.access.clone())
    }

    pub fn residents(&self) -> ResidentServiceClient<MeshChannel> {
        ResidentServiceClient::new(self.access.clone())
    }

    pub fn households(&self) -> HouseholdServiceClient<MeshChannel> {
        HouseholdServiceClient::new(self.access.clone())
    }

    pub fn guests(&self) -> GuestServiceClient<MeshChannel> {
        GuestServiceClient::new(self.access.clone())
    }

    pub fn consents(&self) -> ConsentServiceClient<MeshChannel> {
        ConsentServiceClient::new(self.access.clone())
    }

    pub fn erasures(&self) -> ErasureServiceClient<MeshChannel> {
        ErasureServiceClient::new(self.access.clone())
    }

    pub fn grants(&self) -> GrantServiceClient<MeshChannel> {
        GrantServiceClient::new(self.access.clone())
    }

    pub fn holdings(&self) -> HoldingServiceClient<MeshChannel> {
        HoldingServiceClient::new(self.access.clone())
    }

    pub fn imports(&self) -> ImportServiceClient<MeshChannel> {
        ImportServiceClient::new(self.access.clone())
    }

    pub fn subscriptions(&self) -> SubscriptionServiceClient<MeshChannel> {
        SubscriptionServiceClient::new(self.access.clone())
    }

    pub fn openings(&self) -> OpeningServiceClient<MeshChannel> {
        OpeningServiceClient::new(self.access.clone())
    }

    pub fn events(&self) -> EventServiceClient<MeshChannel> {
        EventServiceClient::new(self.access.clone())
    }
}
