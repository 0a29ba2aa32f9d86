//! One rotation, backup or restore at a time, over all replicas.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle};

use super::{Custody, CustodyError};
use crate::{Clock, db::lease::Lease};

const NAME: &str = "custody";
const TERM: Duration = Duration::from_secs(30);
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// The right to change keys and backups; renewed until it is released.
pub(super) struct Hold {
    lease: Lease,
    lost: Arc<AtomicBool>,
    renewing: AbortHandle,
    released: bool,
}

impl Custody {
    pub(super) async fn hold(&self) -> Result<Hold, CustodyError> {
        let lease = Lease::new(self.inner.db.clone(), NAME);
        if !lease.acquire(self.inner.clock.now(), TERM).await? {
            return Err(CustodyError::Busy);
        }
        let lost = Arc::new(AtomicBool::new(false));
        let renewing = tokio::spawn(renew(lease.clone(), self.inner.clock.clone(), lost.clone()));
        Ok(Hold {
            lease,
            lost,
            renewing: renewing.abort_handle(),
            released: false,
        })
    }
}

impl Hold {
    /// Before whatever cannot be taken back.
    pub(super) fn check(&self) -> Result<(), CustodyError> {
        if self.lost.load(Ordering::Acquire) {
            return Err(CustodyError::Busy);
        }
        Ok(())
    }

    pub(super) async fn release(mut self) {
        self.released = true;
        self.renewing.abort();
        if let Err(error) = self.lease.release().await {
            tracing::warn!(%error, "the lease of custody runs out by itself");
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        self.renewing.abort();
        if let Ok(runtime) = Handle::try_current() {
            let lease = self.lease.clone();
            runtime.spawn(async move { lease.release().await });
        }
    }
}

async fn renew(lease: Lease, clock: Arc<dyn Clock>, lost: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match lease.renew(clock.now(), TERM).await {
            Ok(true) => {}
            Ok(false) => {
                lost.store(true, Ordering::Release);
                return;
            }
            Err(error) => tracing::warn!(%error, "the lease of custody was not renewed"),
        }
    }
}
