//! Over a network a database is spoken to by TLS alone, and only when it proves
//! to be the one that was meant.

use std::net::IpAddr;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::OpenError;
use crate::config::DatabaseConfig;

/// How to connect to PostgreSQL, given what its URL says. The driver's own
/// default would fall back to plaintext and ask nobody who he is.
pub(super) fn ssl_mode(config: &DatabaseConfig) -> Result<PgSslMode, OpenError> {
    if config.url.starts_with("sqlite:") {
        return Ok(PgSslMode::default());
    }
    let Ok(options) = config.url.parse::<PgConnectOptions>() else {
        // Connecting tells what is wrong with it.
        return Ok(PgSslMode::VerifyFull);
    };
    let asked = options.get_ssl_mode();
    if is_local(&options) || config.allow_plaintext_for_development {
        return Ok(asked);
    }
    match asked {
        PgSslMode::VerifyFull | PgSslMode::Prefer => Ok(PgSslMode::VerifyFull),
        _ => Err(OpenError::Unverified),
    }
}

/// Whether nothing leaves this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str, development: bool) -> String {
        let config = DatabaseConfig {
            url: url.into(),
            max_connections: 1,
            allow_plaintext_for_development: development,
        };
        ssl_mode(&config).map_or_else(|error| error.to_string(), |mode| format!("{mode:?}"))
    }

    #[test]
    fn a_database_elsewhere_is_verified_whole() {
        for url in [
            "postgres://x@db.example.com/x",
            "postgres://x@db.example.com/x?sslmode=prefer",
            "postgresql://x@10.0.0.7:6432/x?sslmode=verify-full",
            "postgres://x@localhost.example.com/x",
            "postgres://x@localhost/x?host=db.example.com",
            "postgres://x@127.0.0.1/x?hostaddr=192.0.2.1",
            "postgres://x@[2001:db8::1]/x",
        ] {
            assert_eq!(mode(url, false), "VerifyFull", "{url}");
        }
        for weak in ["disable", "allow", "require", "verify-ca"] {
            let url = format!("postgres://x@db.example.com/x?sslmode={weak}");
            let told = mode(&url, false);
            assert!(told.contains("verify-full"), "{told}");
        }
    }

    #[test]
    fn what_stays_on_the_machine_or_is_told_to_is_left_alone() {
        for url in [
            "postgres://x@127.0.0.1:5433/x",
            "postgres://x@localhost/x",
            "postgres://x@[::1]/x",
            "postgres://x@%2Fvar%2Frun%2Fpostgresql/x",
            "postgres:///x?host=/run/postgresql",
        ] {
            assert_eq!(mode(url, false), "Prefer", "{url}");
        }
        let plain = "postgres://x@127.0.0.1/x?sslmode=disable";
        assert_eq!(mode(plain, false), "Disable");
        let plain = "postgres://x@db.example.com/x?sslmode=disable";
        assert_eq!(mode(plain, true), "Disable");
    }
}
