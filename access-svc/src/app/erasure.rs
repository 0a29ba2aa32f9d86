//! Final deletion of a resident: a sequence of steps, each durable before the
//! next, that a crash or an absent service interrupts and that is gone on with
//! by itself.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use mesh::{context::CallContext, custody::CustodyError, fault, shutdown::Shutdown};
use tracing::Instrument;
use uuid::Uuid;

use super::App;
use crate::{
    SERVICE,
    clients::BIOMETRIC,
    domain::erasure::{Erasure, GivenReceipt, Issuer, Order, Receipt, Step, final_at},
    error::{Error, Noun},
    store::{Page, Whom},
};

/// How often what was interrupted is tried again.
const EVERY: Duration = Duration::from_secs(5);
/// How often the biometric store is asked for last receipts by itself: epochs
/// end in days.
const CONFIRM_EVERY: Duration = Duration::from_secs(3_600);
/// For an erasure or a withdrawal, whatever its caller's deadline: more than the
/// biometric store may take.
const BUDGET: Duration = Duration::from_secs(30);

/// An erasure with what was receipted of it.
pub(crate) struct Receipted {
    pub(crate) erasure: Erasure,
    pub(crate) receipts: Vec<GivenReceipt>,
}

impl App {
    /// The same again answers the same. It runs on when the caller goes away.
    pub(crate) async fn erase_resident(
        &self,
        resident: Uuid,
        order: Order,
    ) -> Result<Receipted, Error> {
        let app = self.clone();
        outlive_caller(async move { app.begin_and_finish(resident, order).await }).await?;
        self.receipted(Whom::Resident(resident)).await
    }

    async fn begin_and_finish(&self, resident: Uuid, order: Order) -> Result<(), Error> {
        let now = self.parts.clock.now();
        let begun = self
            .parts
            .store
            .begin_erasure(resident, order, now)
            .await?
            .ok_or(Error::NotFound(Noun::Resident))?;
        fault::point(Step::Rights.fault_point());
        self.finish_erasure(resident).await.map_err(|error| {
            tracing::warn!(%error, pseudonym = %begun.pseudonym, "an erasure is unfinished");
            Error::ErasureUnfinished(begun.pseudonym)
        })
    }

