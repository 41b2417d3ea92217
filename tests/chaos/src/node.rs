//! One process of the cluster under a supervisor: what ends by itself is started again, as an operator's would.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;
use skald_testkit::etcd::free_port;
use skald_testkit::{Client, Reply};

/// A process that is meant to run, unless a fault holds it down.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub http: String,
    pub grpc: String,
    pub client: Client,
    pub dir: PathBuf,
    binary: PathBuf,
    args: Vec<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    child: Option<Child>,
    /// Whether the supervisor starts it again.
    wanted: bool,
}

/// How long a process may not answer before it counts as not answering.
const SHORT: Duration = Duration::from_secs(1);

/// Sends a signal by its name.
pub fn signal(pid: u32, signal: &str) {
    // It fails only when the process is gone, which whoever waits for it sees.
    let _ = Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status();
}

// === impl Node ===

impl Node {
    /// A process with its data and its log below `root`.
    pub fn new(binary: &Path, root: &Path, name: &str, args: &[String]) -> Self {
        let (http, grpc) =
            (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let client = Client::new(format!("http://{http}"));
        let dir = root.join(name);
        let state = Mutex::default();
        let (binary, args) = (binary.to_owned(), args.to_vec());
        Self { name: name.to_owned(), http, grpc, client, dir, binary, args, state }
    }

    fn log(&self) -> File {
        let path = self.dir.with_extension("log");
        OpenOptions::new().create(true).append(true).open(path).expect("the log of a process")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(["--http-listen", &self.http, "--grpc-listen", &self.grpc])
            .arg("--data-dir")
            .arg(&self.dir)
            .args(&self.args)
            .env("SKALD_LOG", "warn,skald_coord=info,skald=info,skald_server=info")
            .stdout(Stdio::null())
            .stderr(self.log());
        command
    }

    fn spawn(&self) -> Child {
        self.command().spawn().expect("start a process")
    }

    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Starts it so that it ends at a crash point, and nobody starts it again.
    pub fn start_until(&self, point: &str) {
        let child = self.command().env("CRASH_POINT", point).spawn().expect("start a process");
        let mut state = self.state.lock();
        (state.child, state.wanted) = (Some(child), false);
    }

    pub fn start(&self) {
        let mut state = self.state.lock();
        state.wanted = true;
        if state.child.is_none() {
            state.child = Some(self.spawn());
        }
    }

    /// SIGKILL; it stays down until it is started.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.wanted = false;
        if let Some(mut child) = state.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM; the exit code, or nothing if it had to be killed after `patience`.
    pub async fn terminate(&self, patience: Duration) -> Option<i32> {
        self.state.lock().wanted = false;
        self.signal("-TERM");
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            if let Some(code) = self.reap() {
                return Some(code);
            }
            if tokio::time::Instant::now() > deadline {
                self.kill();
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn signal(&self, name: &str) {
        if let Some(child) = &self.state.lock().child {
            signal(child.id(), name);
        }
    }

    /// Lets it end without being started again.
    pub fn unsupervised(&self) {
        self.state.lock().wanted = false;
    }

    /// The code with which it ended by itself, once; -1 for a signal.
    pub fn reap(&self) -> Option<i32> {
        let mut state = self.state.lock();
        let status = state.child.as_mut()?.try_wait().ok()??;
        state.child = None;
        Some(status.code().unwrap_or(-1))
    }

    /// What a supervisor does: the code with which it ended by itself, if it did, after it was started again.
    pub fn supervise(&self) -> Option<i32> {
        if !self.state.lock().wanted {
            return None;
        }
        let code = self.reap()?;
        self.start();
        Some(code)
    }

    /// Loses its disk.
    pub fn wipe(&self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }

    pub async fn get(&self, path: &str) -> Option<Reply> {
        let reply = self.client.try_send(Method::GET, path, &[], Bytes::new());
        tokio::time::timeout(SHORT, reply).await.ok()?.ok()
    }

    pub async fn ready(&self) -> bool {
        self.get("/ready").await.is_some_and(|r| r.status == 200)
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(self.dir.with_extension("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.signal("-CONT");
        self.kill();
    }
}
