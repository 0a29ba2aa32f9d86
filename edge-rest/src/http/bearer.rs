//! The bearer token of a request (RFC 6750 section 2.1). The edge does not
//! look into it: access-svc verifies it itself.

use http::{Extensions, HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};

use super::problem::Problem;
use crate::caller::Caller;

pub(crate) struct Bearer(SecretString);

impl Bearer {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Err(Problem::unauthenticated(false));
        };
        let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' '))
        else {
            return Err(Problem::unauthenticated(false));
        };
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(Problem::unauthenticated(false));
        }
        let token = token.trim_matches(' ');
        if values.next().is_some() || !is_b64token(token) {
            return Err(Problem::unauthenticated(true));
        }
        Ok(Self(token.into()))
    }

    /// For the one message that carries it inside.
    pub(crate) fn into_message(self) -> String {
        self.0.expose_secret().to_owned()
    }
}

/// Of the certificate that was shown with the request; empty for none.
pub(crate) fn certificate_sha256(extensions: &Extensions) -> Vec<u8> {
    extensions
        .get::<Caller>()
        .map_or_else(Vec::new, Caller::certificate_sha256)
}

fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty()
        && body.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        })
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    fn challenge(values: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("authorization", value.parse().expect("a value"));
        }
        let problem = Bearer::of(&headers).err()?;
        let response = problem.into_response();
        assert_eq!(response.status().as_u16(), 401);
        Some(
            response.headers()["www-authenticate"]
                .to_str()
                .expect("text")
                .to_owned(),
        )
    }

    #[test]
    fn tokens_are_read_and_faults_challenged() {
        assert_eq!(challenge(&["Bearer a.b-c_d~e+f/g=="]), None);
        assert_eq!(challenge(&["bearer  abc"]), None);
        for none in [&[][..], &["Basic YTpi"], &["Bearer"], &["abc"]] {
            assert_eq!(challenge(none).as_deref(), Some("Bearer"), "{none:?}");
        }
        for bad in [
            &["Bearer a b"][..],
            &["Bearer a\"b"],
            &["Bearer ="],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(
                challenge(bad).as_deref(),
                Some("Bearer error=\"invalid_token\""),
                "{bad:?}"
            );
        }
    }
}
