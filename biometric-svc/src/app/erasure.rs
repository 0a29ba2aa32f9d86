//! Final deletion of a subject: a sequence that a crash interrupts anywhere and
//! the next start ends.

use std::time::Duration;

use mesh::{
    clock::{from_micros, to_micros},
    custody::CustodyError,
    fault,
};
use serde::Serialize;
use uuid::Uuid;

use super::App;
use crate::{error::Error, store::Erasure};

/// Attempts to empty the write-ahead log, which a reader may hold.
const ATTEMPTS: usize = 40;
const BETWEEN: Duration = Duration::from_millis(50);

/// What a receipt says. Times are RFC 3339.
#[derive(Serialize)]
struct Receipt<'a> {
    iss: &'a str,
    /// The pseudonym in place of the person.
    sub: String,
    /// Seconds since the Unix epoch.
    iat: i64,
    jti: Uuid,
    deployment: &'a str,
    region: &'a str,
    categories: [&'static str; 1],
    templates: u64,
    method: &'static str,
    erased_at: String,
    epoch: i64,
    ledger_number: i64,
    /// From when no older copy can be read; null until the epoch has ended.
    final_at: Option<String>,
}

impl App {
    /// The erasure with its first receipt, whenever that was given.
    pub(crate) async fn erase(&self, subject: Uuid, pseudonym: Uuid) -> Result<Erasure, Error> {
        if let Some(done) = self.finished(subject).await? {
            return Ok(done);
        }
        let parts = self.parts();
        let change = {
            let _lock = self.lock(subject).await;
            // Out of every search first: whoever asks for an erasure is not
            // recognised while it goes on.
            parts.matcher.retain(subject, &[]);
            let begun = to_micros(parts.clock.now());
            parts.store.destroy_key(subject, pseudonym, begun).await?;
            fault::point("biometric.erasure.after_key");
            let change = parts.store.delete_rows(subject, begun).await?;
            self.0.corrupt.set_of(subject, &[]);
            change
        };
        fault::point("biometric.erasure.after_rows");
        self.wait_for_replicas(change).await?;
        fault::point("biometric.erasure.after_replicas");
        self.conclude(subject).await
    }

    async fn finished(&self, subject: Uuid) -> Result<Option<Erasure>, Error> {
        let found = self.parts().store.erasure(subject).await?;
        Ok(found.filter(|erasure| erasure.receipt.is_some()))
    }

    /// The rows are gone: the ledger is told, and the receipt given.
    async fn conclude(&self, subject: Uuid) -> Result<Erasure, Error> {
        let parts = self.parts();
        let nothing_left = self.compact().await?;
        let mut erasure = parts
            .store
            .erasure(subject)
            .await?
            .ok_or(Error::SubjectNotFound)?;
        let now = parts.clock.now();
        // A crash may have come between the line and the receipt, and who waits
        // for an answer may have asked again meanwhile.
        let ledger = parts.custody.ledger()?;
        let entry = ledger
            .append_once(subject, erasure.pseudonym, now)
            .await
            .map_err(CustodyError::from)?;
        fault::point("biometric.erasure.after_ledger");
        let is_final = nothing_left && parts.custody.keeps_no_copies().await?;
        erasure.erased_at = Some(to_micros(entry.at));
        erasure.ledger_number = i64::try_from(entry.number).ok();
        erasure.final_at = is_final.then_some(to_micros(now));
        erasure.receipt = Some(self.sign(&erasure)?);
        erasure.final_receipt = erasure.receipt.clone().filter(|_| is_final);
        parts.store.finish_erasure(erasure).await?;
        tracing::info!("a subject was erased");
        self.finished(subject).await?.ok_or(Error::SubjectNotFound)
    }

    /// Whether the database's own files hold nothing of what is gone.
    async fn compact(&self) -> Result<bool, Error> {
        if self.parts().store.is_shared() {
            return Ok(false);
        }
        for _ in 0..ATTEMPTS {
            if self.parts().custody.compact().await? {
                return Ok(true);
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Ok(false)
    }

    fn sign(&self, erasure: &Erasure) -> Result<String, Error> {
        let parts = self.parts();
        let identity = parts.custody.identity();
        let time = |micros: i64| from_micros(micros).to_string();
        Ok(parts.custody.sign(&Receipt {
            iss: &identity.service,
            sub: erasure.pseudonym.to_string(),
            iat: parts.clock.now().as_second(),
            jti: Uuid::now_v7(),
            deployment: &identity.deployment,
            region: &identity.region,
            categories: ["biometric templates"],
            templates: erasure.templates,
            method: "destruction of the data key, deletion of the rows, overwriting of memory",
            erased_at: erasure.erased_at.map(time).unwrap_or_default(),
            epoch: erasure.epoch,
            ledger_number: erasure.ledger_number.unwrap_or(0),
            final_at: erasure.final_at.map(time),
        })?)
    }

    /// The first receipt and, once the epoch has ended, the final one.
    pub(crate) async fn receipts(&self, pseudonym: Uuid) -> Result<Vec<String>, Error> {
        let store = &self.parts().store;
        let erasure = store
            .erasure_of(pseudonym)
            .await?
            .filter(|erasure| erasure.receipt.is_some())
            .ok_or(Error::SubjectNotFound)?;
        let mut receipts: Vec<String> = erasure.receipt.iter().cloned().collect();
        match &erasure.final_receipt {
            // Where no copy was left, the first says all there is to say.
            Some(receipt) if receipts.contains(receipt) => {}
            Some(receipt) => receipts.push(receipt.clone()),
            None if erasure.final_at.is_some() => {
                let receipt = self.sign(&erasure)?;
                receipts.push(store.keep_final_receipt(erasure.subject, receipt).await?);
            }
            None => {}
        }
        Ok(receipts)
    }

    /// What a crash interrupted, and what a restored store has yet to hear of.
    pub(crate) async fn finish_erasures(&self) -> Result<(), Error> {
        let parts = self.parts();
        for entry in parts.custody.erasures_to_replay().await? {
            self.erase_again(entry.id, entry.pseudonym).await?;
        }
        parts.custody.erasures_replayed().await?;
        for erasure in parts.store.unfinished_erasures().await? {
            self.erase(erasure.subject, erasure.pseudonym).await?;
        }
        Ok(())
    }

    /// A restored store holds what was erased since its backup.
    async fn erase_again(&self, subject: Uuid, pseudonym: Uuid) -> Result<(), Error> {
        let parts = self.parts();
        let now = to_micros(parts.clock.now());
        parts.store.destroy_key(subject, pseudonym, now).await?;
        parts.store.delete_rows(subject, now).await?;
        if self.finished(subject).await?.is_none() {
            self.conclude(subject).await?;
        }
        Ok(())
    }
}
