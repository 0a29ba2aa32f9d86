use clap::{Subcommand, ValueEnum};
use propdev_proto::access::{
    self, CreateSiteRequest, ListSitesRequest, SetFreePassageRequest, SetLockdownRequest,
    site_service_client::SiteServiceClient,
};

use crate::{connection::Session, error::Failure, output::Row, pages::Limit};

#[derive(Subcommand)]
pub(crate) enum Site {
    Add {
        /// For people
        #[arg(long)]
        name: String,
    },
    List(Limit),
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
            Self::Add { name } => {
                let reply = sites
                    .create_site(CreateSiteRequest { name })
                    .await?
                    .into_inner();
                session.output.one(reply.site.as_ref())
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
    const COLUMNS: &'static [&'static str] = &["SITE", "NAME", "LOCKDOWN", "FREE PASSAGE"];

    fn cells(&self) -> Vec<String> {
        let show = |on: bool| if on { "on" } else { "off" }.to_owned();
        vec![
            self.site_id.clone(),
            self.name.clone(),
            show(self.lockdown),
            show(self.free_passage),
        ]
    }
}
