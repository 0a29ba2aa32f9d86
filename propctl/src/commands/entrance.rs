use clap::Subcommand;
use propdev_proto::access::{
    self, CreateEntranceRequest, DeleteEntranceRequest, GetEntranceRequest, ListEntrancesRequest,
    UpdateEntranceRequest, entrance_service_client::EntranceServiceClient,
};
use serde_json::json;

use crate::{
    connection::Session,
    error::Failure,
    output::Row,
    pages::Limit,
    reference::{ChangedExternalIds, Changes, Etag, ExternalIds, Named, parse_named},
};

#[derive(Subcommand)]
pub(crate) enum Entrance {
    Add {
        /// UUID
        #[arg(long)]
        building: String,
        /// For people, e.g. 'Entrance 2'
        #[arg(long)]
        name: String,
        #[command(flatten)]
        external_ids: ExternalIds,
    },
    Get {
        /// UUID, or another system's id as SYSTEM=ID
        #[arg(value_parser = parse_named)]
        entrance: Named,
    },
    List {
        /// UUID; without it, of all buildings
        #[arg(long, default_value = "", hide_default_value = true)]
        building: String,
        #[command(flatten)]
        limit: Limit,
    },
    Update {
        entrance_id: String,
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        external_ids: ChangedExternalIds,
        #[command(flatten)]
        etag: Etag,
    },
    /// Refused while it has devices
    Delete {
        entrance_id: String,
        #[command(flatten)]
        etag: Etag,
    },
}

impl Entrance {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut entrances = EntranceServiceClient::new(session.access()?);
        match self {
            Self::Add {
                building,
                name,
                external_ids,
            } => {
                let entrance = access::Entrance {
                    building_id: building,
                    name,
                    external_ids: external_ids.into_map(),
                    ..access::Entrance::default()
                };
                let request = CreateEntranceRequest {
                    entrance: Some(entrance),
                };
                let reply = entrances.create_entrance(request).await?.into_inner();
                session.output.one(reply.entrance.as_ref())
            }
            Self::Get { entrance } => {
                let request = GetEntranceRequest {
                    entrance_id: entrance.id,
                    external_id: entrance.external_id,
                };
                let reply = entrances.get_entrance(request).await?.into_inner();
                session.output.one(reply.entrance.as_ref())
            }
            Self::List { building, limit } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListEntrancesRequest {
                            page_size,
                            page_token,
                            building_id: building.clone(),
                        };
                        let reply = entrances.list_entrances(request).await?.into_inner();
                        Ok((reply.entrances, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Update {
                entrance_id,
                name,
                external_ids,
                etag,
            } => {
                let mut changes = Changes::default();
                let entrance = access::Entrance {
                    entrance_id,
                    name: changes.take("name", name),
                    external_ids: changes.take("external_ids", external_ids.changed()),
                    etag: etag.etag,
                    ..access::Entrance::default()
                };
                let request = UpdateEntranceRequest {
                    entrance: Some(entrance),
                    update_mask: changes.mask()?,
                };
                let reply = entrances.update_entrance(request).await?.into_inner();
                session.output.one(reply.entrance.as_ref())
            }
            Self::Delete { entrance_id, etag } => {
                let request = DeleteEntranceRequest {
                    entrance_id: entrance_id.clone(),
                    etag: etag.etag,
                };
                entrances.delete_entrance(request).await?;
                session.output.done(
                    json!({ "entrance_id": entrance_id }),
                    &format!("entrance {entrance_id} deleted"),
                )
            }
        }
    }
}

impl Row for access::Entrance {
    const MESSAGE: &'static str = "propdev.access.v1.Entrance";
    const COLUMNS: &'static [&'static str] = &["ENTRANCE", "NAME", "BUILDING", "ETAG"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.entrance_id.clone(),
            self.name.clone(),
            self.building_id.clone(),
            self.etag.clone(),
        ]
    }
}
