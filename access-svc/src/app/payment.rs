//! What the developer's billing knows of payments.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use mesh::shutdown::Shutdown;
use uuid::Uuid;

use super::{App, By};
use crate::{
    domain::{
        decision::Subscription,
        device::DeviceKind,
        external_id::{ExternalId, Object},
        payment::{Outcome, Payment},
    },
    error::{Error, Noun},
    store::{NewPayment, Rule},
};

pub(crate) struct PaymentState {
    pub(crate) household: By,
    /// None for the household's own.
    pub(crate) site: Option<By>,
    pub(crate) kind: DeviceKind,
    pub(crate) paid: Subscription,
    /// None is now.
    pub(crate) as_of: Option<Timestamp>,
}

impl App {
    pub(crate) async fn push_payment(&self, state: PaymentState) -> Result<Outcome, Error> {
        let mut pushed = self.push_payments(vec![Ok(state)]).await?;
        pushed.pop().ok_or(Error::Corrupt("payment"))?
    }

    /// Takes states in their order, each for itself, and answers once all are durable; those
    /// that could not be read keep their place.
    pub(crate) async fn push_payments(
        &self,
        states: Vec<Result<PaymentState, Error>>,
    ) -> Result<Vec<Result<Outcome, Error>>, Error> {
        let (mut households, mut sites) = (HashSet::new(), HashSet::new());
        for state in states.iter().flatten() {
            if let By::ExternalId(one) = &state.household {
                households.insert(one.clone());
            }
            if let Some(By::ExternalId(one)) = &state.site {
                sites.insert(one.clone());
            }
        }
        let households = self.payment_names(Object::Household, households).await?;
        let sites = self.payment_names(Object::Site, sites).await?;

        let mut told = Vec::with_capacity(states.len());
        let mut results = Vec::with_capacity(states.len());
        for state in states {
            let new = state.and_then(|state| self.new_payment(state, &households, &sites));
            // What is told holds the place until its own result is there.
            results.push(new.map(|new| {
                told.push(new);
                Outcome::Applied
            }));
        }
        let mut put = self.parts.store.put_payments(told).await?.into_iter();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            let own = put.next().ok_or(Error::Corrupt("payment"))?;
            *result = own.map(|(_, outcome)| outcome);
        }
        Ok(results)
    }

    /// What ends every stream of states.
    pub(crate) fn ending(&self) -> Shutdown {
        self.parts.feeds.shutdown().clone()
    }

    fn new_payment(
        &self,
        state: PaymentState,
        households: &Named,
        sites: &Named,
    ) -> Result<NewPayment, Error> {
        let now = self.parts.clock.now();
        let payment = Payment {
            paid: state.paid,
            as_of: state.as_of.unwrap_or(now),
        };
        payment.validate(now)?;
        let site = state.site.map(|site| sites.id_of(site, Noun::Site));
        Ok(NewPayment {
            household: households.id_of(state.household, Noun::Household)?,
            site: site.transpose()?,
            kind: state.kind,
            payment,
            rule: Rule::NotNewer,
            telling: self.act("payment_set"),
        })
    }

    async fn payment_names(
        &self,
        object: Object,
        names: HashSet<ExternalId>,
    ) -> Result<Named, Error> {
        let names: Vec<ExternalId> = names.into_iter().collect();
        let found = self.parts.store.resolve(object, &names).await?;
        let pairs = names.into_iter().zip(found);
        Ok(Named(
            pairs.filter_map(|(one, id)| Some((one, id?))).collect(),
        ))
    }
}

struct Named(HashMap<ExternalId, Uuid>);

impl Named {
    /// Which of several names led nowhere is told by its noun.
    fn id_of(&self, by: By, noun: Noun) -> Result<Uuid, Error> {
        match by {
            By::Id(id) => Ok(id),
            By::ExternalId(one) => self.0.get(&one).copied().ok_or(Error::NotFound(noun)),
        }
    }
}
