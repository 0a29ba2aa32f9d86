//! Places among what is served at once, so that load beyond them is refused
//! rather than queued.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

#[derive(Clone)]
pub(super) struct Places(Arc<Semaphore>);

/// A call's place, free again when every clone has gone.
#[derive(Clone)]
pub(super) struct Place {
    places: Places,
    own: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    pub(super) fn take(&self) -> Result<Place, Status> {
        let own = self.permit()?;
        Ok(Place {
            places: self.clone(),
            own: Arc::new(Mutex::new(Some(own))),
        })
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, Status> {
        let permit = self.0.clone().try_acquire_owned();
        permit.map_err(|_| Status::resource_exhausted("too many calls at once"))
    }
}

impl Place {
    /// For one of the call's requests, where it has several: the first takes
    /// the call's own.
    pub(super) fn of_request(&self) -> Result<OwnedSemaphorePermit, Status> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.take().map_or_else(|| self.places.permit(), Ok)
    }
}
