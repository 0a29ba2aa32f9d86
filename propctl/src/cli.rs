//! Arguments: `propctl <noun> <verb>`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

use crate::{
    commands::{
        audit::Audit, backup::Backup, building::Building, client::Client, consent::Consent,
        credential::Credential, dev::Dev, device::Device, device_group::DeviceGroup,
        doctor::Doctor, entrance::Entrance, erasure::Erasure, event::Event, grant::Grant,
        guest::Guest, holding::Holding, household::Household, import::Import, keys::Keys,
        model::Model, opening::Opening, partner::Partner, payment::Payment, resident::Resident,
        signing_key::SigningKey, site::Site, status::Status, vehicle::Vehicle,
    },
    connection::Session,
    error::Failure,
};

const NOTES: &str = "\
Connection:
  --config FILE (or PROPCTL_CONFIG, or ./propctl.toml) holds
    [tls]        certificate, private_key, trust_bundle, trust_domain
    [endpoints]  auth-svc, access-svc, biometric-svc   (https://host:port)
                 edge-rest, for doctor alone: its inside listener
  PROPCTL_TLS__CERTIFICATE, PROPCTL_ENDPOINTS__ACCESS_SVC and so on override it.
  Relative paths in the file are relative to the file.

JSON output:
  The fields of the contracts (proto/propdev), one object or an array, or with
  --follow an object a line; times in RFC 3339, enums by the name in the contract,
  what is absent is null.

Exit codes:
  0  done
  1  the service refused, or the thing asked for came out badly
  2  wrong usage, configuration or local file
  3  a service cannot be reached, is overloaded or did not answer in time
  4  permission denied
  5  not found";

/// The operator's command line of the access mesh.
#[derive(Parser)]
#[command(name = "propctl", version, after_long_help = NOTES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Connection settings; without it, ./propctl.toml
    #[arg(long, global = true, env = "PROPCTL_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// How results are shown
    #[arg(long, global = true, env = "PROPCTL_OUTPUT", value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,

    /// Limit for the whole command, e.g. 5, 500ms or 1m; each call has its contract's in any case
    #[arg(long, global = true, env = "PROPCTL_TIMEOUT", value_parser = parse_timeout)]
    pub(crate) timeout: Option<Duration>,

    /// Tell on stderr why a service was not reached
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For scripts
    Json,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Development CA, certificates and keyrings; talks to no service
    #[command(subcommand)]
    Dev(Dev),
    /// Partners and how we reach them
    #[command(subcommand)]
    Partner(Partner),
    /// OAuth clients of partners
    #[command(subcommand)]
    Client(Client),
    /// Keys that sign access tokens
    #[command(subcommand)]
    SigningKey(SigningKey),
    /// Embedding models, their templates and their secret rotations
    #[command(subcommand)]
    Model(Model),
    /// Residential complexes
    #[command(subcommand)]
    Site(Site),
    /// Buildings of sites
    #[command(subcommand)]
    Building(Building),
    /// Entrances of buildings
    #[command(subcommand)]
    Entrance(Entrance),
    /// Doors and barriers
    #[command(subcommand)]
    Device(Device),
    /// Devices that are granted together
    #[command(subcommand)]
    DeviceGroup(DeviceGroup),
    /// Who lives together, holds rights together and pays together
    #[command(subcommand)]
    Household(Household),
    /// People who live there
    #[command(subcommand)]
    Resident(Resident),
    /// Guests of households: people with an end, who are erased by themselves
    #[command(subcommand)]
    Guest(Guest),
    /// Written consents to biometrics
    #[command(subcommand)]
    Consent(Consent),
    /// Many objects from a CSV file: all of them, or none
    Import(Import),
    /// Rights of residents and households on devices
    #[command(subcommand)]
    Grant(Grant),
    /// Vehicles of residents
    #[command(subcommand)]
    Vehicle(Vehicle),
    /// Keys of residents
    #[command(subcommand)]
    Key(Credential),
    /// Fobs of residents
    #[command(subcommand)]
    Fob(Credential),
    /// What residents hold: vehicles, keys and fobs
    #[command(subcommand)]
    Holding(Holding),
    /// What is paid for
    #[command(subcommand)]
    Payment(Payment),
    /// Decisions to open and what became of them
    #[command(subcommand)]
    Opening(Opening),
    /// Openings by key or fob
    #[command(subcommand)]
    Event(Event),
    /// The audit log: what was done, by whom, and how it came out
    #[command(subcommand)]
    Audit(Audit),
    /// Key epochs of the services' stores
    #[command(subcommand)]
    Keys(Keys),
    /// Backups of the services' stores, on the services' own disks
    #[command(subcommand)]
    Backup(Backup),
    /// Erasures of residents, their receipts and acts
    #[command(subcommand)]
    Erasure(Erasure),
    /// Whether each service answers, and what the biometric store holds
    Status(Status),
    /// Looks for what is wrong, or soon will be; exits 1 when it finds something wrong
    Doctor(Doctor),
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        use propdev_proto::access::CredentialKind;
        match self {
            Self::Dev(dev) => dev.run(&session.output),
            Self::Partner(partner) => partner.run(session).await,
            Self::Client(client) => client.run(session).await,
            Self::SigningKey(key) => key.run(session).await,
            Self::Site(site) => site.run(session).await,
            Self::Building(building) => building.run(session).await,
            Self::Entrance(entrance) => entrance.run(session).await,
            Self::Device(device) => device.run(session).await,
            Self::DeviceGroup(group) => group.run(session).await,
            Self::Household(household) => household.run(session).await,
            Self::Resident(resident) => resident.run(session).await,
            Self::Guest(guest) => guest.run(session).await,
            Self::Consent(consent) => consent.run(session).await,
            Self::Import(import) => import.run(session).await,
            Self::Grant(grant) => grant.run(session).await,
            Self::Vehicle(vehicle) => vehicle.run(session).await,
            Self::Key(key) => key.run(CredentialKind::Key, session).await,
            Self::Fob(fob) => fob.run(CredentialKind::Fob, session).await,
            Self::Holding(holding) => holding.run(session).await,
            Self::Payment(payment) => payment.run(session).await,
            Self::Opening(opening) => opening.run(session).await,
            Self::Event(event) => event.run(session).await,
            Self::Audit(audit) => audit.run(session).await,
            Self::Model(model) => model.run(session).await,
            Self::Keys(keys) => keys.run(session).await,
            Self::Backup(backup) => backup.run(session).await,
            Self::Erasure(erasure) => erasure.run(session).await,
            Self::Status(status) => status.run(session).await,
            Self::Doctor(doctor) => doctor.run(session).await,
        }
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let duration = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => text
            .parse::<SignedDuration>()
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .ok_or("not a duration such as 5, 500ms or 1m")?,
    };
    if duration.is_zero() {
        return Err("must be above zero".into());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn timeouts_are_seconds_or_durations() {
        assert_eq!(parse_timeout("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_timeout("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_timeout("1m"), Ok(Duration::from_secs(60)));
        for wrong in ["0", "-1s", "soon", ""] {
            assert!(parse_timeout(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_take_several_values_or_commas() {
        for arguments in [
            &[
                "propctl", "resident", "add", "--name", "-", "--site", "a", "b",
            ][..],
            &["propctl", "resident", "add", "--site", "a,b", "--name", "-"][..],
        ] {
            let Command::Resident(Resident::Add { site, .. }) = Cli::parse_from(arguments).command
            else {
                panic!("another command");
            };
            assert_eq!(site, ["a", "b"]);
        }
    }

    #[test]
    fn a_day_is_a_time_wherever_a_span_is_given() {
        for arguments in [
            "propctl vehicle add --resident r --plate - --held-from 2026-01-01 --held-to 2026-01-31",
            "propctl key add --resident r --partner p --site s --id - --held-from 2026-01-01",
            "propctl holding update h --held-from 2026-01-01 --held-to 2026-01-31",
            "propctl consent record --resident r --reference - --consented-at 2026-01-01",
            "propctl audit search --since 2026-01-01 --until 2026-01-31",
        ] {
            let parsed = Cli::try_parse_from(arguments.split(' '));
            assert!(parsed.is_ok(), "{arguments}");
        }
        let arguments = "propctl vehicle add --resident r --plate - --held-from 2026-01-31 \
                         --held-to 2026-01-31";
        let Command::Vehicle(Vehicle::Add {
            held_from, held_to, ..
        }) = Cli::parse_from(arguments.split_whitespace()).command
        else {
            panic!("another command");
        };
        let told = [held_from, held_to].map(|time| time.expect("a time").to_string());
        assert_eq!(told, ["2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"]);
    }

    #[test]
    fn a_guest_opens_something() {
        let guest = "propctl guest add --household h --ends-at 2026-12-31";
        for (targets, good) in [
            ("", false),
            (" --device p/door-1", true),
            (" --group g", true),
            (" --group g --device p/door-1 --device p/door-2", true),
        ] {
            let parsed = Cli::try_parse_from(format!("{guest}{targets}").split(' '));
            assert_eq!(parsed.is_ok(), good, "{targets}");
        }
    }

    #[test]
    fn no_secret_can_be_an_argument() {
        let refused = Cli::try_parse_from(["propctl", "partner", "add", "--intercom-secret", "x"]);
        assert!(refused.is_err());
    }
}
