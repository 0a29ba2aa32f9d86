//! A partner's engineer: plain HTTPS against the edge, nothing hidden.

use devmesh::{layout::Layout, sim};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};

/// Calls the edge with one client's credentials.
#[derive(Clone)]
pub struct Partner {
    http: reqwest::Client,
    pub edge: String,
    pub client_id: String,
    pub client_secret: String,
}

/// An answer of the edge.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Status and code (or OAuth error) in one, for comparing.
    pub fn told(&self) -> (u16, &str) {
        let text = |name: &str| self.body[name].as_str();
        (
            self.status,
            text("code").or_else(|| text("error")).unwrap_or(""),
        )
    }

    pub fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_default().to_owned()
    }
}

impl Partner {
    pub(crate) fn new(layout: &Layout, client_id: &str, client_secret: &str) -> Self {
        Self {
            http: sim::client(layout).expect("an HTTPS client"),
            edge: layout.edge_url(),
            client_id: client_id.into(),
            client_secret: client_secret.into(),
        }
    }

    /// A request to the edge, to be sent with [`Partner::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.edge))
    }

    pub async fn send(request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.json().await.unwrap_or(Value::Null);
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Asks for a token by form, with these parameters besides the grant type.
    pub async fn ask_token(&self, parameters: &[(&str, &str)]) -> Answer {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend_from_slice(parameters);
        let request = self
            .request(Method::POST, "/oauth2/token")
            .basic_auth(&self.client_id, Some(&self.client_secret))
            .form(&form);
        Self::send(request).await
    }

    /// The same as another client, which says who it is in the parameters.
    pub async fn ask_token_unauthenticated(&self, parameters: &[(&str, &str)]) -> Answer {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend_from_slice(parameters);
        Self::send(self.request(Method::POST, "/oauth2/token").form(&form)).await
    }

    /// Posts a form with this client's secret.
    pub async fn post_form(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = self
            .request(Method::POST, path)
            .basic_auth(&self.client_id, Some(&self.client_secret))
            .form(form);
        Self::send(request).await
    }

    /// Whether a token is active, as introspection tells this client.
    pub async fn is_active(&self, token: &str) -> bool {
        let answer = self
            .post_form("/oauth2/introspect", &[("token", token)])
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["active"] == true
    }

    /// The same client over another HTTPS client.
    pub fn over(&self, http: reqwest::Client) -> Self {
        Self {
            http,
            ..self.clone()
        }
    }

    /// A client-only token.
    pub async fn token(&self) -> String {
        let answer = self.ask_token(&[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("access_token")
    }

    pub async fn ask_face_token(&self, vector: &[f32]) -> Answer {
        let evidence = partner_sim::face::to_base64url(vector);
        let model = devmesh::estate::MODEL;
        self.ask_token(&[("face_vector", &evidence), ("face_model", model)])
            .await
    }

    pub async fn face_token(&self, vector: &[f32]) -> String {
        let answer = self.ask_face_token(vector).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("access_token")
    }

    pub async fn plate_token(&self, plate: &str) -> String {
        let answer = self.ask_token(&[("plate", plate)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("access_token")
    }

    /// Opens with an empty body.
    pub async fn open_door(&self, device: &str, token: &str) -> Answer {
        self.post(&format!("/v1/doors/{device}/open"), token, None)
            .await
    }

    pub async fn open_barrier(&self, device: &str, token: &str) -> Answer {
        self.post(&format!("/v1/barriers/{device}/open"), token, None)
            .await
    }

    /// Opens with the vector in the call.
    pub async fn open_by_face(&self, device: &str, token: &str, vector: &[f32]) -> Answer {
        let body = json!({"face": {"model": devmesh::estate::MODEL, "vector": vector}});
        self.post(&format!("/v1/doors/{device}/open"), token, Some(&body))
            .await
    }

    pub async fn open_by_plate(&self, device: &str, token: &str, plate: &str) -> Answer {
        let body = json!({"plate": {"number": plate}});
        self.post(&format!("/v1/barriers/{device}/open"), token, Some(&body))
            .await
    }

    pub async fn post(&self, path: &str, token: &str, body: Option<&Value>) -> Answer {
        let mut request = self.request(Method::POST, path).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        Self::send(request).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        Self::send(self.request(Method::GET, path).bearer_auth(token)).await
    }
}
