//! `skald catalog`, `skald block` and `skald wal`: what is stored, for people who want to see or check it.
//!
//! They only read, so they may run beside the servers that own the data.

mod blocks;
mod wal;

use std::sync::Arc;

use object_store::ObjectStore;
use skald_catalog::{Author, Catalog, View};
use skald_model::TenantId;
use skald_runtime::{Rng, SystemClock};

use crate::cli::Options;
use crate::config::{Config, ConfigError};

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inspect {
    /// Of one tenant, or of all.
    CatalogShow(Option<String>),
    CatalogVerify(Option<String>),
    /// Tenant and id.
    BlockShow(String, String),
    BlockVerify(String, String),
    Wal,
}

/// Why looking failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    #[error("configuration")]
    Config(#[from] ConfigError),
    #[error("{what}")]
    Io { what: &'static str, source: std::io::Error },
    #[error("open storage")]
    Open(#[from] skald_store::OpenError),
    #[error("tenant {0:?}: {1}")]
    Tenant(String, String),
    #[error("read the catalog")]
    Catalog(#[from] skald_catalog::Error),
    #[error("tenant {tenant} has no block {id:?}")]
    NoBlock { tenant: TenantId, id: String },
    #[error("block {id}: {reason}")]
    BadMeta { id: String, reason: String },
    #[error("read the block")]
    Block(#[from] skald_blocks::Error),
    #[error("read the log")]
    Wal(#[from] skald_wal::Error),
    #[error("{0} damaged")]
    Damaged(String),
}

/// Prints what was asked for; fails where a check does.
pub(crate) fn run(what: &Inspect, options: &Options) -> Result<(), InspectError> {
    let config = Config::load(options, std::env::vars())?;
    if *what == Inspect::Wal {
        return wal::inspect(&config.data_dir.join("wal"));
    }
    let io = |source| InspectError::Io { what: "start the runtime", source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io)?;
    runtime.block_on(async {
        let store = skald_store::open(&config.storage_url(), &config.storage.options)?;
        let stored = Stored::new(store);
        match what {
            Inspect::CatalogShow(tenant) => stored.show_catalog(tenant.as_deref()).await,
            Inspect::CatalogVerify(tenant) => stored.verify_catalog(tenant.as_deref()).await,
            Inspect::BlockShow(tenant, id) => stored.show_block(tenant, id).await,
            Inspect::BlockVerify(tenant, id) => stored.verify_block(tenant, id).await,
            Inspect::Wal => Ok(()),
        }
    })
}

/// The object store and its catalog.
struct Stored {
    store: Arc<dyn ObjectStore>,
    catalog: Catalog,
}

// === impl Stored ===

impl Stored {
    fn new(store: Arc<dyn ObjectStore>) -> Self {
        // Nothing is ever committed under this name.
        let author = Author { replica: "inspect".to_owned(), epoch: 0 };
        let (clock, rng) = (Arc::new(SystemClock), Rng::from_entropy());
        let config = skald_catalog::Config::default();
        let catalog = Catalog::new(Arc::clone(&store), clock, rng, author, config);
        Self { store, catalog }
    }

    /// The newest views of one tenant, or of all.
    async fn views(&self, tenant: Option<&str>) -> Result<Vec<Arc<View>>, InspectError> {
        let tenants = match tenant {
            Some(id) => vec![parse_tenant(id)?],
            None => self.catalog.tenants().await?,
        };
        let mut views = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            views.push(self.catalog.refresh(&tenant).await?);
        }
        Ok(views)
    }
}

fn parse_tenant(id: &str) -> Result<TenantId, InspectError> {
    TenantId::parse(id).map_err(|e| InspectError::Tenant(id.to_owned(), e.to_string()))
}
