//! Crash points: one server, ended at every step of the log, flush, commit, compaction and garbage collection that the
//! sources mark with `crash_point!`, and asked for everything once it is started again.
//!
//! Nobody keeps a list: the points are found in the sources, and one that no run reaches is a violation. Each starts
//! from a server that was killed and left something of everything: records that are not in blocks, an unfinished write,
//! a block that no commit names, one past its retention, lines that somebody asked to delete, and a store of which all
//! objects are old enough to be collected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use skald_testkit::Client;
use skald_testkit::http::form;
use skald_testkit::payload::{self, REMOTE_WRITE_V1};
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::cluster::PATIENCE;
use crate::journal::{Journal, Kind};
use crate::node::Node;
use crate::read::Reader;
use crate::report::Report;
use crate::write::Writer;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    pub skald: PathBuf,
    /// The workspace whose sources name the points.
    pub sources: PathBuf,
    /// In round n a server ends where it reaches a point the n-th time.
    pub rounds: u64,
    /// Servers at once.
    pub jobs: usize,
    /// Only points whose names begin so.
    pub prefix: String,
}

const TENANTS: [&str; 2] = ["amber", "birch"];
/// Pushes, flushes and compactions in which a point must be reached.
const CYCLES: u32 = 6;
const DAYS: Duration = Duration::from_hours(72);
const FLUSH: &str = "/flush";
/// Everything that a server does. The first compaction has one block of each kind.
const ALL: [&str; 3] = ["/compact", FLUSH, "/compact"];
/// A debug build on a busy machine; a request takes as long only where something is stuck.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Ends a server at all points; the report has violations if anything is wrong.
pub async fn run(options: &Options) -> Arc<Report> {
    let report = Arc::new(Report::default());
    let found = find(&options.sources);
    let points: Vec<_> = found.iter().filter(|p| p.starts_with(&options.prefix)).collect();
    report.add("crash points", points.len() as u64);
    let places = Arc::new(Semaphore::new(options.jobs.max(1)));
    let mut runs = Vec::new();
    for round in 1..=options.rounds {
        for point in &points {
            let (point, report) = ((*point).clone(), Arc::clone(&report));
            let (binary, places) = (options.skald.clone(), Arc::clone(&places));
            runs.push(tokio::spawn(async move {
                let _place = places.acquire_owned().await;
                // What happens once in a life is met there the first time.
                for n in [round, 1] {
                    let own = Arc::new(Report::default());
                    if Run::new(&binary, &point, &own).run(n).await {
                        return report.absorb(&own);
                    }
                }
            }));
        }
    }
    for run in runs {
        if let Err(e) = run.await {
            report.violation(&format!("a run ended: {e}"));
        }
    }
    report
}

