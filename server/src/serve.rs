//! The life of a server process: listen, start the roles, serve, stop in order.
//!
//! The operational routes answer from the first moment; everything else answers 503 until the roles
//! run. Stopping: readiness off → listeners closed, requests end → heads flushed → WAL synced → exit.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use skald_distributor::Listeners;
use skald_model::Chain;
use skald_runtime::{Shutdown, trace};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::ServiceExt;
use tracing::{error, info, warn};

use crate::addresses::Addresses;
use crate::cli::Options;
use crate::config::{Config, ConfigError};
use crate::listen;
use crate::ops::{self, Ops, Readiness};
use crate::registries::Registries;
use crate::roles::{self, Listening, Running};

/// Why the server did not start or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("configuration")]
    Config(#[from] ConfigError),
    #[error("logging: {0}")]
    Logging(String),
    #[error("{what}")]
    Io { what: String, source: std::io::Error },
    #[error("start")]
    Roles(#[from] roles::StartError),
    #[error("{0}")]
    Failed(String),
}

/// `skald server`: also `--config.check` and `--config.print`.
pub(crate) fn run(options: &Options) -> Result<(), ServeError> {
    let config = Config::load(options, std::env::vars())?;
    if options.print {
        crate::print(&config.to_yaml()?);
        return Ok(());
    }
    if options.check {
        crate::print("configuration is valid\n");
        return Ok(());
    }
    trace::init(&config.log.level, config.log.format).map_err(ServeError::Logging)?;
    let io = |source| ServeError::Io { what: "start the runtime".to_owned(), source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io)?;
    let done = runtime.block_on(serve(config));
    // Computations that were asked to stop get a moment; nothing unwritten depends on them.
    runtime.shutdown_timeout(Duration::from_secs(2));
    done
}

async fn serve(config: Config) -> Result<(), ServeError> {
    let config = Arc::new(config);
    let data_dir = &config.data_dir;
    let io = |what: String| move |source| ServeError::Io { what, source };
    std::fs::create_dir_all(data_dir).map_err(io(format!("create {}", data_dir.display())))?;
    Addresses::remove_stale(data_dir);
    let http = bind(&config.http_listen, "http_listen").await?;
    let grpc = bind(&config.grpc_listen, "grpc_listen").await?;
    let at = listening(&http, &grpc)?;

    let registries = Registries::default();
    let readiness = Readiness::starting();
    let (stop_listening, stop_roles) = (Shutdown::new(), Shutdown::new());
    let late = Late::default();
    let ops = ops::router(Ops {
        readiness: readiness.clone(),
        registries: registries.clone(),
        config: Arc::clone(&config),
        ingester: Arc::clone(&late.ingester),
    });
    let router = ops.fallback_service(late.service());
    let http_task = skald_runtime::spawn("http", {
        let (server, stop) = (config.server.clone(), stop_listening.clone());
        async move { listen::serve(http, router, &server, stop).await }
    });

    let mut signals = Signals::new()?;
    let mut started = tokio::select! {
        started = roles::start(&config, &registries, at, &stop_roles) => started?,
        () = signals.next() => return Ok(()),
    };
    // Before the log is read: what is in blocks can be asked for (`partial=allow`), and other processes are refused at once.
    late.set(&started);
    let grpc_task = started.serve_grpc(grpc, stop_listening.clone());
    let mut listeners = Listeners::default();
    let serving = async {
        started.replay().await?;
        listeners = started.listen(&stop_listening).await?;
        let addresses = Addresses::new(at.http, at.grpc, &listeners);
        addresses.write(data_dir).map_err(io("write addresses.json".to_owned()))?;
        started.set_ready();
        readiness.set_ready();
        announce(&config, addresses);
        Err(ServeError::Failed(started.failed().await))
    };
    tokio::select! {
        () = signals.next() => {}
        failed = serving => return failed,
    }
    info!("shutting down");
    readiness.set_not_ready("shutting down");
    stop_listening.trigger();
    let orderly = async {
        let _ = http_task.await;
        listeners.done().await;
        if let Err(error) = grpc_task.await {
            warn!(%error, "gRPC listener ended badly");
        }
        stop_roles.trigger();
        started.stop().await
    };
    tokio::select! {
        done = orderly => {
            if let Err(error) = done {
                error!(error = %Chain(&error), "not everything was flushed; the WAL has it");
            }
            info!("stopped");
            Ok(())
        }
        () = signals.next() => Err(ServeError::Failed("second signal: stopped at once".to_owned())),
    }
}

fn listening(http: &TcpListener, grpc: &TcpListener) -> Result<Listening, ServeError> {
    let what = || "read the listener's address".to_owned();
    let io = |source| ServeError::Io { what: what(), source };
    Ok(Listening { http: http.local_addr().map_err(io)?, grpc: grpc.local_addr().map_err(io)? })
}

async fn bind(addr: &str, key: &str) -> Result<TcpListener, ServeError> {
    let what = format!("listen on {addr} ({key})");
    TcpListener::bind(addr).await.map_err(|source| ServeError::Io { what, source })
}

/// Says where to point what.
fn announce(config: &Config, addresses: Addresses) {
    let Addresses { http, grpc, .. } = addresses;
    info!(%http, %grpc, target = config.target, storage = config.storage_url(), "ready");
    let Ok(roles) = config.roles() else { return };
    let mut text = format!("skald is ready on http://{http}\n");
    if roles.distributor {
        text.push_str(&format!("  Prometheus  remote_write url: http://{http}/api/v1/push\n"));
        text.push_str(&format!("  log shipper Loki push url:    http://{http}/loki/api/v1/push\n"));
    }
    if roles.querier {
        text.push_str(&format!(
            "  Grafana     data sources:     Prometheus and Loki, both with url http://{http}\n"
        ));
    }
    crate::print(&text);
}

/// SIGTERM and SIGINT.
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, ServeError> {
        let io = |source| ServeError::Io { what: "watch signals".to_owned(), source };
        let term = signal(SignalKind::terminate()).map_err(io)?;
        let int = signal(SignalKind::interrupt()).map_err(io)?;
        Ok(Self { term, int })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Completes on SIGTERM or SIGINT.
pub(crate) async fn stop_signal() -> Result<(), ServeError> {
    Signals::new()?.next().await;
    Ok(())
}

/// What exists only once the roles have started.
#[derive(Clone, Default)]
struct Late {
    router: Arc<OnceLock<Router>>,
    ingester: ops::LateIngester,
}

impl Late {
    fn set(&self, running: &Running) {
        // Set once, here.
        let _ = self.router.set(running.router());
        if let Some(ingester) = running.ingester() {
            let _ = self.ingester.set(ingester);
        }
    }

    /// The roles' routes, or 503 while there are none.
    fn service(
        &self,
    ) -> impl tower::Service<
        axum::extract::Request,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone
    + Send
    + Sync
    + 'static {
        let router = Arc::clone(&self.router);
        tower::service_fn(move |request: axum::extract::Request| {
            let router = router.get().cloned();
            async move {
                match router {
                    Some(router) => router.oneshot(request).await,
                    None => Ok((StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response()),
                }
            }
        })
    }
}
