use clap::Subcommand;
use propdev_proto::access::{
    self, CreateBuildingRequest, DeleteBuildingRequest, GetBuildingRequest, ListBuildingsRequest,
    UpdateBuildingRequest, building_service_client::BuildingServiceClient,
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
pub(crate) enum Building {
    Add {
        /// UUID
        #[arg(long)]
        site: String,
        /// For people, e.g. 'Block 3'
        #[arg(long)]
        name: String,
        #[command(flatten)]
        external_ids: ExternalIds,
    },
    Get {
        /// UUID, or another system's id as SYSTEM=ID
        #[arg(value_parser = parse_named)]
        building: Named,
    },
    List {
        /// UUID; without it, of all sites
        #[arg(long, default_value = "", hide_default_value = true)]
        site: String,
        #[command(flatten)]
        limit: Limit,
    },
    Update {
        building_id: String,
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        external_ids: ChangedExternalIds,
        #[command(flatten)]
        etag: Etag,
    },
    /// Refused while it has entrances or households
    Delete {
        building_id: String,
        #[command(flatten)]
        etag: Etag,
    },
}

impl Building {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut buildings = BuildingServiceClient::new(session.access()?);
        match self {
            Self::Add {
                site,
                name,
                external_ids,
            } => {
                let building = access::Building {
                    site_id: site,
                    name,
                    external_ids: external_ids.into_map(),
                    ..access::Building::default()
                };
                let request = CreateBuildingRequest {
                    building: Some(building),
                };
                let reply = buildings.create_building(request).await?.into_inner();
                session.output.one(reply.building.as_ref())
            }
            Self::Get { building } => {
                let request = GetBuildingRequest {
                    building_id: building.id,
                    external_id: building.external_id,
                };
                let reply = buildings.get_building(request).await?.into_inner();
                session.output.one(reply.building.as_ref())
            }
            Self::List { site, limit } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListBuildingsRequest {
                            page_size,
                            page_token,
                            site_id: site.clone(),
                        };
                        let reply = buildings.list_buildings(request).await?.into_inner();
                        Ok((reply.buildings, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Update {
                building_id,
                name,
                external_ids,
                etag,
            } => {
                let mut changes = Changes::default();
                let building = access::Building {
                    building_id,
                    name: changes.take("name", name),
                    external_ids: changes.take("external_ids", external_ids.changed()),
                    etag: etag.etag,
                    ..access::Building::default()
                };
                let request = UpdateBuildingRequest {
                    building: Some(building),
                    update_mask: changes.mask()?,
                };
                let reply = buildings.update_building(request).await?.into_inner();
                session.output.one(reply.building.as_ref())
            }
            Self::Delete { building_id, etag } => {
                let request = DeleteBuildingRequest {
                    building_id: building_id.clone(),
                    etag: etag.etag,
                };
                buildings.delete_building(request).await?;
                session.output.done(
                    json!({ "building_id": building_id }),
                    &format!("building {building_id} deleted"),
                )
            }
        }
    }
}

impl Row for access::Building {
    const MESSAGE: &'static str = "propdev.access.v1.Building";
    const COLUMNS: &'static [&'static str] = &["BUILDING", "NAME", "SITE", "ETAG"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.building_id.clone(),
            self.name.clone(),
            self.site_id.clone(),
            self.etag.clone(),
        ]
    }
}
