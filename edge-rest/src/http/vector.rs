//! Face vectors as they come: base64url text, or an array of numbers in JSON.
//! Length and values are judged by who knows the model.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::json::Json;

pub(crate) enum VectorFault {
    NotBase64,
    NotNumbers,
    /// Neither a string nor an array.
    WrongType,
}

impl VectorFault {
    pub(crate) fn detail(&self, path: &str) -> String {
        match self {
            Self::NotBase64 => format!("{path} is not base64url without padding."),
            Self::NotNumbers => format!("{path} holds something that is no number."),
            Self::WrongType => format!("{path} is neither a string nor an array of numbers."),
        }
    }
}

pub(crate) fn of_text(text: &str) -> Result<Vec<u8>, VectorFault> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| VectorFault::NotBase64)
}

/// Little-endian float32; a number too large for one becomes an infinity,
/// which is refused where vectors are judged.
pub(crate) fn of_json(value: &Json) -> Result<Vec<u8>, VectorFault> {
    match value {
        Json::Text(text) => of_text(text),
        Json::Array(items) => {
            let mut bytes = Vec::with_capacity(items.len() * 4);
            for item in items {
                let Json::Number(number) = item else {
                    return Err(VectorFault::NotNumbers);
                };
                bytes.extend_from_slice(&(*number as f32).to_le_bytes());
            }
            Ok(bytes)
        }
        _ => Err(VectorFault::WrongType),
    }
}