/// The names of all crash points below a directory, sorted.
pub fn find(sources: &Path) -> Vec<String> {
    const MARK: &str = concat!("crash_", "point!(\"");
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> =
        ["lib", "ingester", "distributor", "querier", "compactor", "server"]
            .map(|d| sources.join(d))
            .into();
    while let Some(at) = left.pop() {
        if at.is_dir() {
            left.extend(fs::read_dir(&at).into_iter().flatten().flatten().map(|e| e.path()));
        } else if at.extension().is_some_and(|e| e == "rs") && !at.ends_with("runtime/src/crash.rs")
        {
            let text = fs::read_to_string(&at).unwrap_or_default();
            let names = text.split(MARK).skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
    found.sort_unstable();
    found
}

/// One server and what was written to it.
#[derive(Debug)]
struct Run {
    point: String,
    node: Node,
    writers: Vec<Writer>,
    readers: Vec<Reader>,
    report: Arc<Report>,
    root: TempDir,
}

// === impl Run ===

impl Run {
    fn new(binary: &Path, point: &str, report: &Arc<Report>) -> Self {
        let root = tempfile::Builder::new().prefix("skald-points-").tempdir().expect("a directory");
        let node = Node::new(binary, root.path(), "skald", &settings());
        let since_ms = crate::now_ms() - 1;
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        let phase = watch::channel(None).1;
        for (tenant, name) in TENANTS.iter().enumerate() {
            for kind in [Kind::Samples, Kind::Lines] {
                let journal = Arc::new(Journal::new(tenant, kind));
                let routes = vec![node.client.clone().with_tenant(name)];
                let (report, phase) = (Arc::clone(report), phase.clone());
                let reader = Reader { journal, routes, report, phase, since_ms };
                writers.push(Writer {
                    journal: Arc::clone(&reader.journal),
                    routes: reader.routes.clone(),
                    report: Arc::clone(&reader.report),
                    phase: reader.phase.clone(),
                });
                readers.push(reader);
            }
        }
        let (point, report) = (point.to_owned(), Arc::clone(report));
        Self { point, node, writers, readers, report, root }
    }

    /// Whether the point was reached a `round`-th time; if not, nothing is said of it.
    async fn run(mut self, round: u64) -> bool {
        self.prepare().await;
        if !self.crash(&self.point, round, &ALL).await {
            if round > 1 {
                return false;
            }
            self.wrong("was not reached");
        }
        for when in ["after the crash", "after one more"] {
            self.start(when).await;
            self.check(when).await;
            self.cycle(&ALL).await;
            self.check(&format!("{when}, flushed and compacted")).await;
            self.node.kill();
        }
        self.verify();
        self.report.count("runs");
        if self.report.violations() > 0 {
            self.root.disable_cleanup(true);
            self.wrong(&format!("is kept in {}", self.root.path().display()));
        }
        true
    }

    fn wrong(&self, what: &str) {
        self.report.violation(&format!("{}: {what}", self.point));
    }

    /// Leaves something of everything behind, with the server killed.
    async fn prepare(&self) {
        self.start("at first").await;
        let first = self.client(TENANTS[0]);
        let old_ms = crate::now_ms() - 3 * 3_600_000;
        let old = payload::series(&[("__name__", "old")], &[(old_ms, 1.0)]);
        self.post(&first, "/api/v1/push", &REMOTE_WRITE_V1, payload::write_v1(vec![old])).await;
        self.post(&first, FLUSH, &[], Bytes::new()).await;
        let now_ns = crate::now_ms() * 1_000_000;
        let gone = payload::loki_json(&[(&[("app", "gone")], &[(now_ns, "a line to delete")])]);
        let json = [("content-type", "application/json")];
        self.post(&first, "/loki/api/v1/push", &json, gone).await;
        let (start, end) = (now_ns - 1_000_000_000, now_ns);
        let request = form(&[
            ("query", "{app=\"gone\"}"),
            ("start", &start.to_string()),
            ("end", &end.to_string()),
        ]);
        self.post(&first, &format!("/loki/api/v1/delete?{request}"), &[], Bytes::new()).await;
        self.push().await;
        self.post(&first, FLUSH, &[], Bytes::new()).await;
        self.push().await;
        self.node.kill();
        // A block that no commit names.
        if !self.crash("flush.stored", 1, &[FLUSH]).await {
            self.wrong("flush.stored was not reached");
        }
        if self.point == "replay.skipped" && !self.crash("flush.truncate", 1, &[FLUSH]).await {
            self.wrong("flush.truncate was not reached");
        }
        age(&self.node.dir.join("store"));
        self.damage();
    }

    /// What makes the rarest steps necessary.
    fn damage(&self) {
        let wal = self.node.dir.join("wal");
        let begun = |prefix: &str| self.point.starts_with(prefix);
        if begun("wal.id") {
            fs::remove_file(wal.join("id")).expect("the id of the log");
        }
        if begun("wal.ballast") {
            fs::remove_file(wal.join("ballast")).expect("the ballast");
        }
        let mut segments: Vec<PathBuf> = fs::read_dir(&wal)
            .expect("the log")
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "seg"))
            .collect();
        segments.sort_unstable();
        let Some(newest) = segments.last() else { return self.wrong("left no log") };
        let byte = if begun("wal.damage") { 0xa5 } else { 0 };
        let mut bytes = fs::read(newest).expect("a segment");
        bytes.extend([byte; 200]);
        fs::write(newest, bytes).expect("a segment");
    }

    /// Starts the server so that it ends at `point`, and keeps it busy until it has; whether it did.
    async fn crash(&self, point: &str, n: u64, work: &[&str]) -> bool {
        self.node.start_until(&format!("{point}:{n}"));
        if self.ends_at(point).await {
            return true;
        }
        for _ in 0..CYCLES {
            self.cycle(work).await;
            if self.ends_at(point).await {
                return true;
            }
        }
        self.node.kill();
        false
    }

    /// Waits until the server answers or has ended; whether it has, which must be at `point`.
    async fn ends_at(&self, point: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !self.node.ready().await {
            if self.ended_at(point) {
                return true;
            }
            assert!(Instant::now() < deadline, "not ready: {}", self.node.last_words());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    fn ended_at(&self, point: &str) -> bool {
        if self.node.reap().is_none() {
            return false;
        }
        let words = self.node.last_words();
        if !words.contains("crash point reached") || !words.contains(point) {
            self.wrong(&format!("ended before {point}: {words}"));
        }
        self.report.count("crashes");
        true
    }

    async fn start(&self, when: &str) {
        self.node.start();
        let deadline = Instant::now() + PATIENCE;
        while !self.node.ready().await {
            if let Some(code) = self.node.reap() {
                self.wrong(&format!("did not start {when}: {code}, {}", self.node.last_words()));
                return;
            }
            assert!(Instant::now() < deadline, "not ready: {}", self.node.last_words());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn client(&self, tenant: &str) -> Client {
        self.node.client.clone().with_tenant(tenant)
    }

    /// One row of each writer; those that are acknowledged must be found from then on.
    async fn push(&self) {
        for writer in &self.writers {
            writer.once().await;
        }
    }

    /// Asks for work, with a push before each. The server may end in the midst of it.
    async fn cycle(&self, work: &[&str]) {
        let first = self.client(TENANTS[0]);
        for path in work {
            self.push().await;
            let sent = first.try_send(Method::POST, path, &[], Bytes::new());
            let _ = tokio::time::timeout(TIMEOUT, sent).await;
        }
    }

    /// A request that must succeed.
    async fn post(&self, client: &Client, path: &str, headers: &[(&str, &str)], body: Bytes) {
        let reply = client.try_send(Method::POST, path, headers, body).await;
        match reply {
            Ok(reply) if reply.status.is_success() => {}
            Ok(reply) => self.wrong(&format!("{path}: {} {}", reply.status, reply.text())),
            Err(e) => self.wrong(&format!("{path}: {e}")),
        }
    }

    async fn check(&self, when: &str) {
        let end = crate::now_ms() + 60_000;
        for reader in &self.readers {
            if let Err(e) = reader.check(0, reader.since_ms, end).await {
                self.wrong(&format!("cannot be read {when}: {e}"));
            }
        }
    }

    /// All that the manifests name must be whole.
    fn verify(&self) {
        let output = Command::new(self.node.binary())
            .args(["catalog", "verify", "--data-dir"])
            .arg(&self.node.dir)
            .output()
            .expect("start a process");
        if !output.status.success() {
            self.wrong(&format!("verify: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
}

fn settings() -> Vec<String> {
    let pairs = [
        ("auth.mode", "trusted-proxy"),
        ("catalog.checkpoint_interval", "3"),
        ("ingester.flush_interval", "1h"),
        ("ingester.flush_on_shutdown", "false"),
        ("ingester.wal.segment_size", "4KiB"),
        ("ingester.wal.ballast", "64KiB"),
        ("compactor.interval", "1h"),
        ("compactor.min_blocks_to_merge", "2"),
        ("compactor.commit_retention", "2h"),
        ("compactor.orphan_age", "1h"),
        ("compactor.orphan_scan_gap", "0s"),
        ("compactor.delete_settle", "0s"),
        ("limits.delete_request_cancel_period", "0s"),
        ("limits.compactor_blocks_retention_period", "2h"),
        ("limits.max_entries_limit_per_query", "10000000"),
    ];
    pairs.iter().flat_map(|(k, v)| ["--set".to_owned(), format!("{k}={v}")]).collect()
}

/// Makes all files below a directory three days old.
#[expect(clippy::disallowed_methods, reason = "the clock of the file system is the real one")]
fn age(dir: &Path) {
    let then = SystemTime::now() - DAYS;
    let mut left = vec![dir.to_owned()];
    while let Some(at) = left.pop() {
        if at.is_dir() {
            left.extend(fs::read_dir(&at).into_iter().flatten().flatten().map(|e| e.path()));
        } else if let Ok(file) = fs::File::options().write(true).open(&at) {
            file.set_modified(then).expect("set the time of a file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_found_in_the_sources_and_stand_at_one_place_each() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let points = find(&root);
        for part in ["wal.", "push.", "flush.", "commit.", "merge.", "gc.", "replay."] {
            assert!(points.iter().any(|p| p.starts_with(part)), "no point of {part}");
        }
        let mut unique = points.clone();
        unique.dedup();
        assert_eq!(points, unique);
    }
}
