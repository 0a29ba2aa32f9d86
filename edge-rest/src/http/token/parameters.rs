//! The parameters of a token request, alike from a form and from JSON. A
//! parameter without a value counts as absent, a repeated one is a fault, an
//! unknown one is ignored (RFC 6749 section 3.2).

use secrecy::SecretString;
use std::collections::HashSet;

use super::{error::TokenError, form};
use crate::http::{
    body,
    json::Json,
    vector::{self, VectorFault},
};

/// Holds a secret and evidence: without `Debug`.
#[derive(Default)]
pub(crate) struct Parameters {
    pub(crate) grant_type: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<SecretString>,
    pub(crate) client_assertion: Option<SecretString>,
    pub(crate) client_assertion_type: Option<String>,
    pub(crate) face_vector: Option<Vec<u8>>,
    pub(crate) face_model: Option<String>,
    pub(crate) plate: Option<String>,
    pub(crate) plate_country: Option<String>,
    pub(crate) captured_at: Option<String>,
    pub(crate) device_id: Option<String>,
    pub(crate) resources: Vec<String>,
    /// What introspection and revocation are about.
    pub(crate) token: Option<SecretString>,
}

impl Parameters {
    pub(crate) fn of_form(bytes: &[u8]) -> Result<Self, TokenError> {
        let pairs = form::pairs(bytes).map_err(|_| {
            TokenError::invalid_request(
                "The form is not URL-encoded UTF-8 without zero characters.",
            )
        })?;
        let mut parameters = Self::default();
        let mut seen = HashSet::new();
        for (name, value) in pairs {
            // RFC 8707 lets a request name several resources.
            if name != "resource" && !seen.insert(name.clone()) {
                return Err(TokenError::invalid_request("A parameter is repeated."));
            }
            if value.is_empty() {
                continue;
            }
            if name == "face_vector" {
                let vector = vector::of_text(&value).map_err(vector_fault)?;
                parameters.face_vector = Some(bounded(&name, vector)?);
            } else {
                parameters.set(&name, bounded(&name, value)?);
            }
        }
        parameters.whole()
    }

    pub(crate) fn of_json(bytes: &[u8]) -> Result<Self, TokenError> {
        let mut object = match Json::parse(bytes) {
            Ok(Json::Object(object)) => object,
            Ok(_) => {
                return Err(TokenError::invalid_request(
                    "The body is not a JSON object.",
                ));
            }
            Err(fault) => return Err(TokenError::invalid_request(fault)),
        };
        let mut parameters = Self::default();
        for name in TEXTS {
            let text = object
                .text(name, name)
                .map_err(TokenError::invalid_request)?;
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                parameters.set(name, bounded(name, text)?);
            }
        }
        match object.take("face_vector") {
            None => {}
            Some(Json::Text(text)) if text.is_empty() => {}
            Some(value) => {
                let vector = vector::of_json(&value).map_err(vector_fault)?;
                parameters.face_vector = Some(bounded("face_vector", vector)?);
            }
        }
        match object.take("resource") {
            None => {}
            Some(Json::Array(items)) => {
                for item in items {
                    parameters.resources.push(resource(item)?);
                }
            }
            Some(item) => parameters.resources.push(resource(item)?),
        }
        parameters.whole()
    }

    fn whole(self) -> Result<Self, TokenError> {
        if self.resources.len() > MOST_RESOURCES {
            return Err(TokenError::invalid_request("resource stands too often."));
        }
        Ok(self)
    }

    fn set(&mut self, name: &str, value: String) {
        match name {
            "grant_type" => self.grant_type = Some(value),
            "scope" => self.scope = Some(value),
            "client_id" => self.client_id = Some(value),
            "client_secret" => self.client_secret = Some(value.into()),
            "client_assertion" => self.client_assertion = Some(value.into()),
            "client_assertion_type" => self.client_assertion_type = Some(value),
            "token" => self.token = Some(value.into()),
            "face_model" => self.face_model = Some(value),
            "plate" => self.plate = Some(value),
            "plate_country" => self.plate_country = Some(value),
            "captured_at" => self.captured_at = Some(value),
            "device_id" => self.device_id = Some(value),
            "resource" => self.resources.push(value),
            _ => {}
        }
    }
}

/// The parameters whose value is one text.
const TEXTS: [&str; 12] = [
    "token",
    "grant_type",
    "scope",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "face_model",
    "plate",
    "plate_country",
    "captured_at",
    "device_id",
];

const MOST_RESOURCES: usize = 16;

/// What goes inside shares a call with others' requests: no more of it than a
/// real request has.
fn bounded<T: AsRef<[u8]>>(name: &str, value: T) -> Result<T, TokenError> {
    let most = match name {
        // 1,024 numbers: no model has more.
        "face_vector" => 4 * 1024,
        "client_assertion" => 8 * 1024,
        "token" => body::LIMIT,
        name if name == "resource" || TEXTS.contains(&name) => 1024,
        _ => return Ok(value),
    };
    if value.as_ref().len() > most {
        return Err(TokenError::invalid_request(format!("{name} is too long.")));
    }
    Ok(value)
}

fn resource(value: Json) -> Result<String, TokenError> {
    match value {
        Json::Text(text) if !text.is_empty() && !text.contains('\0') => bounded("resource", text),
        _ => Err(TokenError::invalid_request("resource is not a URI.")),
    }
}

fn vector_fault(fault: VectorFault) -> TokenError {
    TokenError::invalid_request(fault.detail("face_vector"))
}
