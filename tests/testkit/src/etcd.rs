//! A real etcd of one member: on the loopback, in a directory of its own, killed when dropped.

use std::env;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

use crate::http::Client;
use crate::wait::until;

/// An etcd that can be killed, paused and started again at the same address.
#[derive(Debug)]
pub struct Etcd {
    binary: PathBuf,
    client_port: u16,
    peer_port: u16,
    child: Child,
    /// Its JSON gateway.
    pub client: Client,
    dir: TempDir,
}

/// Below what systems give to outgoing connections, so that a port stays free while its etcd is away.
const PORTS: std::ops::Range<u16> = 20_001..32_000;

// === impl Etcd ===

impl Etcd {
    /// Starts the etcd that `ETCD_BINARY` names or, without it, the one on the path. `None` where there is none,
    /// which is printed.
    #[expect(clippy::print_stdout, reason = "whoever runs the tests shall know")]
    pub async fn start() -> Option<Self> {
        let Some(binary) = find() else {
            println!("skipped: no etcd on the path or in ETCD_BINARY");
            return None;
        };
        Some(Self::start_binary(binary).await)
    }

    /// Starts this etcd.
    pub async fn start_binary(binary: PathBuf) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (client_port, peer_port) = (free_port(), free_port());
        let child = spawn(&binary, &dir, client_port, peer_port);
        let client = Client::new(format!("http://127.0.0.1:{client_port}"));
        let mut etcd = Self { binary, client_port, peer_port, child, client, dir };
        etcd.ready().await;
        etcd
    }

    pub fn endpoint(&self) -> String {
        self.client.base().to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Starts a killed etcd again, with its data and its address.
    pub async fn restart(&mut self) {
        self.child = spawn(&self.binary, &self.dir, self.client_port, self.peer_port);
        self.ready().await;
    }

    /// SIGSTOP: connections stay, answers do not come.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill");
        assert!(sent.success(), "kill {signal}");
    }

    /// Waits until it has a leader.
    async fn ready(&mut self) {
        let client = self.client.clone();
        let child = &mut self.child;
        until("etcd is ready", || {
            let exited = child.try_wait().expect("wait for child");
            assert!(exited.is_none(), "etcd exited: {exited:?}");
            let client = client.clone();
            async move {
                let reply = client.try_send(http::Method::GET, "/health", &[], bytes::Bytes::new());
                reply.await.ok().filter(|r| r.status.is_success())
            }
        })
        .await;
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("ETCD_BINARY") {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join("etcd")).find(|file| file.is_file())
}

/// An odd port that nobody listens on, and that nobody else in this process was given.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let n = PORTS.end - PORTS.start;
    // Test processes that run at the same time begin at different ports.
    let start = u16::try_from(std::process::id().wrapping_mul(271) % u32::from(n)).unwrap_or(0);
    (0..n)
        .find_map(|_| {
            let offset = start.wrapping_add(TAKEN.fetch_add(2, Ordering::Relaxed)) % n;
            let port = (PORTS.start + offset) | 1;
            TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
        })
        .expect("a free port")
}

fn spawn(binary: &PathBuf, dir: &TempDir, client_port: u16, peer_port: u16) -> Child {
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    Command::new(binary)
        .arg("--data-dir")
        .arg(dir.path().join("etcd"))
        .args(["--name", "one", "--initial-cluster", &format!("one={peer}")])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start etcd")
}
