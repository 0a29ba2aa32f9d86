//! One partner: its settings in force and what is kept between commands.

use tokio::sync::Semaphore;

use super::{
    breaker::Breaker,
    settings::{OurClient, Settings},
    token::{self, Token, TokenFault, TokenSlot},
};

pub(crate) struct Partner {
    pub(crate) settings: Settings,
    pub(crate) client: reqwest::Client,
    pub(crate) places: Semaphore,
    pub(crate) breaker: Breaker,
    intercom: TokenSlot,
    barrier: TokenSlot,
}

impl Partner {
    pub(crate) fn new(settings: Settings, client: reqwest::Client, places: usize) -> Self {
        Self {
            settings,
            client,
            places: Semaphore::new(places),
            breaker: Breaker::new(),
            intercom: TokenSlot::default(),
            barrier: TokenSlot::default(),
        }
    }

    pub(crate) fn version(&self) -> i64 {
        self.settings.version
    }

    pub(crate) async fn token(&self, client: OurClient) -> Result<Token, TokenFault> {
        self.slot(client).get(|| self.fresh_token(client)).await
    }

    /// A token that nobody has used, kept for nobody.
    pub(crate) async fn fresh_token(&self, client: OurClient) -> Result<Token, TokenFault> {
        let credentials = self.settings.credentials(client);
        token::fetch(&self.client, &self.settings.token_url, credentials).await
    }

    pub(crate) async fn drop_token(&self, client: OurClient, refused: &Token) {
        self.slot(client).drop_token(refused).await;
    }

    fn slot(&self, client: OurClient) -> &TokenSlot {
        match client {
            OurClient::Intercom => &self.intercom,
            OurClient::Barrier => &self.barrier,
        }
    }
}
