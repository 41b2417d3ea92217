//! A `skald` process of a test: started on free ports in a directory of its own, killed when dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::Client;
use crate::wait::until;

/// How to start a server. Start it again after a crash with the same builder: same directory, same arguments.
#[derive(Debug)]
pub struct ServerBuilder {
    binary: PathBuf,
    data_dir: PathBuf,
    http_listen: String,
    grpc_listen: String,
    args: Vec<String>,
    /// Removed when builder and servers are gone.
    dir: Arc<TempDir>,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pub http: String,
    pub grpc: String,
    pub client: Client,
    _dir: Arc<TempDir>,
}

// === impl ServerBuilder ===

impl ServerBuilder {
    /// `binary` is `env!("CARGO_BIN_EXE_skald")` of the calling test.
    pub fn new(binary: &str) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let any = || "127.0.0.1:0".to_owned();
        Self {
            binary: PathBuf::from(binary),
            data_dir: dir.path().join("data"),
            http_listen: any(),
            grpc_listen: any(),
            args: Vec::new(),
            dir: Arc::new(dir),
        }
    }

    pub fn arg(mut self, flag: &str, value: &str) -> Self {
        self.args.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    pub fn set(self, key: &str, value: &str) -> Self {
        self.arg("--set", &format!("{key}={value}"))
    }

    pub fn grpc_listen(mut self, addr: &str) -> Self {
        addr.clone_into(&mut self.grpc_listen);
        self
    }

    pub fn http_listen(mut self, addr: &str) -> Self {
        addr.clone_into(&mut self.http_listen);
        self
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(&self) -> Server {
        let mut server = self.spawn().await;
        let client = server.client.clone();
        until("server is ready", || {
            let exited = server.child.try_wait().expect("wait for child");
            assert!(exited.is_none(), "server exited: {exited:?}");
            let client = client.clone();
            async move {
                let reply = client.try_send(http::Method::GET, "/ready", &[], bytes::Bytes::new());
                reply.await.ok().filter(|r| r.status == 200)
            }
        })
        .await;
        server
    }

    /// Runs the process, which must end by itself with an error, and answers what it wrote.
    pub async fn fails(&self) -> String {
        let output = tokio::process::Command::new(&self.binary)
            .args(["--http-listen", &self.http_listen, "--grpc-listen", &self.grpc_listen])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.args)
            .env("SKALD_LOG", "warn")
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(crate::wait::PATIENCE, output).await;
        let output = output.expect("the process ends").expect("start the server");
        assert!(!output.status.success(), "it must not work");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Starts the process and waits until it has told its addresses.
    async fn spawn(&self) -> Server {
        let addresses = self.data_dir.join("addresses.json");
        let _ = std::fs::remove_file(&addresses);
        let mut child = Command::new(&self.binary)
            .args(["--http-listen", &self.http_listen, "--grpc-listen", &self.grpc_listen])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.args)
            .env("SKALD_LOG", std::env::var("SKALD_LOG").unwrap_or_else(|_| "warn".to_owned()))
            .stdout(Stdio::null())
            .spawn()
            .expect("start the server");
        let found = until("addresses.json appears", || {
            let exited = child.try_wait().expect("wait for child");
            assert!(exited.is_none(), "server exited: {exited:?}");
            let text = std::fs::read(&addresses).ok();
            async move { serde_json::from_slice::<Value>(&text?).ok() }
        })
        .await;
        let addr = |key: &str| found[key].as_str().expect("an address").to_owned();
        let (http, grpc) = (addr("http"), addr("grpc"));
        let client = Client::new(format!("http://{http}"));
        Server { child, http, grpc, client, _dir: Arc::clone(&self.dir) }
    }
}

// === impl Server ===

impl Server {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// SIGTERM; the exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        assert!(sent.success());
        self.exited().await
    }

    /// Waits until the process ends by itself; the exit code.
    pub async fn exited(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let status = until("process exits", || {
            let status = child.try_wait().expect("wait");
            async move { status }
        })
        .await;
        status.code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
