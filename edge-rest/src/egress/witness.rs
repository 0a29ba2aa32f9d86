//! A checkpoint of the audit log to a witness (C2SP tlog-witness): what leaves
//! is a size, hashes and a signature.

use std::{fmt::Write, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use propdev_proto::gateway::{
    AddCheckpointRequest, AddCheckpointResponse, add_checkpoint_response::Outcome,
};
use reqwest::Response;

use super::{
    Egress,
    settings::{SettingsFault, https, own_roots},
};

/// Shorter than the call that waits for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// Signatures of a witness are a line or two.
const MOST: usize = 16 * 1024;

impl Egress {
    /// An error for what no witness can be asked with.
    pub(crate) async fn add_checkpoint(
        &self,
        request: &AddCheckpointRequest,
    ) -> Result<AddCheckpointResponse, SettingsFault> {
        let mut url = https("url", &request.url, self.clients.addresses())?;
        let path = format!("{}/add-checkpoint", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let client = self.clients.of(own_roots(&request.ca_pem)?)?;
        let sent = client
            .post(url)
            .timeout(ANSWER_WITHIN)
            .body(body(request))
            .send()
            .await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                tracing::info!(timeout = error.is_timeout(), "witness not reached");
                return Ok(answer(Outcome::Unreachable, 0));
            }
        };
        let status = response.status();
        let text = text(response).await;
        Ok(match (status, text) {
            (StatusCode::OK, Some(signatures)) => AddCheckpointResponse {
                signatures,
                ..answer(Outcome::Accepted, status.as_u16())
            },
            (StatusCode::CONFLICT, Some(size)) => match size.trim().parse() {
                Ok(known_size) => AddCheckpointResponse {
                    known_size,
                    ..answer(Outcome::Conflict, status.as_u16())
                },
                Err(_) => answer(Outcome::Refused, status.as_u16()),
            },
            _ => answer(Outcome::Refused, status.as_u16()),
        })
    }
}

/// The old size, the proof, an empty line, the signed note.
fn body(request: &AddCheckpointRequest) -> String {
    let mut body = format!("old {}\n", request.old_size);
    for hash in &request.consistency {
        // Writing to a text does not fail.
        let _ = writeln!(body, "{}", STANDARD.encode(hash));
    }
    body.push('\n');
    body.push_str(&request.checkpoint);
    body
}

fn answer(outcome: Outcome, status: u16) -> AddCheckpointResponse {
    AddCheckpointResponse {
        outcome: outcome.into(),
        status: status.into(),
        ..AddCheckpointResponse::default()
    }
}

/// None for what is too long, cut off or no text.
async fn text(mut response: Response) -> Option<String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > MOST {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C2SP tlog-witness, its example.
    #[test]
    fn a_request_is_written_as_witnesses_read_it() {
        let hash = STANDARD.decode("PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=");
        let request = AddCheckpointRequest {
            old_size: 20_852_014,
            consistency: vec![hash.expect("base64")],
            checkpoint: "example.com/behind-the-sofa\n20852163\n".into(),
            ..AddCheckpointRequest::default()
        };
        assert_eq!(
            body(&request),
            "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\n\
             example.com/behind-the-sofa\n20852163\n"
        );
    }
}
