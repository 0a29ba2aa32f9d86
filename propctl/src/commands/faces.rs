//! Many faces at once. Every line is looked at before the first face is enrolled; from then on
//! each line stands alone.

mod manifest;

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use futures::{StreamExt, stream::FuturesUnordered};
use manifest::{COLUMNS, Face, Values, Vectors, face};
use propdev_proto::{
    access::{
        EnrolFaceRequest, Noun, ResolveExternalIdsRequest,
        reference_service_client::ReferenceServiceClient,
        resident_service_client::ResidentServiceClient,
    },
    biometric::FaceVector,
};
use serde_json::json;
use tonic::{Code, Status};
use uuid::Uuid;

use super::import::NO_SYSTEM;
use crate::{
    connection::{Line, Session},
    csv_file::{self, Fault, Record},
    error::{Failure, describe},
    npy_rows::NpyRows,
    output::{counted, or_dash, table},
};

/// Most external ids of one call.
const IDS: usize = 1_000;
/// What is refused for want of room is tried again, later each time.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

#[derive(Args)]
pub(crate) struct EnrolFaces {
    /// Name of the embedding model, e.g. arcface-r100
    #[arg(long)]
    model: String,
    /// CSV with the columns resident (UUID or external id), consent_reference, consented_at
    /// (RFC 3339 or a date) and, without --vectors, vector (numbers separated by spaces)
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// .npy of two dimensions in float32 or float64: a row for each line of the manifest
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// Whose external ids the manifest has
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    system: String,
    /// Faces that are enrolled at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
}

impl EnrolFaces {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let bytes = csv_file::read(&self.manifest)?;
        let parsed = csv_file::parse(&bytes, COLUMNS);
        drop(bytes);
        let mut faults = parsed.faults;
        let mut vectors = match &self.vectors {
            Some(path) => Vectors::File(NpyRows::open(path)?),
            None => Vectors::Manifest,
        };
        if let Vectors::File(rows) = &vectors
            && faults.is_empty()
            && rows.rows() != parsed.good.len()
        {
            return Err(Failure::Usage(format!(
                "the manifest has {} lines, and there are {} vectors",
                parsed.good.len(),
                rows.rows()
            )));
        }
        let residents = self.resolve(session, &parsed.good).await?;
        // Rows of the vectors' file are counted by lines: with lines missing nobody knows which.
        let aligned = faults.is_empty();
        let mut faces = Vec::with_capacity(parsed.good.len());
        let mut ordinals: HashMap<Uuid, u32> = HashMap::new();
        for (row, record) in parsed.good.iter().enumerate() {
            if aligned && let Err(detail) = vectors.of(record, row)? {
                faults.push(Fault::new(record.line, "vector", detail));
            }
            let resident = residents.get(record.text("resident")).copied();
            let face = face(record, row, resident, &mut ordinals, &mut faults);
            faces.extend(face);
        }
        if !faults.is_empty() {
            let unnamed = if self.system.is_empty() {
                NO_SYSTEM
            } else {
                ""
            };
            return show(session, None, &faults, unnamed);
        }
        if faces.is_empty() {
            return Err(Failure::Usage("the manifest holds no line".into()));
        }
        let faults = self.enrol(session, &faces, &mut vectors).await?;
        show(session, Some(faces.len() - faults.len()), &faults, "")
    }

    /// Residents by how the manifest names them.
    async fn resolve(
        &self,
        session: &Session,
        records: &[Record],
    ) -> Result<HashMap<String, Uuid>, Failure> {
        let texts: BTreeSet<&str> = records.iter().map(|one| one.text("resident")).collect();
        let mut found = HashMap::new();
        let mut external = Vec::new();
        for text in texts {
            match Uuid::try_parse(text) {
                Ok(id) => {
                    found.insert(text.to_owned(), id);
                }
                Err(_) if text.is_empty() || self.system.is_empty() => {}
                Err(_) => external.push(text.to_owned()),
            }
        }
        let mut references = ReferenceServiceClient::new(session.access()?);
        for some in external.chunks(IDS) {
            let request = ResolveExternalIdsRequest {
                noun: Noun::Resident.into(),
                system: self.system.clone(),
                external_ids: some.to_vec(),
            };
            let reply = references.resolve_external_ids(request).await?.into_inner();
            for (text, id) in some.iter().zip(&reply.object_ids) {
                if let Ok(id) = Uuid::try_parse(id) {
                    found.insert(text.clone(), id);
                }
            }
        }
        Ok(found)
    }

    async fn enrol(
        &self,
        session: &Session,
        faces: &[Face<'_>],
        vectors: &mut Vectors,
    ) -> Result<Vec<Fault>, Failure> {
        let residents = ResidentServiceClient::new(session.access()?);
        let mut running = FuturesUnordered::new();
        let mut faults = Vec::new();
        for face in faces {
            match vectors.of(face.record, face.row)? {
                Ok(values) => {
                    let request = self.request(face, values);
                    running.push(enrol_one(residents.clone(), face.record.line, request));
                }
                Err(detail) => faults.push(Fault::new(face.record.line, "vector", detail)),
            }
            if running.len() >= usize::from(self.concurrency)
                && let Some(done) = running.next().await
            {
                faults.extend(done?);
            }
        }
        while let Some(done) = running.next().await {
            faults.extend(done?);
        }
        faults.sort_by_key(|fault| fault.line);
        Ok(faults)
    }

    fn request(&self, face: &Face<'_>, mut values: Values) -> EnrolFaceRequest {
        EnrolFaceRequest {
            resident_id: face.resident.to_string(),
            face: Some(FaceVector {
                model: self.model.clone(),
                values: std::mem::take(&mut *values),
            }),
            consent_reference: face.record.text("consent_reference").to_owned(),
            consented_at: Some(face.consented_at),
            template_id: face.template.to_string(),
        }
    }
}

