//! Many objects from a CSV file. What is wrong is told of every line, and then nothing is
//! imported.

mod rows;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use propdev_proto::access::{
    ImportFault, ImportOptions, ImportRequest, ImportResponse, ImportRow,
    import_service_client::ImportServiceClient,
};
use serde_json::Value;

use crate::{
    connection::Session,
    csv_file::{self, Fault},
    error::Failure,
    json,
    output::{Row, counted, or_dash, table},
};

const COLUMNS: &str = "\
Columns, by name and in any order; [..] may be absent or empty, and each noun but subscriptions \
may have external_id:
  sites          name
  buildings      site, name
  entrances      building, name
  devices        partner_id, device_id, site, [entrance], kind, name, time_zone
  device-groups  site, name, [devices]
  households     site, [building], [unit]
  residents      name, [households], [sites]
  vehicles       resident, plate, [country], [held_from], [held_to]
  credentials    resident, partner_id, kind, credential_id, site, [held_from], [held_to]
  grants         [resident], [household], [device], [device_group], [windows], [ends_at]
  subscriptions  household, [site], kind, paid_until, [grace_days], [suspended]

What is referred to is named by UUID or by its external id in --system; a device by \
PARTNER/ID or by its external id. Several values of a cell are separated by ';'. Times are \
RFC 3339 or dates: a beginning is that of the day, an end is that of the day, in UTC. Windows are \
as 'mon-fri 08:00-20:00'. kind is door or barrier, or key or fob. suspended is yes or no.";

/// A message holds so many rows: none comes near the 4 MiB that a message may have.
const ROWS: usize = 500;
pub(super) const NO_SYSTEM: &str = "; without --system no external id is looked up";
/// Most faults that the service tells.
const MOST_FAULTS: usize = 10_000;

#[derive(Args)]
#[command(after_long_help = COLUMNS)]
pub(crate) struct Import {
    #[arg(value_enum)]
    noun: Noun,
    /// CSV in UTF-8 with a header; - reads it from stdin
    file: PathBuf,
    /// Whose external ids the file has and refers to
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    system: String,
    /// Look at every line, and import nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Noun {
    Sites,
    Buildings,
    Entrances,
    Devices,
    DeviceGroups,
    Households,
    Residents,
    Vehicles,
    Credentials,
    Grants,
    Subscriptions,
}

impl Import {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let bytes = csv_file::read(&self.file)?;
        let records = csv_file::parse(&bytes, self.noun.columns());
        let total = records.count;
        let mut faults = records.faults;
        let mut rows = Vec::with_capacity(records.good.len());
        for record in &records.good {
            let before = faults.len();
            let row = self.noun.row(record, &mut faults);
            if faults.len() == before {
                rows.push(row);
            }
        }
        let own_faults = faults.len();
        if own_faults == 0 && rows.is_empty() {
            return Err(Failure::Usage("the file holds no line to import".into()));
        }
        let mut reply = if rows.is_empty() {
            ImportResponse::default()
        } else {
            // With lines that cannot be read, the others are looked at alone.
            let validate_only = self.dry_run || own_faults > 0;
            send(session, &self.system, validate_only, rows).await?
        };
        let unread = lines_of(&faults);
        reply.faults.extend(faults.into_iter().map(told));
        reply.faults.sort_by_key(|fault| fault.line);
        reply.faulty_rows = reply.faulty_rows.saturating_add(unread);
        self.show(session, &reply, total)
    }

    fn show(&self, session: &Session, reply: &ImportResponse, total: usize) -> Result<(), Failure> {
        let good = reply.faults.is_empty();
        session.output.print(
            || -> Result<Value, Failure> { json::of("propdev.access.v1.ImportResponse", reply) },
            || {
                if good && self.dry_run {
                    let lines = counted(total as u64, "line");
                    return format!("{lines} looked at and good; nothing was imported, as asked");
                }
                if good {
                    return format!("{} imported", counted(reply.imported.into(), "line"));
                }
                table(
                    ImportFault::COLUMNS,
                    reply.faults.iter().map(ImportFault::cells),
                )
            },
        )?;
        if good {
            return Ok(());
        }
        let be = if reply.faulty_rows == 1 { "is" } else { "are" };
        let lines = counted(reply.faulty_rows.into(), "line");
        let untold = if reply.faults.len() >= MOST_FAULTS {
            "; not every fault is told"
        } else {
            ""
        };
        let unnamed = if self.system.is_empty() {
            NO_SYSTEM
        } else {
            ""
        };
        Err(Failure::Outcome {
            message: format!("{lines} {be} wrong, and nothing was imported{untold}{unnamed}"),
            exit_code: Failure::REFUSED,
        })
    }
}

async fn send(
    session: &Session,
    system: &str,
    validate_only: bool,
    rows: Vec<ImportRow>,
) -> Result<ImportResponse, Failure> {
    let mut options = Some(ImportOptions {
        system: system.to_owned(),
        validate_only,
    });
    let mut requests = Vec::with_capacity(rows.len() / ROWS + 1);
    let mut rows = rows.into_iter();
    loop {
        let some: Vec<ImportRow> = rows.by_ref().take(ROWS).collect();
        if some.is_empty() {
            break;
        }
        requests.push(ImportRequest {
            options: options.take(),
            rows: some,
        });
    }
    let mut imports = ImportServiceClient::new(session.access()?);
    let requests = futures::stream::iter(requests);
    Ok(imports.import(requests).await?.into_inner())
}

/// How many lines of the file these are.
fn lines_of(faults: &[Fault]) -> u32 {
    let lines: std::collections::BTreeSet<u32> = faults.iter().map(|fault| fault.line).collect();
    u32::try_from(lines.len()).unwrap_or(u32::MAX)
}

fn told(fault: Fault) -> ImportFault {
    ImportFault {
        line: fault.line,
        field: fault.field,
        detail: fault.detail,
    }
}

impl Row for ImportFault {
    const MESSAGE: &'static str = "propdev.access.v1.ImportFault";
    const COLUMNS: &'static [&'static str] = &["LINE", "COLUMN", "WHAT IS WRONG"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.line.to_string(),
            or_dash(&self.field),
            self.detail.clone(),
        ]
    }
}
