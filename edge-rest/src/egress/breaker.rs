//! A circuit breaker per partner: a gateway that does not answer is left in
//! peace for a second instead of being dialled by every command. A command
//! that meets an open breaker waits like one whose connection was refused.

use std::time::Duration;

use failsafe::{
    Config, StateMachine,
    backoff::{self, Constant},
    failure_policy::{self, ConsecutiveFailures},
};

const FAILURES: u32 = 5;
/// Well below the five seconds in which service must return by itself.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Breaker(StateMachine<ConsecutiveFailures<Constant>, ()>);

impl Breaker {
    pub(crate) fn new() -> Self {
        let policy = failure_policy::consecutive_failures(FAILURES, backoff::constant(PAUSE));
        Self(Config::new().failure_policy(policy).build())
    }

    pub(crate) fn permits(&self) -> bool {
        self.0.is_call_permitted()
    }

    /// Any answer at all, a refusal too.
    pub(crate) fn answered(&self) {
        self.0.on_success();
    }

    pub(crate) fn failed(&self) {
        self.0.on_error();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let breaker = Breaker::new();
        for _ in 0..FAILURES - 1 {
            breaker.failed();
        }
        breaker.answered();
        for _ in 0..FAILURES {
            assert!(breaker.permits());
            breaker.failed();
        }
        assert!(!breaker.permits());
    }
}
