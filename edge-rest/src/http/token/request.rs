//! From parameters to the message that goes inside.

use http::HeaderMap;
use propdev_proto::{
    auth::{IssueTokenRequest, PlateReading, issue_token_request::Evidence},
    biometric::FaceVector,
};

use super::{credentials, error::TokenError, form, parameters::Parameters};
use crate::{
    caller::Caller,
    syntax::{is_partner_id, parse_time, to_proto},
};

/// What must never stand in a URL, where proxies and histories keep it.
const NEVER_IN_QUERY: [&str; 7] = [
    "token",
    "client_id",
    "client_secret",
    "client_assertion",
    "face_vector",
    "plate",
    "access_token",
];

pub(crate) fn refuse_query(query: Option<&str>) -> Result<(), TokenError> {
    let Some(query) = query else { return Ok(()) };
    let fault =
        || TokenError::invalid_request("Parameters belong into the body, not into the query.");
    let pairs = form::pairs(query.as_bytes()).map_err(|_| fault())?;
    if pairs
        .iter()
        .any(|(name, _)| NEVER_IN_QUERY.contains(&name.as_str()))
    {
        return Err(fault());
    }
    Ok(())
}

pub(crate) fn read(
    headers: &HeaderMap,
    parameters: Parameters,
    caller: Option<&Caller>,
) -> Result<IssueTokenRequest, TokenError> {
    let credentials = credentials::read(headers, &parameters, caller)?;
    let grant_type = parameters
        .grant_type
        .ok_or_else(|| TokenError::invalid_request("grant_type is missing."))?;
    let captured_at = parameters
        .captured_at
        .map(|text| {
            parse_time(&text)
                .map(to_proto)
                .ok_or_else(|| TokenError::invalid_request("captured_at is not an RFC 3339 time."))
        })
        .transpose()?;
    let device_id = parameters.device_id.unwrap_or_default();
    if !device_id.is_empty() && !is_partner_id(&device_id) {
        return Err(TokenError::invalid_request(
            "device_id is not 1 to 128 of A-Z a-z 0-9 . _ : -",
        ));
    }
    let face = match (parameters.face_model, parameters.face_vector) {
        (None, None) => None,
        (Some(model), Some(values)) => Some(FaceVector { model, values }),
        (None, Some(_)) => return Err(TokenError::invalid_request("face_model is missing.")),
        // Else a client that lost its vector would get a token of its own.
        (Some(_), None) => return Err(TokenError::invalid_request("face_vector is missing.")),
    };
    let plate = match (parameters.plate, parameters.plate_country) {
        (None, None) => None,
        (Some(number), country) => Some(PlateReading {
            number,
            country: country.unwrap_or_default(),
        }),
        (None, Some(_)) => return Err(TokenError::invalid_request("plate is missing.")),
    };
    let evidence = match (face, plate) {
        (None, None) => None,
        (Some(face), None) => Some(Evidence::Face(face)),
        (None, Some(plate)) => Some(Evidence::Plate(plate)),
        (Some(_), Some(_)) => {
            return Err(TokenError::invalid_request(
                "face_vector and plate exclude each other.",
            ));
        }
    };
    Ok(IssueTokenRequest {
        credentials: Some(credentials),
        grant_type,
        scope: parameters.scope.unwrap_or_default(),
        evidence,
        captured_at,
        device_id,
        resources: parameters.resources,
        request_id: super::request_id(),
        traceparent: mesh::trace::traceparent(),
    })
}
