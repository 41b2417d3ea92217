//! `skald storage serve` and `skald storage check`: the storage interface for other processes, and the conformance suite.

use std::sync::Arc;

use object_store::ObjectStore;
use skald_runtime::{Shutdown, trace};
use skald_store::conformance::{self, Level};
use skald_store::server::StorageService;
use tokio::net::TcpListener;
use tracing::info;

use crate::cli::Options;
use crate::config::{Config, ConfigError};

/// Why a storage subcommand failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error("configuration")]
    Config(#[from] ConfigError),
    #[error("logging: {0}")]
    Logging(String),
    #[error("open storage")]
    Open(#[from] skald_store::OpenError),
    #[error("{what}")]
    Io { what: String, source: std::io::Error },
    #[error("the storage lacks something that Skald needs")]
    Lacking,
    #[error("serve")]
    Serve(#[from] skald_store::server::ServeError),
}

fn prepare(options: &Options) -> Result<(Config, tokio::runtime::Runtime), StorageError> {
    let config = Config::load(options, std::env::vars())?;
    trace::init(&config.log.level, config.log.format).map_err(StorageError::Logging)?;
    let io = |source| StorageError::Io { what: "start the runtime".to_owned(), source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io)?;
    Ok((config, runtime))
}

/// Serves `--backend` as `skald.storage.v1` until SIGINT or SIGTERM.
pub(crate) fn serve(options: &Options) -> Result<(), StorageError> {
    let (config, runtime) = prepare(options)?;
    runtime.block_on(async {
        let store = open(&config)?;
        let io =
            |source| StorageError::Io { what: format!("listen on {}", config.grpc_listen), source };
        let listener = TcpListener::bind(&config.grpc_listen).await.map_err(io)?;
        let addr = listener.local_addr().map_err(io)?;
        info!(%addr, backend = config.storage_url(), "serving storage");
        crate::print(&format!("skald storage is ready on grpc://{addr}\n"));
        let shutdown = Shutdown::new();
        skald_runtime::spawn("signal", {
            let shutdown = shutdown.clone();
            async move {
                let _ = crate::serve::stop_signal().await;
                shutdown.trigger();
            }
        });
        let service = StorageService::new(store, config.storage.server.clone());
        Ok(skald_store::server::serve(service, listener, shutdown).await?)
    })
}

/// Runs the conformance suite and prints what a store can and cannot do; fails when a required case does.
pub(crate) fn check(options: &Options) -> Result<(), StorageError> {
    let (config, runtime) = prepare(options)?;
    let report = runtime.block_on(async {
        Ok::<_, StorageError>(conformance::run(open(&config)?, Level::All).await)
    })?;
    crate::print(&report.to_string());
    if report.passes(Level::Required) { Ok(()) } else { Err(StorageError::Lacking) }
}

fn open(config: &Config) -> Result<Arc<dyn ObjectStore>, StorageError> {
    Ok(skald_store::open(&config.storage_url(), &config.storage.options)?)
}
