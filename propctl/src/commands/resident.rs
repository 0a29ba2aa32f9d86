use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use mesh::{Clock, SystemClock};
use propdev_proto::{
    access::{
        self, CreateResidentRequest, EnrolFaceRequest, EnrolFaceResponse, EraseResidentRequest,
        EraseResidentResponse, ErasureReason, GetResidentRequest, ListResidentsRequest,
        SetResidentStateRequest, UpdateResidentRequest,
        resident_service_client::ResidentServiceClient,
    },
    biometric::FaceVector,
};

use super::faces::EnrolFaces;
use crate::{
    connection::{Line, Session},
    error::Failure,
    input, moment,
    output::{self, Row, or_dash},
    pages::Limit,
    reference::{ChangedExternalIds, Changes, Etag, ExternalIds, Named, parse_named},
    vector_file,
};

#[derive(Subcommand)]
pub(crate) enum Resident {
    Add {
        /// - reads it from stdin, which keeps it out of the shell's history
        #[arg(long)]
        name: String,
        /// Sites (UUID) where the resident is recognised
        #[arg(long, required_unless_present = "household", num_args = 1.., value_delimiter = ',')]
        site: Vec<String>,
        /// Households (UUID) of which the resident is a member
        #[arg(long, num_args = 1.., value_delimiter = ',')]
        household: Vec<String>,
        #[command(flatten)]
        external_ids: ExternalIds,
    },
    /// The name is shown to operator/privacy alone
    Get {
        /// UUID, or another system's id as SYSTEM=ID
        #[arg(value_parser = parse_named)]
        resident: Named,
    },
    /// Names are shown to operator/privacy alone
    List {
        /// UUID; without it, of all sites
        #[arg(long, default_value = "", hide_default_value = true)]
        site: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Change the name, or where the resident is recognised
    Update {
        resident_id: String,
        /// - reads it from stdin
        #[arg(long)]
        name: Option<String>,
        /// In place of all sites; those of the resident's households stay
        #[arg(long, num_args = 1.., value_delimiter = ',')]
        site: Vec<String>,
        #[command(flatten)]
        external_ids: ChangedExternalIds,
        #[command(flatten)]
        etag: Etag,
    },
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
    /// Store templates of many residents' faces
    EnrolFaces(EnrolFaces),
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
    /// RFC 3339, or a date for the beginning of that day in UTC; without it, now
    #[arg(long, value_name = "TIME", value_parser = moment::parse_begin)]
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
            Self::Add {
                name,
                site,
                household,
                external_ids,
            } => {
                let request = CreateResidentRequest {
                    name: std::mem::take(&mut *input::personal(name, "name")?),
                    site_ids: site,
                    household_ids: household,
                    external_ids: external_ids.into_map(),
                };
                let reply = residents.create_resident(request).await?.into_inner();
                session.output.one(reply.resident.as_ref())
            }
            Self::Get { resident } => {
                let request = GetResidentRequest {
                    resident_id: resident.id,
                    external_id: resident.external_id,
                };
                let reply = residents.get_resident(request).await?.into_inner();
                session.output.one(reply.resident.as_ref())
            }
            Self::Update {
                resident_id,
                name,
                site,
                external_ids,
                etag,
            } => {
                let name = name.map(|name| input::personal(name, "name")).transpose()?;
                let name = name.map(|mut name| std::mem::take(&mut *name));
                let mut changes = Changes::default();
                let resident = access::Resident {
                    resident_id,
                    name: changes.take("name", name),
                    site_ids: changes.take("site_ids", Some(site).filter(|all| !all.is_empty())),
                    external_ids: changes.take("external_ids", external_ids.changed()),
                    etag: etag.etag,
                    ..access::Resident::default()
                };
                let request = UpdateResidentRequest {
                    resident: Some(resident),
                    update_mask: changes.mask()?,
                };
                let reply = residents.update_resident(request).await?.into_inner();
                session.output.one(reply.resident.as_ref())
            }
            Self::EnrolFaces(faces) => faces.run(session).await,
            Self::List { site, limit } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListResidentsRequest {
                            page_size,
                            page_token,
                            site_id: site.clone(),
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
    const COLUMNS: &'static [&'static str] =
        &["RESIDENT", "NAME", "SITES", "STATE", "PSEUDONYM", "ETAG"];

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
            self.etag.clone(),
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
