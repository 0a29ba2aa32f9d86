//! The simulator's controls.

use reqwest::Certificate;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, layout::Layout};

/// Talks to the simulator, and to the edge as a partner would.
#[derive(Clone)]
pub struct Sim {
    http: reqwest::Client,
    base: String,
}

/// How the simulator is registered to play a partner.
pub struct PartnerAccess {
    pub name: String,
    pub client_id: String,
    pub client_secret: String,
    pub intercom: (String, String),
    pub barrier: (String, String),
    pub doors: Vec<String>,
    pub barriers: Vec<String>,
}

/// One request of a flow.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    pub name: String,
    pub method: String,
    pub path: String,
    pub status: u16,
    pub duration_us: u64,
    pub body: Value,
}

#[derive(Deserialize)]
struct Account {
    steps: Vec<Step>,
}

impl Sim {
    pub fn new(layout: &Layout) -> Result<Self, Error> {
        Ok(Self {
            http: client(layout)?,
            base: layout.simulator_url(),
        })
    }

    pub async fn put_partner(&self, partner: &PartnerAccess) -> Result<(), Error> {
        let body = json!({
            "name": partner.name,
            "client_id": partner.client_id,
            "client_secret": partner.client_secret,
            "intercom_client_id": partner.intercom.0,
            "intercom_client_secret": partner.intercom.1,
            "barrier_client_id": partner.barrier.0,
            "barrier_client_secret": partner.barrier.1,
            "doors": partner.doors,
            "barriers": partner.barriers,
        });
        let url = format!("{}/_sim/partners/{}", self.base, partner.name);
        self.http
            .put(url)
            .json(&body)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Something happens before a camera or at a reader.
    pub async fn act(&self, path: &str, body: &Value) -> Result<Vec<Step>, Error> {
        let url = format!("{}{path}", self.base);
        let answer = self
            .http
            .post(url)
            .json(body)
            .send()
            .await?
            .error_for_status()?;
        Ok(answer.json::<Account>().await?.steps)
    }

    pub async fn behave(&self, behaviour: &Value) -> Result<(), Error> {
        let url = format!("{}/_sim/behaviour", self.base);
        self.http
            .put(url)
            .json(behaviour)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Every command received, in order.
    pub async fn commands(&self) -> Result<Vec<Value>, Error> {
        self.received("commands").await
    }

    /// Forgets the commands received so far.
    pub async fn forget_commands(&self) -> Result<(), Error> {
        let url = format!("{}/_sim/commands", self.base);
        self.http.delete(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// Every request for a token that was received, without its credentials.
    pub async fn token_requests(&self) -> Result<Vec<Value>, Error> {
        self.received("token-requests").await
    }

    async fn received(&self, what: &str) -> Result<Vec<Value>, Error> {
        let url = format!("{}/_sim/{what}", self.base);
        let answer = self.http.get(url).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }
}

/// An HTTPS client that trusts the development CA.
pub fn client(layout: &Layout) -> Result<reqwest::Client, Error> {
    let path = layout.ca();
    let pem = std::fs::read(&path).map_err(Error::file(path))?;
    Ok(reqwest::Client::builder()
        .tls_certs_only([Certificate::from_pem(&pem)?])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?)
}
