use clap::{Args, Subcommand};
use propdev_proto::access::{
    self, AddMemberRequest, CreateHouseholdRequest, DeleteHouseholdRequest, GetHouseholdRequest,
    ListHouseholdsRequest, ListMembersRequest, RemoveMemberRequest, UpdateHouseholdRequest,
    household_service_client::HouseholdServiceClient,
};
use serde_json::json;

use crate::{
    connection::{Line, Session},
    error::Failure,
    output::{Row, or_dash, table},
    pages::Limit,
    reference::{ChangedExternalIds, Changes, Etag, ExternalIds, Named, parse_named},
};

#[derive(Subcommand)]
pub(crate) enum Household {
    Add {
        /// UUID
        #[arg(long)]
        site: String,
        /// UUID of a building of the site
        #[arg(long, default_value = "", hide_default_value = true)]
        building: String,
        /// Number of the flat or house; never a name
        #[arg(long, default_value = "", hide_default_value = true)]
        unit: String,
        #[command(flatten)]
        external_ids: ExternalIds,
    },
    Get {
        /// UUID, or another system's id as SYSTEM=ID
        #[arg(value_parser = parse_named)]
        household: Named,
    },
    List {
        /// UUID; without it, of all sites
        #[arg(long, default_value = "", hide_default_value = true)]
        site: String,
        #[command(flatten)]
        limit: Limit,
    },
    Update {
        household_id: String,
        /// UUID; '' for none
        #[arg(long)]
        building: Option<String>,
        #[arg(long)]
        unit: Option<String>,
        #[command(flatten)]
        external_ids: ChangedExternalIds,
        #[command(flatten)]
        etag: Etag,
    },
    /// Refused while it has members or guests; with it end its grants and what it has paid for
    Delete {
        household_id: String,
        #[command(flatten)]
        etag: Etag,
    },
    /// Who lives together
    #[command(subcommand)]
    Member(Member),
}

#[derive(Subcommand)]
pub(crate) enum Member {
    /// The resident has the household's rights from now on
    Add(Pair),
    /// The resident stays, without the household's rights
    Remove(Pair),
    List {
        household_id: String,
        #[command(flatten)]
        limit: Limit,
    },
}

#[derive(Args)]
pub(crate) struct Pair {
    household_id: String,
    resident_id: String,
}

type Households = HouseholdServiceClient<Line>;

impl Household {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut households = Households::new(session.access()?);
        match self {
            Self::Add {
                site,
                building,
                unit,
                external_ids,
            } => {
                let household = access::Household {
                    site_id: site,
                    building_id: building,
                    unit,
                    external_ids: external_ids.into_map(),
                    ..access::Household::default()
                };
                let request = CreateHouseholdRequest {
                    household: Some(household),
                };
                let reply = households.create_household(request).await?.into_inner();
                session.output.one(reply.household.as_ref())
            }
            Self::Get { household } => {
                let request = GetHouseholdRequest {
                    household_id: household.id,
                    external_id: household.external_id,
                };
                let reply = households.get_household(request).await?.into_inner();
                session.output.one(reply.household.as_ref())
            }
            Self::List { site, limit } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListHouseholdsRequest {
                            page_size,
                            page_token,
                            site_id: site.clone(),
                        };
                        let reply = households.list_households(request).await?.into_inner();
                        Ok((reply.households, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Update {
                household_id,
                building,
                unit,
                external_ids,
                etag,
            } => {
                let mut changes = Changes::default();
                let household = access::Household {
                    household_id,
                    building_id: changes.take("building_id", building),
                    unit: changes.take("unit", unit),
                    external_ids: changes.take("external_ids", external_ids.changed()),
                    etag: etag.etag,
                    ..access::Household::default()
                };
                let request = UpdateHouseholdRequest {
                    household: Some(household),
                    update_mask: changes.mask()?,
                };
                let reply = households.update_household(request).await?.into_inner();
                session.output.one(reply.household.as_ref())
            }
            Self::Delete { household_id, etag } => {
                let request = DeleteHouseholdRequest {
                    household_id: household_id.clone(),
                    etag: etag.etag,
                };
                households.delete_household(request).await?;
                session.output.done(
                    json!({ "household_id": household_id }),
                    &format!("household {household_id} deleted"),
                )
            }
            Self::Member(member) => member.run(&mut households, session).await,
        }
    }
}

impl Member {
    async fn run(self, households: &mut Households, session: &Session) -> Result<(), Failure> {
        let (pair, what) = match self {
            Self::Add(pair) => {
                let request = AddMemberRequest {
                    household_id: pair.household_id.clone(),
                    resident_id: pair.resident_id.clone(),
                };
                households.add_member(request).await?;
                (pair, "is a member")
            }
            Self::Remove(pair) => {
                let request = RemoveMemberRequest {
                    household_id: pair.household_id.clone(),
                    resident_id: pair.resident_id.clone(),
                };
                households.remove_member(request).await?;
                (pair, "is no member any more")
            }
            Self::List {
                household_id,
                limit,
            } => return list_members(households, session, household_id, limit).await,
        };
        session.output.done(
            json!({ "household_id": pair.household_id, "resident_id": pair.resident_id }),
            &format!(
                "resident {} {what} of household {}",
                pair.resident_id, pair.household_id
            ),
        )
    }
}

async fn list_members(
    households: &mut Households,
    session: &Session,
    household_id: String,
    limit: Limit,
) -> Result<(), Failure> {
    let listed = limit
        .gather(async |page_size, page_token| {
            let request = ListMembersRequest {
                page_size,
                page_token,
                household_id: household_id.clone(),
            };
            let reply = households.list_members(request).await?.into_inner();
            Ok((reply.resident_ids, reply.next_page_token))
        })
        .await?;
    listed.note_more();
    session.output.print(
        || Ok(json!(listed.items)),
        || {
            table(
                &["RESIDENT"],
                listed.items.iter().map(|id| vec![id.clone()]),
            )
        },
    )
}

impl Row for access::Household {
    const MESSAGE: &'static str = "propdev.access.v1.Household";
    const COLUMNS: &'static [&'static str] = &["HOUSEHOLD", "UNIT", "SITE", "BUILDING", "ETAG"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.household_id.clone(),
            or_dash(&self.unit),
            self.site_id.clone(),
            or_dash(&self.building_id),
            self.etag.clone(),
        ]
    }
}
