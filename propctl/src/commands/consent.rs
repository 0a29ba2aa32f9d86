use std::collections::BTreeSet;

use clap::Subcommand;
use jiff::Timestamp;
use propdev_proto::access::{
    self, ErasureReceipt, GetResidentRequest, ListConsentsRequest, RecordConsentRequest,
    WithdrawConsentRequest, consent_service_client::ConsentServiceClient,
    resident_service_client::ResidentServiceClient,
};

use super::erasure::show_receipts;
use crate::{
    connection::{Line, Session},
    error::Failure,
    input, moment,
    output::{Row, or_dash},
    pages::{Limit, Listed},
};

#[derive(Subcommand)]
pub(crate) enum Consent {
    /// Note a written consent to biometrics; the same again is the same consent
    Record {
        /// UUID
        #[arg(long)]
        resident: String,
        /// What proves it, e.g. the number of the signed form; - reads it from stdin
        #[arg(long)]
        reference: String,
        /// RFC 3339, or a date for the beginning of that day in UTC
        #[arg(long, value_name = "TIME", value_parser = moment::parse_begin)]
        consented_at: Timestamp,
    },
    /// References are shown to operator/privacy alone
    List {
        /// UUID; without it, of all residents
        #[arg(long, default_value = "", hide_default_value = true)]
        resident: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// End every consent of the resident and destroy all templates; the person stays
    Withdraw { resident_id: String },
    /// Receipts for the templates that withdrawals destroyed; none is shown unless the biometric
    /// store's key signed it
    Receipts {
        resident_id: String,
        #[command(flatten)]
        limit: Limit,
    },
}

/// Who gives the receipts of a withdrawal.
const STORE: &str = "biometric-svc";

type Consents = ConsentServiceClient<Line>;

impl Consent {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut consents = Consents::new(session.access()?);
        match self {
            Self::Record {
                resident,
                reference,
                consented_at,
            } => {
                let request = RecordConsentRequest {
                    resident_id: resident,
                    reference: std::mem::take(&mut *input::personal(reference, "reference")?),
                    consented_at: Some(moment::to_proto(consented_at)),
                };
                let reply = consents.record_consent(request).await?.into_inner();
                session.output.one(reply.consent.as_ref())
            }
            Self::List { resident, limit } => {
                let listed = list(&mut consents, &resident, &limit).await?;
                session.output.list(&listed)
            }
            Self::Withdraw { resident_id } => {
                let request = WithdrawConsentRequest { resident_id };
                let reply = consents.withdraw_consent(request).await?.into_inner();
                session.output.list(&Listed {
                    items: reply.consents,
                    more: false,
                })
            }
            Self::Receipts { resident_id, limit } => {
                let listed = list(&mut consents, &resident_id, &limit).await?;
                listed.note_more();
                receipts(session, resident_id, listed.items).await
            }
        }
    }
}

async fn list(
    consents: &mut Consents,
    resident: &str,
    limit: &Limit,
) -> Result<Listed<access::Consent>, Failure> {
    limit
        .gather(async |page_size, page_token| {
            let request = ListConsentsRequest {
                page_size,
                page_token,
                resident_id: resident.to_owned(),
            };
            let reply = consents.list_consents(request).await?.into_inner();
            Ok((reply.consents, reply.next_page_token))
        })
        .await
}

async fn receipts(
    session: &Session,
    resident_id: String,
    consents: Vec<access::Consent>,
) -> Result<(), Failure> {
    let mut residents = ResidentServiceClient::new(session.access()?);
    let request = GetResidentRequest {
        resident_id,
        external_id: None,
    };
    let reply = residents.get_resident(request).await?.into_inner();
    let resident = reply
        .resident
        .ok_or_else(|| Failure::incomplete("the resident"))?;
    // Consents that were withdrawn together have the same ones.
    let given: BTreeSet<String> = consents.into_iter().flat_map(|one| one.receipts).collect();
    let given: Vec<ErasureReceipt> = given
        .into_iter()
        .map(|jws| ErasureReceipt {
            service: STORE.into(),
            jws,
        })
        .collect();
    show_receipts(session, &given, &resident.audit_pseudonym).await
}

impl Row for access::Consent {
    const MESSAGE: &'static str = "propdev.access.v1.Consent";
    const COLUMNS: &'static [&'static str] = &[
        "CONSENT",
        "RESIDENT",
        "REFERENCE",
        "CONSENTED",
        "WITHDRAWN",
        "ERASED",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.consent_id.clone(),
            self.resident_id.clone(),
            or_dash(&self.reference),
            moment::show(self.consented_at.as_ref()),
            moment::show(self.withdrawn_at.as_ref()),
            moment::show(self.erased_at.as_ref()),
        ]
    }
}
