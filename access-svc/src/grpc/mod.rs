//! Protobuf to domain and back; no rule lives here.

mod audit;
mod building;
mod change;
mod consent;
mod convert;
mod device;
mod device_group;
mod entrance;
mod erasure;
mod event;
mod grant;
mod guest;
mod holding;
mod household;
mod import;
mod log;
mod mask;
mod opening;
mod partner;
mod payment;
mod reference;
mod resident;
mod site;
mod subject;
mod subscription;

use mesh::custody::{Custody, CustodyApi, DiagnosisApi};
use propdev_proto::access::{
    audit_log_service_server::AuditLogServiceServer, audit_service_server::AuditServiceServer,
    building_service_server::BuildingServiceServer, consent_service_server::ConsentServiceServer,
    device_group_service_server::DeviceGroupServiceServer,
    device_service_server::DeviceServiceServer, entrance_service_server::EntranceServiceServer,
    erasure_service_server::ErasureServiceServer, event_service_server::EventServiceServer,
    grant_service_server::GrantServiceServer, guest_service_server::GuestServiceServer,
    holding_service_server::HoldingServiceServer, household_service_server::HouseholdServiceServer,
    import_service_server::ImportServiceServer, opening_service_server::OpeningServiceServer,
    partner_service_server::PartnerServiceServer, payment_service_server::PaymentServiceServer,
    reference_service_server::ReferenceServiceServer,
    resident_service_server::ResidentServiceServer, site_service_server::SiteServiceServer,
    subject_service_server::SubjectServiceServer,
    subscription_service_server::SubscriptionServiceServer,
};
use tonic::service::Routes;

use crate::app::App;

/// Every service of access-svc over one application.
#[derive(Clone)]
struct Api {
    app: App,
}

pub(crate) fn routes(app: App, custody: Custody, max_message: usize) -> Routes {
    let api = Api { app };
    Routes::new(OpeningServiceServer::new(api.clone()).max_decoding_message_size(max_message))
        .add_service(EventServiceServer::new(api.clone()).max_decoding_message_size(max_message))
        .add_service(AuditServiceServer::new(api.clone()).max_decoding_message_size(max_message))
        .add_service(AuditLogServiceServer::new(api.clone()))
        .add_service(SubjectServiceServer::new(api.clone()))
        .add_service(PartnerServiceServer::new(api.clone()))
        .add_service(ReferenceServiceServer::new(api.clone()))
        .add_service(SiteServiceServer::new(api.clone()))
        .add_service(BuildingServiceServer::new(api.clone()))
        .add_service(EntranceServiceServer::new(api.clone()))
        .add_service(DeviceServiceServer::new(api.clone()))
        .add_service(DeviceGroupServiceServer::new(api.clone()))
        .add_service(HouseholdServiceServer::new(api.clone()))
        .add_service(ResidentServiceServer::new(api.clone()))
        .add_service(GuestServiceServer::new(api.clone()))
        .add_service(ConsentServiceServer::new(api.clone()))
        .add_service(GrantServiceServer::new(api.clone()))
        .add_service(HoldingServiceServer::new(api.clone()))
        .add_service(SubscriptionServiceServer::new(api.clone()))
        .add_service(PaymentServiceServer::new(api.clone()))
        .add_service(ImportServiceServer::new(api.clone()).max_decoding_message_size(max_message))
        .add_service(ErasureServiceServer::new(api))
        .add_service(CustodyApi::server(custody.clone()))
        .add_service(DiagnosisApi::server(custody, None))
}
