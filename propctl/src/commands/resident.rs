use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use mesh::{Clock, SystemClock};
use propdev_proto::{
    access::{
        self, CreateResidentRequest, EnrolFaceRequest, EnrolFaceResponse, EraseResidentRequest,
        EraseResidentResponse, ErasureReason, ListResidentsRequest, SetResidentStateRequest,
        resident_service_client::ResidentServiceClient,
    },
    biometric::FaceVector,
};

use crate::{
    connection::{Line, Session},
    error::Failure,
    input, moment,
    output::{self, Row, or_dash},
    pages::Limit,
    vector_file,
};

#[derive(Subcommand)]
pub(crate) enum Resident {
    Add {
        /// - reads it from stdin, which keeps it out of the shell's history
        #[arg(long)]
        name: String,
        /// Sites (UUID) where the resident is recognised
        #[arg(long, required = true, num_args = 1.., value_delimiter = ',')]
        site: Vec<String>,
    },
    /// Names are shown to operator/privacy alone
    List(Limit),
    /// Open nothing for the resident
    Suspend {
        resident_id: String,
    },
    Resume {
        resident_id: String,
    },
    /// Destroy the resident's templates, keys and personal data for good
    Erase {
        resident_id: String,
        /// As the act of destruction names it
        #[arg(long, value_enum, default_value_t = Reason::Requested)]
        reason: Reason,
        /// Do not ask for the id once more
        #[arg(long)]
        yes: bool,
    },
    /// Store a template of the resident's face
    EnrolFace(EnrolFace),
}

#[derive(Args)]
pub(crate) struct EnrolFace {
    resident_id: String,
    /// Name of the embedding model, e.g. arcface-r100
    #[arg(long)]
    model: String,
    /// The vector: a JSON array, or .npy of one dimension in float32 or float64
    #[arg(long)]
    file: PathBuf,
    /// What proves the consent, e.g. the number of the signed form
    #[arg(long, value_name = "REFERENCE")]
    consent_reference: String,
    /// RFC 3339; without it, now
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    consented_at: Option<Timestamp>,
    /// UUID of a template to replace; without it, a new one
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    template_id: String,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Reason {
    Requested,
    ConsentWithdrawn,
    MovedOut,
    RetentionEnded,
}

impl From<Reason> for ErasureReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Requested => Self::Requested,
            Reason::ConsentWithdrawn => Self::ConsentWithdrawn,
            Reason::MovedOut => Self::MovedOut,
            Reason::RetentionEnded => Self::RetentionEnded,
        }
    }
}

type Residents = ResidentServiceClient<Line>;

impl Resident {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut residents = Residents::new(session.access()?);
        match self {
            Self::Add { name, site } => {
                let request = CreateResidentRequest {
                    name: std::mem::take(&mut *input::personal(name, "name")?),
                    site_ids: site,
                };
                let reply = residents.create_resident(request).await?.into_inner();
                session.output.one(reply.resident.as_ref())
            }
            Self::List(limit) => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListResidentsRequest {
                            page_size,
                            page_token,
                        };
                        let reply = residents.list_residents(request).await?.into_inner();
                        Ok((reply.residents, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Suspend { resident_id } => {
                set_state(&mut residents, session, resident_id, true).await
            }
            Self::Resume { resident_id } => {
                set_state(&mut residents, session, resident_id, false).await
            }
            Self::Erase {
                resident_id,
                reason,
                yes,
            } => {
                if !yes {
                    confirm(&resident_id)?;
                }
                let request = EraseResidentRequest {
                    resident_id,
                    reason: ErasureReason::from(reason).into(),
                };
                let reply = residents.erase_resident(request).await?.into_inner();
                session.output.one(Some(&reply))
            }
            Self::EnrolFace(enrol) => {
                let reply = residents.enrol_face(enrol.request()?).await?.into_inner();
                session.output.one(Some(&reply))
            }
        }
    }
}

async fn set_state(
    residents: &mut Residents,
    session: &Session,
    resident_id: String,
    suspended: bool,
) -> Result<(), Failure> {
    let request = SetResidentStateRequest {
        resident_id,
        suspended,
    };
    let reply = residents.set_resident_state(request).await?.into_inner();
    session.output.one(reply.resident.as_ref())
}

/// Erasure cannot be undone.
fn confirm(resident_id: &str) -> Result<(), Failure> {
    output::note(&format!(
        "everything of resident {resident_id} will be destroyed for good"
    ));
    output::ask("Type the id to confirm:");
    if *input::line()? == resident_id {
        return Ok(());
    }
    Err(Failure::Usage(
        "the id typed is another; nothing was erased".into(),
    ))
}

impl EnrolFace {
    fn request(self) -> Result<EnrolFaceRequest, Failure> {
        let mut values = vector_file::read(&self.file)?;
        let consented_at = self.consented_at.unwrap_or_else(|| SystemClock.now());
        Ok(EnrolFaceRequest {
            resident_id: self.resident_id,
            face: Some(FaceVector {
                model: self.model,
                values: std::mem::take(&mut *values),
            }),
            consent_reference: self.consent_reference,
            consented_at: Some(moment::to_proto(consented_at)),
            template_id: self.template_id,
        })
    }
}

impl Row for access::Resident {
    const MESSAGE: &'static str = "propdev.access.v1.Resident";
    const COLUMNS: &'static [&'static str] = &["RESIDENT", "NAME", "SITES", "STATE", "PSEUDONYM"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.resident_id.clone(),
            or_dash(&self.name),
            or_dash(&self.site_ids.join(",")),
            if self.suspended {
                "suspended"
            } else {
                "active"
            }
            .into(),
            or_dash(&self.audit_pseudonym),
        ]
    }
}

impl Row for EnrolFaceResponse {
    const MESSAGE: &'static str = "propdev.access.v1.EnrolFaceResponse";
    const COLUMNS: &'static [&'static str] = &["TEMPLATE", "TEMPLATES NOW"];

    fn cells(&self) -> Vec<String> {
        vec![self.template_id.clone(), self.templates.to_string()]
    }
}

impl Row for EraseResidentResponse {
    const MESSAGE: &'static str = "propdev.access.v1.EraseResidentResponse";
    const COLUMNS: &'static [&'static str] = &[
        "ERASED AT",
        "TEMPLATES",
        "VEHICLES",
        "KEYS AND FOBS",
        "GRANTS",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            moment::show(self.erased_at.as_ref()),
            self.templates.to_string(),
            self.vehicles.to_string(),
            self.credentials.to_string(),
            self.grants.to_string(),
        ]
    }
}
