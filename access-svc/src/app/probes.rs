//! Probes that come with openings, judged many in one statement.

use futures::FutureExt;
use mesh::gather::Gatherer;

use crate::{
    error::Error,
    store::{Probe, Seen, Store},
};

const TOGETHER: usize = 64;

/// None for a probe that could not be judged.
pub(crate) struct Probes(Gatherer<Probe, Option<Seen>>);

pub(crate) fn probes(store: Store) -> Probes {
    Probes(Gatherer::start(1, TOGETHER, move |probes: Vec<Probe>| {
        let store = store.clone();
        async move {
            let count = probes.len();
            match store.judge_probes(probes).await {
                Ok(seen) => seen.into_iter().map(Some).collect(),
                Err(error) => {
                    tracing::warn!(%error, probes = count, "probes were not judged");
                    vec![None; count]
                }
            }
        }
        .boxed()
    }))
}

impl Probes {
    pub(crate) async fn judge(&self, probe: Probe) -> Result<Seen, Error> {
        match self.0.submit(probe).await {
            Ok(Some(seen)) => Ok(seen),
            Ok(None) | Err(_) => Err(Error::NotJudged),
        }
    }
}
