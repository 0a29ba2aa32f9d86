//! The services that keep a store: which of them a command is about, and which
//! of them failed.

use clap::{Args, ValueEnum};

use crate::{
    connection::{ACCESS, AUTH, BIOMETRIC, Session},
    error::Failure,
    output,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Storing {
    #[value(name = "auth-svc")]
    Auth,
    #[value(name = "access-svc")]
    Access,
    #[value(name = "biometric-svc")]
    Biometric,
}

impl Storing {
    pub(crate) const ALL: [Self; 3] = [Self::Auth, Self::Access, Self::Biometric];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auth => AUTH,
            Self::Access => ACCESS,
            Self::Biometric => BIOMETRIC,
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|storing| storing.name() == name)
    }
}

#[derive(Args)]
pub(crate) struct Choice {
    /// Only these services; without it, all that keep a store
    #[arg(long, value_enum, value_delimiter = ',')]
    service: Vec<Storing>,
}

impl Choice {
    /// The ones chosen, each once; all where none was.
    fn chosen(&self) -> impl Iterator<Item = &'static str> {
        Storing::ALL
            .into_iter()
            .filter(move |storing| self.service.is_empty() || self.service.contains(storing))
            .map(Storing::name)
    }

    /// The one chosen, where it is one.
    pub(crate) fn only(&self) -> Option<&'static str> {
        let mut chosen = self.chosen();
        match (chosen.next(), chosen.next()) {
            (one, None) => one,
            _ => None,
        }
    }

    /// For what must not pass a service over unnoticed: each must be configured.
    pub(crate) fn every(&self, session: &Session) -> Result<Vec<&'static str>, Failure> {
        let (known, unknown) = self.split(session);
        if unknown.is_empty() {
            return Ok(known);
        }
        Err(Failure::Usage(format!(
            "no endpoint of {} is configured, and this is for every service that keeps a store: \
             configure it, or name others with --service",
            unknown.join(", ")
        )))
    }

    /// For what only looks: those that are configured.
    pub(crate) fn configured(&self, session: &Session) -> Result<Vec<&'static str>, Failure> {
        let (known, unknown) = self.split(session);
        if known.is_empty() {
            return Err(Failure::Usage(format!(
                "no endpoint of {} is configured",
                unknown.join(", ")
            )));
        }
        if !unknown.is_empty() {
            output::note(&format!(
                "not asked, since no endpoint is configured: {}",
                unknown.join(", ")
            ));
        }
        Ok(known)
    }

    fn split(&self, session: &Session) -> (Vec<&'static str>, Vec<&'static str>) {
        self.chosen()
            .partition(|service| session.endpoint(service).is_some())
    }
}

/// Services asked one after another: one that fails keeps none of the others
/// from being asked, and the first failure gives the exit code.
#[derive(Default)]
pub(crate) struct Walk {
    failed: Vec<&'static str>,
    exit_code: Option<u8>,
}

impl Walk {
    pub(crate) fn fail(&mut self, service: &'static str, failure: &Failure) {
        output::complain(&failure.lines());
        self.failed.push(service);
        self.exit_code.get_or_insert(failure.exit_code());
    }

    /// `what` is said of the services that failed.
    pub(crate) fn end(self, what: &str) -> Result<(), Failure> {
        match self.exit_code {
            None => Ok(()),
            Some(exit_code) => Err(Failure::Outcome {
                message: format!("{what}: {}", self.failed.join(", ")),
                exit_code,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(service: &[Storing]) -> Choice {
        Choice {
            service: service.to_vec(),
        }
    }

    #[test]
    fn each_service_is_asked_once_and_all_where_none_is_named() {
        let twice = choice(&[Storing::Biometric, Storing::Auth, Storing::Auth]);
        assert_eq!(twice.chosen().collect::<Vec<_>>(), [AUTH, BIOMETRIC]);
        assert_eq!(twice.only(), None);
        assert_eq!(choice(&[]).chosen().count(), 3);
        assert_eq!(choice(&[Storing::Access]).only(), Some(ACCESS));
    }

    #[test]
    fn the_first_failure_gives_the_exit_code() {
        let mut walk = Walk::default();
        assert!(Walk::default().end("not done").is_ok());
        for (service, exit_code) in [(AUTH, 3), (ACCESS, 1)] {
            let failure = Failure::Outcome {
                message: String::new(),
                exit_code,
            };
            walk.fail(service, &failure);
        }
        let failure = walk.end("not done").expect_err("a failure");
        assert_eq!(failure.exit_code(), 3);
        assert_eq!(failure.lines(), ["not done: auth-svc, access-svc"]);
    }
}
