//! What was done to the store: kept with it, and told to whoever writes the
//! audit log when asked.

use mesh::{context::CallContext, custody::Act};
use uuid::Uuid;

use super::App;
use crate::{SERVICE, error::Error, store::StoredAct};

impl App {
    /// Of the running call, now.
    pub(super) fn act(&self, code: &'static str, subject: String) -> Act {
        let now = self.parts().clock.now();
        Act::of(CallContext::current(), SERVICE, code, subject, now)
    }

    /// Those after that one, the oldest first.
    pub(crate) async fn acts_after(&self, id: Option<Uuid>) -> Result<Vec<StoredAct>, Error> {
        self.parts().store.acts_after(id).await
    }
}
