mod act;
mod receipt;
mod words;

use clap::{Args, Subcommand};
use propdev_proto::access::{
    self, ErasureReceipt, GetErasureRequest, ListErasuresRequest,
    erasure_service_client::ErasureServiceClient, get_erasure_request::Whom,
};
pub(crate) use receipt::{Receipt, ReceiptKeys};
use serde_json::{Value, json};

use crate::{
    connection::{Line, Session},
    error::Failure,
    json, moment, output,
    pages::Limit,
    services::Walk,
};

#[derive(Subcommand)]
pub(crate) enum Erasure {
    /// Newest first
    List(Limit),
    /// How far one is, and what was destroyed
    Show(Which),
    /// Receipts of one; none is shown unless its service's key signed it
    Receipts(Which),
    /// Print the act of destruction (Roskomnadzor's order 179) for signature.
    /// Before the erasure, which destroys the name; no copy is kept
    Act(Box<act::Print>),
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// UUID by which receipts and the audit log know the person
    pseudonym: Option<String>,
    /// UUID of the resident that was
    #[arg(long, value_name = "ID")]
    resident: Option<String>,
}

type Erasures = ErasureServiceClient<Line>;

impl Erasure {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List(limit) => list(&limit, session).await,
            Self::Show(which) => {
                let erasure = which.find(session).await?;
                session.output.print(
                    || as_json(&erasure),
                    || as_text(std::slice::from_ref(&erasure)),
                )
            }
            Self::Receipts(which) => {
                let erasure = which.find(session).await?;
                show_receipts(session, &erasure.receipts, &erasure.pseudonym).await
            }
            Self::Act(print) => print.run(session).await,
        }
    }
}

impl Which {
    async fn find(self, session: &Session) -> Result<access::Erasure, Failure> {
        // clap sees to it that there is one.
        let person = match (self.pseudonym, self.resident) {
            (_, Some(id)) => Whom::ResidentId(id),
            (pseudonym, None) => Whom::Pseudonym(pseudonym.unwrap_or_default()),
        };
        get(session, person).await
    }
}

async fn get(session: &Session, whom: Whom) -> Result<access::Erasure, Failure> {
    let mut erasures = Erasures::new(session.access()?);
    let request = GetErasureRequest { whom: Some(whom) };
    let reply = erasures.get_erasure(request).await?.into_inner();
    reply
        .erasure
        .ok_or_else(|| Failure::incomplete("the erasure"))
}

async fn list(limit: &Limit, session: &Session) -> Result<(), Failure> {
    let mut erasures = Erasures::new(session.access()?);
    let listed = limit
        .gather(async |page_size, page_token| {
            let request = ListErasuresRequest {
                page_size,
                page_token,
                ..ListErasuresRequest::default()
            };
            let reply = erasures.list_erasures(request).await?.into_inner();
            Ok((reply.erasures, reply.next_page_token))
        })
        .await?;
    if listed.more {
        output::note("there are more: raise --limit");
    }
    session.output.print(
        || listed.items.iter().map(as_json).collect(),
        || as_text(&listed.items),
    )
}

/// Those of them that verify, and whose the others should be.
pub(super) async fn show_receipts(
    session: &Session,
    receipts: &[ErasureReceipt],
    pseudonym: &str,
) -> Result<(), Failure> {
    let mut keys = ReceiptKeys::new(session);
    let mut walk = Walk::default();
    let mut verified = Vec::new();
    for receipt in receipts {
        match keys.verify(receipt, pseudonym).await {
            Ok(receipt) => verified.push(receipt),
            Err((service, failure)) => walk.fail(service, &failure),
        }
    }
    session.output.print(
        || Ok(verified.iter().map(Receipt::as_json).collect()),
        || output::table(Receipt::COLUMNS, verified.iter().map(Receipt::cells)),
    )?;
    walk.end("receipts that were not shown, since nothing vouches for them, are of")
}

const COLUMNS: &[&str] = &[
    "PSEUDONYM",
    "STARTED",
    "ERASED",
    "FINAL",
    "TEMPLATES",
    "VEHICLES",
    "KEYS AND FOBS",
    "GRANTS",
    "RECEIPTS OF",
];

/// Receipts are shown by `receipts`, which verifies them; here only whose
/// there are.
fn as_json(erasure: &access::Erasure) -> Result<Value, Failure> {
    let mut told = json::of("propdev.access.v1.Erasure", erasure)?;
    told["receipts"] = json!(services(erasure));
    Ok(told)
}

fn as_text(erasures: &[access::Erasure]) -> String {
    let rows = erasures.iter().map(|erasure| {
        let mut row = vec![
            erasure.pseudonym.clone(),
            moment::show(erasure.begun_at.as_ref()),
            moment::show(erasure.erased_at.as_ref()),
            moment::show(erasure.final_at.as_ref()),
        ];
        let counts = erasure.counts.as_ref().map(|counts| {
            [
                counts.templates,
                counts.vehicles,
                counts.credentials,
                counts.grants,
            ]
        });
        row.extend(match counts {
            Some(counts) => counts.map(|count| count.to_string()),
            None => std::array::from_fn(|_| "-".to_owned()),
        });
        row.push(output::or_dash(&services(erasure).join(", ")));
        row
    });
    output::table(COLUMNS, rows)
}

fn services(erasure: &access::Erasure) -> Vec<&str> {
    let receipts = erasure.receipts.iter();
    receipts.map(|receipt| &*receipt.service).collect()
}
