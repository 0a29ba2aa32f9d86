//! Final deletion of a subject: a sequence that a crash interrupts anywhere and
//! the next start ends.

use std::time::Duration;

use jiff::Timestamp;
use mesh::{
    clock::{from_micros, to_micros},
    custody::{CustodyError, Identity, config::Particulars},
    fault,
};
use serde::Serialize;
use uuid::Uuid;

use super::App;
use crate::{
    error::Error,
    store::{Erasure, Order},
};

/// Attempts to empty the write-ahead log, which a reader may hold.
const ATTEMPTS: usize = 40;
const BETWEEN: Duration = Duration::from_millis(50);

/// What a receipt says: all that an act of destruction names, with the pseudonym
/// in place of the person. Times are RFC 3339.
#[derive(Serialize)]
struct Receipt<'a> {
    iss: &'a str,
    sub: String,
    /// Seconds since the Unix epoch.
    iat: i64,
    jti: Uuid,
    deployment: &'a str,
    region: &'a str,
    #[serde(flatten)]
    particulars: &'a Particulars,
    categories: [&'static str; 1],
    templates: u64,
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by: Option<&'a str>,
    erased_at: String,
    epoch: i64,
    ledger_number: i64,
    /// From when no older copy can be read; null until the epoch has ended.
    final_at: Option<String>,
}

impl<'a> Receipt<'a> {
    fn of(
        erasure: &'a Erasure,
        identity: &'a Identity,
        particulars: &'a Particulars,
        now: Timestamp,
    ) -> Self {
        let time = |micros: i64| from_micros(micros).to_string();
        Self {
            iss: &identity.service,
            sub: erasure.pseudonym.to_string(),
            iat: now.as_second(),
            jti: Uuid::now_v7(),
            deployment: &identity.deployment,
            region: &identity.region,
            particulars,
            categories: ["biometric templates"],
            templates: erasure.templates,
            method: "destruction of the data key, deletion of the rows, overwriting of memory",
            reason: erasure.order.reason.as_deref(),
            requested_by: erasure.order.requested_by.as_deref(),
            erased_at: erasure.erased_at.map(time).unwrap_or_default(),
            epoch: erasure.epoch,
            ledger_number: erasure.ledger_number.unwrap_or(0),
            final_at: erasure.final_at.map(time),
        }
    }
}

impl App {
    /// The erasure with its first receipt, whenever that was given; the order of
    /// the first request for it stands.
    pub(crate) async fn erase(
        &self,
        subject: Uuid,
        pseudonym: Uuid,
        order: Order,
    ) -> Result<Erasure, Error> {
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
            parts
                .store
                .destroy_key(subject, pseudonym, order, begun)
                .await?;
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
        let custody = &parts.custody;
        let (identity, particulars) = (custody.identity(), custody.particulars());
        let receipt = Receipt::of(erasure, identity, particulars, parts.clock.now());
        Ok(custody.sign(&receipt)?)
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
            self.erase(erasure.subject, erasure.pseudonym, erasure.order)
                .await?;
        }
        Ok(())
    }

    /// A restored store holds what was erased since its backup.
    async fn erase_again(&self, subject: Uuid, pseudonym: Uuid) -> Result<(), Error> {
        let parts = self.parts();
        let now = to_micros(parts.clock.now());
        let unknown = Order::default();
        parts
            .store
            .destroy_key(subject, pseudonym, unknown, now)
            .await?;
        parts.store.delete_rows(subject, now).await?;
        if self.finished(subject).await?.is_none() {
            self.conclude(subject).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_receipt_says_what_an_act_must_and_names_nobody() {
        let identity = Identity {
            service: "biometric-svc".into(),
            deployment: "d".into(),
            region: "ru-msk".into(),
        };
        let particulars = json!({
            "operator": { "name": "o", "address": "a street" },
            "processor": { "name": "p", "address": "another street" },
            "destroyed_by": { "name": "n", "post": "officer" },
            "information_system": "access",
        });
        let mut erasure = Erasure {
            subject: Uuid::from_u128(1),
            pseudonym: Uuid::from_u128(2),
            order: Order {
                reason: Some("moved_out".into()),
                requested_by: Some("operator/privacy/x".into()),
            },
            templates: 3,
            epoch: 1,
            erased_at: Some(7_000_000),
            ledger_number: Some(4),
            final_at: None,
            receipt: None,
            final_receipt: None,
        };
        let now = Timestamp::from_second(9).expect("a time");
        let claims = |erasure: &Erasure, particulars: Value| {
            let particulars: Particulars =
                serde_json::from_value(particulars).expect("particulars");
            let receipt = Receipt::of(erasure, &identity, &particulars, now);
            serde_json::to_value(receipt).expect("claims")
        };
        let told = claims(&erasure, particulars.clone());
        assert_eq!(told["sub"], json!(erasure.pseudonym));
        assert_eq!(told["templates"], 3);
        assert_eq!(told["reason"], "moved_out");
        assert_eq!(told["requested_by"], "operator/privacy/x");
        assert_eq!(told["erased_at"], "1970-01-01T00:00:07Z");
        for name in [
            "operator",
            "processor",
            "destroyed_by",
            "information_system",
        ] {
            assert_eq!(told[name], particulars[name]);
        }
        assert!(!told.to_string().contains(&erasure.subject.to_string()));

        // What is not known is left out.
        erasure.order = Order::default();
        let told = claims(&erasure, json!({}));
        for name in ["reason", "requested_by", "operator", "processor"] {
            assert!(told.get(name).is_none(), "{told}");
        }
    }
}