/// A fault of the line; an error is one of every line.
async fn enrol_one(
    mut residents: ResidentServiceClient<Line>,
    line: u32,
    request: EnrolFaceRequest,
) -> Result<Option<Fault>, Status> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let Err(status) = residents.enrol_face(request.clone()).await else {
            return Ok(None);
        };
        match status.code() {
            Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => {
                return Err(status);
            }
            Code::ResourceExhausted if attempt < ATTEMPTS => {
                tokio::time::sleep(pause).await;
                pause *= 2;
                attempt += 1;
            }
            _ => return Ok(Some(Fault::new(line, "", describe(&status)))),
        }
    }
}

/// Without `enrolled` the lines were looked at, and no more.
fn show(
    session: &Session,
    enrolled: Option<usize>,
    faults: &[Fault],
    hint: &str,
) -> Result<(), Failure> {
    let count = enrolled.unwrap_or_default() as u64;
    session.output.print(
        || {
            let faults = faults.iter().map(
                |fault| json!({ "line": fault.line, "field": fault.field, "detail": fault.detail }),
            );
            Ok(json!({ "enrolled": count, "faults": faults.collect::<Vec<_>>() }))
        },
        || {
            if faults.is_empty() {
                return format!("{} enrolled", counted(count, "face"));
            }
            let rows = faults.iter().map(|fault| {
                let column = or_dash(&fault.field);
                vec![fault.line.to_string(), column, fault.detail.clone()]
            });
            table(&["LINE", "COLUMN", "WHAT IS WRONG"], rows)
        },
    )?;
    if faults.is_empty() {
        return Ok(());
    }
    let lines: BTreeSet<u32> = faults.iter().map(|fault| fault.line).collect();
    let be = if lines.len() == 1 { "is" } else { "are" };
    let lines = counted(lines.len() as u64, "line");
    let message = match enrolled {
        Some(_) => format!("{lines} failed; {} enrolled", counted(count, "face")),
        None => format!("{lines} {be} wrong, and no face was enrolled{hint}"),
    };
    Err(Failure::Outcome {
        message,
        exit_code: Failure::REFUSED,
    })
}
