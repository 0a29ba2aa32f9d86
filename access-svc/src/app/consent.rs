//! Consents to biometrics, and their withdrawal.

use jiff::Timestamp;
use mesh::fault;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{App, erasure::outlive_caller};
use crate::{
    domain::consent,
    error::{Error, Noun},
    store::{Consent, NewConsent, Page, Withdrawal},
};

impl App {
    pub(crate) async fn record_consent(
        &self,
        resident: Uuid,
        reference: Zeroizing<String>,
        consented_at: Timestamp,
        with_reference: bool,
    ) -> Result<Consent, Error> {
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        consent::check(("reference", reference.as_str()), consented_at, now)?;
        let new = NewConsent {
            resident,
            reference,
            consented_at,
        };
        let recorded = store.record_consent(new, now, self.act("consent_recorded"));
        let found = store.consent(recorded.await?, with_reference).await?;
        found.ok_or(Error::NotFound(Noun::Consent))
    }

    pub(crate) async fn list_consents(
        &self,
        resident: Option<Uuid>,
        page: Page,
        with_references: bool,
    ) -> Result<Vec<Consent>, Error> {
        let store = &self.parts.store;
        store.list_consents(resident, page, with_references).await
    }

    /// The same again answers the same. It runs on when the caller goes away.
    pub(crate) async fn withdraw_consents(
        &self,
        resident: Uuid,
        with_references: bool,
    ) -> Result<Vec<Consent>, Error> {
        let app = self.clone();
        let withdrawal = outlive_caller(async move { app.withdraw_and_erase(resident).await });
        let withdrawal = withdrawal.await?;
        let store = &self.parts.store;
        store
            .consents_withdrawn_by(withdrawal, with_references)
            .await
    }

    async fn withdraw_and_erase(&self, resident: Uuid) -> Result<Uuid, Error> {
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        let telling = self.act("consent_withdrawn");
        let begun = store.withdraw_consents(resident, now, telling).await?;
        fault::point("withdrawal.after_intent");
        let id = begun.id;
        self.finish_withdrawal(begun).await.map_err(|error| {
            tracing::warn!(%error, "a withdrawal is unfinished");
            Error::WithdrawalUnfinished
        })?;
        Ok(id)
    }

    /// One that fails does not hold up the others.
    pub(super) async fn finish_withdrawals(&self, of: Option<Uuid>) -> Result<(), Error> {
        let mut outcome = Ok(());
        for withdrawal in self.parts.store.unfinished_withdrawals(of).await? {
            let finished = self.finish_withdrawal(withdrawal).await;
            outcome = finished.and(outcome);
        }
        outcome
    }

    async fn finish_withdrawal(&self, withdrawal: Withdrawal) -> Result<(), Error> {
        let Some(subject) = withdrawal.subject else {
            return Ok(());
        };
        let parts = &self.parts;
        let erased = parts
            .biometric
            .erase(subject, withdrawal.pseudonym, &withdrawal.order())
            .await?;
        fault::point("withdrawal.after_biometrics");
        // One of an older release gives none.
        let receipts = Some(erased.receipt).filter(|jws| !jws.is_empty());
        let receipts: Vec<String> = receipts.into_iter().collect();
        let telling = self.act("consent_templates_erased");
        let now = parts.clock.now();
        parts
            .store
            .templates_erased(withdrawal, &receipts, now, telling)
            .await
    }
}