    /// Goes on with what was interrupted, until shutdown.
    pub(crate) async fn keep_erasures(self, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut confirmed: Option<Instant> = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            if let Err(error) = self.erase_ended_guests().await {
                tracing::warn!(%error, "guests have ended; their erasures are begun again");
            }
            if let Err(error) = self.finish_withdrawals(None).await {
                tracing::warn!(%error, "withdrawals are unfinished; they are gone on with");
            }
            if let Err(error) = self.finish_erasures().await {
                tracing::warn!(%error, "erasures are unfinished; they are gone on with");
            }
            if confirmed.is_none_or(|at| at.elapsed() >= CONFIRM_EVERY) {
                match self.confirm_erasures().await {
                    Ok(()) => confirmed = Some(Instant::now()),
                    Err(error) => tracing::warn!(%error, "last receipts were not asked for"),
                }
            }
        }
    }

    /// One that fails does not hold up the others.
    async fn finish_erasures(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for resident in self.parts.store.unfinished_erasures().await? {
            let finished = self.finish_erasure(resident).await;
            outcome = finished.and(outcome);
        }
        outcome
    }

    /// Takes the steps that are left, as far as they can be taken now.
    async fn finish_erasure(&self, resident: Uuid) -> Result<(), Error> {
        loop {
            let erasure = self.erasure(Whom::Resident(resident)).await?;
            let Some(step) = erasure.step.next() else {
                return Ok(());
            };
            if step == Step::Final && erasure.final_at.is_none() {
                return Ok(());
            }
            self.take_step(&erasure, step).await?;
            fault::point(step.fault_point());
        }
    }

    async fn take_step(&self, erasure: &Erasure, step: Step) -> Result<(), Error> {
        let parts = &self.parts;
        let (store, resident) = (&parts.store, erasure.resident);
        match step {
            Step::Rights => Err(Error::Corrupt("erasure step")),
            Step::Biometrics => self.erase_biometrics(erasure).await,
            Step::Key | Step::Tokens | Step::Vehicles | Step::Credentials | Step::Columns => {
                let epoch = parts.custody.current_epoch();
                let now = parts.clock.now();
                store.erase_rows(resident, step, epoch, now).await
            }
            Step::Ledger => {
                let at = erasure.erased_at.ok_or(Error::Corrupt("erasure time"))?;
                let ledger = parts.custody.ledger()?;
                let entry = ledger
                    .append(resident, erasure.pseudonym, at)
                    .await
                    .map_err(CustodyError::from)?;
                let now = parts.clock.now();
                store.erasure_in_ledger(resident, entry.number, now).await
            }
            Step::Receipt => self.give_receipt(erasure.clone()).await,
            Step::Final => self.sign_receipt(erasure, step).await,
        }
    }

    async fn erase_biometrics(&self, erasure: &Erasure) -> Result<(), Error> {
        // The last erasure under a pseudonym is the person's: its receipts are asked for by that.
        self.finish_withdrawals(Some(erasure.resident)).await?;
        let subject = erasure.subject.ok_or(Error::Corrupt("erasure subject"))?;
        let erased = self
            .parts
            .biometric
            .erase(subject, erasure.pseudonym, &erasure.order)
            .await?;
        // One of an older release gives none.
        let receipt = Some(erased.receipt).filter(|jws| !jws.is_empty());
        let receipt = receipt.map(|jws| GivenReceipt {
            service: BIOMETRIC.into(),
            jws,
        });
        self.parts
            .store
            .biometrics_erased(
                erasure.resident,
                erased.templates,
                receipt,
                erased.final_at,
                self.parts.clock.now(),
            )
            .await
    }

    /// The first receipt; the last one at once where no copy is left.
    async fn give_receipt(&self, mut erasure: Erasure) -> Result<(), Error> {
        let custody = &self.parts.custody;
        let nothing_left = custody.compact().await?;
        // A store that was restored came from a copy.
        if nothing_left
            && erasure.final_at.is_none()
            && !erasure.replayed
            && custody.keeps_no_copies().await?
        {
            erasure.final_at = Some(self.parts.clock.now());
        }
        self.sign_receipt(&erasure, Step::Receipt).await?;
        tracing::info!(pseudonym = %erasure.pseudonym, "a resident was erased");
        Ok(())
    }

    async fn sign_receipt(&self, erasure: &Erasure, step: Step) -> Result<(), Error> {
        let parts = &self.parts;
        let identity = parts.custody.identity();
        let issuer = Issuer {
            service: &identity.service,
            deployment: &identity.deployment,
            region: &identity.region,
            particulars: parts.custody.particulars(),
        };
        let claims = Receipt::of(erasure, issuer, parts.clock.now())
            .ok_or(Error::Corrupt("erasure receipt"))?;
        let receipt = GivenReceipt {
            service: SERVICE.into(),
            jws: parts.custody.sign(&claims)?,
        };
        parts
            .store
            .erasure_receipted(
                erasure.resident,
                step,
                receipt,
                erasure.final_at,
                parts.clock.now(),
            )
            .await
    }

    /// Does again what the ledger knows and a restored store does not, whoever
    /// restored it, and refuses a ledger that knows less than the store. Needs
    /// no other service.
    pub(crate) async fn replay_erasures(&self) -> Result<(), Error> {
        let parts = &self.parts;
        let (store, custody) = (&parts.store, &parts.custody);
        let known = store.last_ledger_number().await?;
        let ledger = custody.ledger()?;
        ledger
            .require(known, "the store")
            .await
            .map_err(CustodyError::from)?;
        let mut entries = custody.erasures_to_replay().await?;
        // An empty store has yet to be restored, and must stay so until then.
        if store.has_partners().await? {
            let after = ledger.entries_after(known).await;
            entries.extend(after.map_err(CustodyError::from)?);
        }
        for entry in entries {
            let resident = entry.id;
            store.replay_erasure(entry, parts.clock.now()).await?;
            self.finish_erasure(resident).await?;
        }
        custody.erasures_replayed().await?;
        Ok(())
    }

    /// What became of an erasure; the biometric store's last word is asked for
    /// where it has not said that its part is final.
    pub(crate) async fn receipted(&self, whom: Whom) -> Result<Receipted, Error> {
        let mut erasure = self.erasure(whom).await?;
        if erasure.step >= Step::Receipt && erasure.biometric_final_at.is_none() {
            match self.confirm(&erasure).await {
                Ok(()) => erasure = self.erasure(whom).await?,
                Err(error) => tracing::debug!(%error, "the last receipt was not asked for"),
            }
        }
        let resident = erasure.resident;
        let mut receipts = self.parts.store.erasure_receipts(vec![resident]).await?;
        Ok(Receipted {
            receipts: receipts.remove(&resident).unwrap_or_default(),
            erasure,
        })
    }

    pub(crate) async fn list_erasures(
        &self,
        only_unfinished: bool,
        page: Page,
    ) -> Result<Vec<Receipted>, Error> {
        let store = &self.parts.store;
        let erasures = store.list_erasures(only_unfinished, page).await?;
        let residents = erasures.iter().map(|erasure| erasure.resident).collect();
        let mut receipts = store.erasure_receipts(residents).await?;
        Ok(erasures
            .into_iter()
            .map(|erasure| Receipted {
                receipts: receipts.remove(&erasure.resident).unwrap_or_default(),
                erasure,
            })
            .collect())
    }

    async fn erasure(&self, whom: Whom) -> Result<Erasure, Error> {
        let erasure = self.parts.store.erasure(whom).await?;
        erasure.ok_or(Error::NotFound(Noun::Erasure))
    }

    async fn confirm_erasures(&self) -> Result<(), Error> {
        for erasure in self.parts.store.erasures_to_be_confirmed().await? {
            self.confirm(&erasure).await?;
        }
        Ok(())
    }

    /// Takes over what the biometric store has receipted.
    async fn confirm(&self, erasure: &Erasure) -> Result<(), Error> {
        let receipts = self.parts.biometric.receipts(erasure.pseudonym).await?;
        let last = receipts.last().and_then(|jws| said_final(jws));
        let receipts = receipts.into_iter().map(|jws| GivenReceipt {
            service: BIOMETRIC.into(),
            jws,
        });
        self.parts
            .store
            .biometrics_receipted(
                erasure.resident,
                receipts.collect(),
                last,
                self.parts.clock.now(),
            )
            .await
    }
}

/// Runs on when the caller goes away.
pub(super) async fn outlive_caller<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let task = match CallContext::current() {
        Some(call) => {
            let context = CallContext {
                caller: call.caller,
                ..CallContext::new(BUDGET, call.request_id)
            };
            tokio::spawn(context.scope(work).in_current_span())
        }
        None => tokio::spawn(work.in_current_span()),
    };
    task.await.map_err(|_| Error::Corrupt("task"))?
}

/// The peer has proved who it is: whoever the receipt is shown to verifies it.
fn said_final(jws: &str) -> Option<Timestamp> {
    let claims = URL_SAFE_NO_PAD.decode(jws.split('.').nth(1)?).ok()?;
    final_at(&claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_final_when_it_says_so() {
        let receipt = |claims: &str| format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims));
        let end: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        let claims = r#"{"final_at":"2026-11-24T12:00:00Z"}"#;
        assert_eq!(said_final(&receipt(claims)), Some(end));
        assert_eq!(said_final(&receipt(r#"{"final_at":null}"#)), None);
        for wrong in ["", "x", "x.?.y", "x..y"] {
            assert_eq!(said_final(wrong), None, "{wrong}");
        }
    }
}
