//! The cluster: one etcd, one storage server, three zones of ingesters, and two of everything else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use skald_testkit::Etcd;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::node::Node;

pub const ZONES: [&str; 3] = ["a", "b", "c"];
pub const PARTITIONS: u32 = 2;
/// How long anything may take to come back, once nothing keeps it.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// All processes, each under its supervisor.
#[derive(Debug)]
pub struct Cluster {
    pub etcd: Mutex<Etcd>,
    pub storage: Node,
    pub ingesters: Vec<Ingester>,
    pub distributors: Vec<Node>,
    pub queriers: Vec<Node>,
    pub compactors: Vec<Node>,
    /// Who holds it may disturb the ingesters of one zone.
    zone: Mutex<()>,
    binary: PathBuf,
    common: Vec<String>,
    root: TempDir,
}

#[derive(Debug)]
pub struct Ingester {
    pub zone: usize,
    pub partition: u32,
    pub node: Node,
}

fn set(args: &mut Vec<String>, pairs: &[(&str, &str)]) {
    args.extend(pairs.iter().flat_map(|(k, v)| ["--set".to_owned(), format!("{k}={v}")]));
}

/// What all processes but the storage server are told. Everything that happens rarely happens often.
fn common(etcd: &Etcd, storage: &Node) -> Vec<String> {
    let mut args = vec!["--storage".to_owned(), format!("grpc://{}", storage.grpc)];
    set(&mut args, &[("cluster.etcd.endpoints", &format!("['{}']", etcd.endpoint()))]);
    set(
        &mut args,
        &[
            ("auth.mode", "trusted-proxy"),
            ("cluster.replication_factor", "3"),
            ("cluster.timing.lease", "5s"),
            ("cluster.timing.list_interval", "1s"),
            ("limits.max_entries_limit_per_query", "10000000"),
            ("ingester.flush_interval", "10s"),
            ("ingester.flush_on_shutdown", "false"),
            ("ingester.flush_max_backoff", "5s"),
            ("ingester.wal.segment_size", "1MiB"),
            ("ingester.wal.ballast", "1MiB"),
            ("compactor.interval", "5s"),
            // A querier may be paused for a minute in the middle of a query.
            ("compactor.deletion_delay", "90s"),
            ("compactor.orphan_age", "5m"),
            ("compactor.orphan_scan_gap", "1m"),
        ],
    );
    args
}

// === impl Cluster ===

impl Cluster {
    /// Starts everything and waits until all partitions are active.
    pub async fn start(binary: &Path, etcd: Etcd) -> Self {
        let root = tempfile::Builder::new().prefix("skald-chaos-").tempdir().expect("a directory");
        let storage = Node::new(
            binary,
            root.path(),
            "storage",
            &["--target".to_owned(), "storage".to_owned()],
        );
        let common = common(&etcd, &storage);
        let role = |name: &str, role: &str, more: &[(&str, &str)]| {
            let mut args = vec!["--target".to_owned(), role.to_owned()];
            args.extend(common.clone());
            set(&mut args, more);
            Node::new(binary, root.path(), name, &args)
        };
        let two = |r: &str| (0..2).map(|i| role(&format!("{r}-{i}"), r, &[])).collect();
        let (distributors, queriers, compactors) =
            (two("distributor"), two("querier"), two("compactor"));
        let mut ingesters = Vec::new();
        for partition in 0..PARTITIONS {
            for (zone, letter) in ZONES.iter().enumerate() {
                let name = format!("ingester-zone-{letter}-{partition}");
                let more = [
                    ("cluster.replica_id", name.as_str()),
                    ("cluster.zone", &format!("zone-{letter}")),
                ];
                let node = role(&name, "ingester", &more);
                ingesters.push(Ingester { zone, partition, node });
            }
        }
        let (etcd, binary) = (Mutex::new(etcd), binary.to_owned());
        let zone = Mutex::default();
        let cluster = Self {
            etcd,
            storage,
            ingesters,
            distributors,
            queriers,
            compactors,
            zone,
            binary,
            common,
            root,
        };
        cluster.storage.start();
        let deadline = Instant::now() + PATIENCE;
        while !cluster.storage.ready().await {
            assert!(Instant::now() < deadline, "no storage: {}", cluster.storage.last_words());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        cluster.nodes().for_each(Node::start);
        cluster
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        let ingesters = self.ingesters.iter().map(|i| &i.node);
        let rest = self.distributors.iter().chain(&self.queriers).chain(&self.compactors);
        ingesters.chain(rest).chain([&self.storage])
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Keeps data and logs for whoever looks into them.
    pub fn keep(&mut self) {
        self.root.disable_cleanup(true);
    }

    /// The right to disturb one zone.
    pub async fn zone(&self) -> MutexGuard<'_, ()> {
        self.zone.lock().await
    }

    /// A second process with the name of this ingester and a disk of its own.
    pub fn twin(&self, of: &Ingester, n: usize) -> Node {
        let mut args = vec!["--target".to_owned(), "ingester".to_owned()];
        args.extend(self.common.clone());
        let id = of.node.name.as_str();
        let zone = format!("zone-{}", ZONES[of.zone]);
        set(&mut args, &[("cluster.replica_id", id), ("cluster.zone", &zone)]);
        Node::new(&self.binary, self.root.path(), &format!("{id}-twin-{n}"), &args)
    }

    /// Whether this ingester serves in its newest incarnation, has all that it should, and all routers that answer know;
    /// at least one of each kind answers.
    pub async fn serves(&self, id: &str, node: &Node) -> bool {
        if !node.ready().await {
            return false;
        }
        let own = picture(node).await;
        let Some(epoch) = own.as_ref().and_then(|c| seat(c, id)).map(|s| s["epoch"].clone()) else {
            return false;
        };
        for kind in [&self.distributors, &self.queriers] {
            let mut answers = 0;
            for router in kind {
                let Some(cluster) = picture(router).await else { continue };
                answers += 1;
                let well = seat(&cluster, id).is_some_and(|s| {
                    s["epoch"] == epoch && s["ready"] == true && s["rebuilding"] == false
                });
                if !well {
                    return false;
                }
            }
            if answers == 0 {
                return false;
            }
        }
        true
    }

    /// State of a partition if all routers that answer agree about it.
    pub async fn state(&self, partition: u32) -> Option<String> {
        let mut agreed = None;
        for node in self.queriers.iter().chain(&self.distributors) {
            let Some(cluster) = picture(node).await else { continue };
            let mut all = cluster["partitions"].as_array().into_iter().flatten();
            let found = all.find(|p| p["partition"] == partition)?["state"].as_str()?.to_owned();
            if agreed.get_or_insert_with(|| found.clone()) != &found {
                return None;
            }
        }
        agreed
    }
}

async fn picture(node: &Node) -> Option<Value> {
    serde_json::from_slice(&node.get("/cluster").await?.body).ok()
}

/// The seat of a replica in a partition that is read.
fn seat<'a>(cluster: &'a Value, id: &str) -> Option<&'a Value> {
    let partitions = cluster["partitions"].as_array().into_iter().flatten();
    let read = partitions.filter(|p| p["state"] == "active" || p["state"] == "readonly");
    read.flat_map(|p| p["replicas"].as_array().into_iter().flatten()).find(|r| r["id"] == id)
}
