//! The body of an opening: nothing, a face for a door, or a plate for a
//! barrier.

use http::HeaderMap;
use propdev_proto::{
    access::{BodyFault, DeviceKind, open_request::Evidence},
    auth::PlateReading,
    biometric::FaceVector,
};

use crate::{
    http::{
        body::{self, malformed},
        json::{Json, Object},
        problem,
        vector::{self, VectorFault},
    },
    syntax::{parse_time, to_proto},
};

/// Holds evidence: without `Debug`.
#[derive(Default)]
pub(crate) struct OpeningBody {
    pub(crate) evidence: Option<Evidence>,
    pub(crate) captured_at: Option<prost_types::Timestamp>,
}

pub(crate) fn parse(
    kind: DeviceKind,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<OpeningBody, BodyFault> {
    if bytes.is_empty() {
        return Ok(OpeningBody::default());
    }
    let mut object = body::object(headers, bytes)?;
    if object.has_other_than(&["face", "plate", "captured_at"]) {
        return Err(malformed(
            "The body has a member other than face, plate and captured_at.",
        ));
    }
    let captured_at = match object
        .text("captured_at", "captured_at")
        .map_err(malformed)?
    {
        Some(text) => Some(
            parse_time(&text)
                .map(to_proto)
                .ok_or_else(|| malformed("captured_at is not an RFC 3339 time."))?,
        ),
        None => None,
    };
    let evidence = match (kind, object.take("face"), object.take("plate")) {
        (_, None, None) => None,
        (_, Some(_), Some(_)) => {
            return Err(malformed("face and plate exclude each other."));
        }
        (DeviceKind::Barrier, Some(_), None) => {
            return Err(malformed("A face opens doors, not barriers."));
        }
        (DeviceKind::Door, None, Some(_)) => {
            return Err(malformed("A plate opens barriers, not doors."));
        }
        (_, Some(face), None) => Some(Evidence::Face(read_face(face)?)),
        (_, None, Some(plate)) => Some(Evidence::Plate(read_plate(plate)?)),
    };
    Ok(OpeningBody {
        evidence,
        captured_at,
    })
}

fn read_face(value: Json) -> Result<FaceVector, BodyFault> {
    let mut face = members(value, "face", &["model", "vector"])?;
    let model = required(&mut face, "model", "face.model")?;
    let vector = face
        .take("vector")
        .ok_or_else(|| malformed("face.vector is missing."))?;
    let values = vector::of_json(&vector).map_err(|fault| {
        let entry = match fault {
            VectorFault::NotBase64 | VectorFault::NotNumbers => problem::INVALID_FACE_VECTOR,
            VectorFault::WrongType => problem::MALFORMED_REQUEST,
        };
        body::fault(entry, fault.detail("face.vector"))
    })?;
    Ok(FaceVector { model, values })
}

fn read_plate(value: Json) -> Result<PlateReading, BodyFault> {
    let mut plate = members(value, "plate", &["number", "country"])?;
    let number = required(&mut plate, "number", "plate.number")?;
    let country = plate
        .text("country", "plate.country")
        .map_err(malformed)?
        .unwrap_or_default();
    Ok(PlateReading { number, country })
}

fn members(value: Json, path: &str, names: &[&str]) -> Result<Object, BodyFault> {
    match value {
        Json::Object(object) if object.has_other_than(names) => Err(malformed(format!(
            "{path} has a member other than {}.",
            names.join(" and ")
        ))),
        Json::Object(object) => Ok(object),
        _ => Err(malformed(format!("{path} is not an object."))),
    }
}

fn required(object: &mut Object, name: &str, path: &str) -> Result<String, BodyFault> {
    object
        .text(name, path)
        .map_err(malformed)?
        .ok_or_else(|| malformed(format!("{path} is missing.")))
}
