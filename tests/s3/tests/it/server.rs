//! An S3 server over a temporary directory.
//!
//! s3s-fs looks whether an object exists and then writes it, so of racing conditional puts several
//! could win, which S3 rules out. Here puts are let in one at a time.

use std::sync::Arc;

use hyper::Method;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use skald_runtime::Shutdown;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const ACCESS_KEY: &str = "AKIATEST";
pub(crate) const SECRET_KEY: &str = "not-a-secret";
pub(crate) const BUCKET: &str = "bucket";

/// Runs until dropped.
pub(crate) struct Server {
    endpoint: String,
    shutdown: Shutdown,
    _dir: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let one_put = Arc::new(tokio::sync::Mutex::new(()));
        let shutdown = Shutdown::new();
        let stopped = shutdown.clone();
        skald_runtime::spawn("s3_server", async move {
            loop {
                let socket = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = stopped.wait() => return,
                };
                let (s3, one_put) = (service.clone(), Arc::clone(&one_put));
                let service = service_fn(move |request| {
                    let (s3, one_put) = (s3.clone(), Arc::clone(&one_put));
                    async move {
                        let _turn = match *hyper::Request::method(&request) {
                            Method::PUT => Some(one_put.lock_owned().await),
                            _ => None,
                        };
                        Service::call(&s3, request).await
                    }
                });
                skald_runtime::spawn("s3_connection", async move {
                    let http = Builder::new(TokioExecutor::new());
                    let served = http.serve_connection(TokioIo::new(socket), service).await;
                    // A client that hangs up is none of our business here.
                    drop(served);
                });
            }
        });
        Self { endpoint, shutdown, _dir: dir }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}
