use clap::{Subcommand, ValueEnum};
use propdev_proto::access::{
    self, CreateSiteRequest, DeleteSiteRequest, GetSiteRequest, ListSitesRequest,
    SetFreePassageRequest, SetLockdownRequest, UpdateSiteRequest,
    site_service_client::SiteServiceClient,
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
pub(crate) enum Site {
    Add {
        /// For people
        #[arg(long)]
        name: String,
        #[command(flatten)]
        external_ids: ExternalIds,
    },
    Get {
        /// UUID, or another system's id as SYSTEM=ID
        #[arg(value_parser = parse_named)]
        site: Named,
    },
    List(Limit),
    Update {
        site_id: String,
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        external_ids: ChangedExternalIds,
        #[command(flatten)]
        etag: Etag,
    },
    /// Refused while something is registered at it
    Delete {
        site_id: String,
        #[command(flatten)]
        etag: Etag,
    },
    /// Open nothing of the site by face or plate, or open again
    Lockdown {
        site_id: String,
        #[arg(value_enum)]
        state: Switch,
    },
    /// Open the site for every resident, as in a fire, or as before; beats lockdown
    FreePassage {
        site_id: String,
        #[arg(value_enum)]
        state: Switch,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

impl Switch {
    pub(super) fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

impl Site {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut sites = SiteServiceClient::new(session.access()?);
        match self {
            Self::Add { name, external_ids } => {
                let request = CreateSiteRequest {
                    name,
                    external_ids: external_ids.into_map(),
                };
                let reply = sites.create_site(request).await?.into_inner();
                session.output.one(reply.site.as_ref())
            }
            Self::Get { site } => {
                let request = GetSiteRequest {
                    site_id: site.id,
                    external_id: site.external_id,
                };
                let reply = sites.get_site(request).await?.into_inner();
                session.output.one(reply.site.as_ref())
            }
            Self::Update {
                site_id,
                name,
                external_ids,
                etag,
            } => {
                let mut changes = Changes::default();
                let site = access::Site {
                    site_id,
                    name: changes.take("name", name),
                    external_ids: changes.take("external_ids", external_ids.changed()),
                    etag: etag.etag,
                    ..access::Site::default()
                };
                let request = UpdateSiteRequest {
                    site: Some(site),
                    update_mask: changes.mask()?,
                };
                let reply = sites.update_site(request).await?.into_inner();
                session.output.one(reply.site.as_ref())
            }
            Self::Delete { site_id, etag } => {
                let request = DeleteSiteRequest {
                    site_id: site_id.clone(),
                    etag: etag.etag,
                };
                sites.delete_site(request).await?;
                session.output.done(
                    json!({ "site_id": site_id }),
                    &format!("site {site_id} deleted"),
                )
            }
            Self::List(limit) => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListSitesRequest {
                            page_size,
                            page_token,
                        };
                        let reply = sites.list_sites(request).await?.into_inner();
                        Ok((reply.sites, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Lockdown { site_id, state } => {
                let request = SetLockdownRequest {
                    site_id,
                    lockdown: state.is_on(),
                };
                let reply = sites.set_lockdown(request).await?.into_inner();
                session.output.one(reply.site.as_ref())
            }
            Self::FreePassage { site_id, state } => {
                let request = SetFreePassageRequest {
                    site_id,
                    free_passage: state.is_on(),
                };
                let reply = sites.set_free_passage(request).await?.into_inner();
                session.output.one(reply.site.as_ref())
            }
        }
    }
}

impl Row for access::Site {
    const MESSAGE: &'static str = "propdev.access.v1.Site";
    const COLUMNS: &'static [&'static str] = &["SITE", "NAME", "LOCKDOWN", "FREE PASSAGE", "ETAG"];

    fn cells(&self) -> Vec<String> {
        let show = |on: bool| if on { "on" } else { "off" }.to_owned();
        vec![
            self.site_id.clone(),
            self.name.clone(),
            show(self.lockdown),
            show(self.free_passage),
            self.etag.clone(),
        ]
    }
}
