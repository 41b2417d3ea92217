//! Clusters of processes that find each other through a real etcd; skipped where there is none.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use skald_testkit::payload::{self, REMOTE_WRITE_V1};
use skald_testkit::{Client, Etcd, Server, ServerBuilder, until};

use crate::{lines, now_ms, samples, skald};

const ZONES: [char; 3] = ['a', 'b', 'c'];

/// One etcd, one store, a distributor, a querier, and ingesters by name.
struct World {
    etcd: Etcd,
    distributor: Server,
    querier: Server,
    ingesters: BTreeMap<String, (ServerBuilder, Option<Server>)>,
    url: String,
    _storage: Server,
    t0: i64,
    written: i64,
}

fn name(zone: char, partition: u32) -> String {
    format!("ingester-zone-{zone}-{partition}")
}

impl World {
    async fn start() -> Option<Self> {
        let etcd = Etcd::start().await?;
        let storage = skald().arg("--target", "storage").start().await;
        let url = format!("grpc://{}", storage.grpc);
        let distributor = Self::role(&etcd, &url, "distributor").start().await;
        let querier = Self::role(&etcd, &url, "querier").start().await;
        let mut world = Self {
            etcd,
            distributor,
            querier,
            ingesters: BTreeMap::new(),
            url,
            _storage: storage,
            t0: now_ms() - 600_000,
            written: 0,
        };
        world.add_partition(0).await;
        Some(world)
    }

    fn role(etcd: &Etcd, url: &str, target: &str) -> ServerBuilder {
        skald()
            .arg("--target", target)
            .arg("--storage", url)
            .set("cluster.etcd.endpoints", &format!("['{}']", etcd.endpoint()))
            .set("cluster.replication_factor", "3")
            .set("cluster.timing.lease", "5s")
            .set("cluster.timing.list_interval", "1s")
    }

    fn ingester(&self, zone: char, partition: u32) -> ServerBuilder {
        Self::role(&self.etcd, &self.url, "ingester")
            .set("cluster.replica_id", &name(zone, partition))
            .set("cluster.zone", &format!("zone-{zone}"))
    }

    async fn add_partition(&mut self, partition: u32) {
        for zone in ZONES {
            let builder = self.ingester(zone, partition);
            let server = builder.start().await;
            self.ingesters.insert(name(zone, partition), (builder, Some(server)));
        }
        self.until_state(partition, "active").await;
    }

    fn kill(&mut self, ingester: &str) {
        self.ingesters.get_mut(ingester).unwrap().1.take().unwrap().kill();
    }

    async fn restart(&mut self, ingester: &str) {
        let (builder, server) = self.ingesters.get_mut(ingester).unwrap();
        *server = Some(builder.start().await);
    }

    /// Loses what a killed ingester had on its disk.
    fn wipe(&self, ingester: &str) {
        std::fs::remove_dir_all(self.ingesters[ingester].0.data_dir()).unwrap();
    }

    /// Both routers agree on what `found` finds in `/cluster`.
    async fn until(&self, what: &str, found: impl Fn(&Value) -> bool) {
        for client in [&self.distributor.client, &self.querier.client] {
            until(what, || {
                let found = &found;
                async move {
                    let reply = client.get("/cluster", &[]).await;
                    let cluster: Value = serde_json::from_slice(&reply.body).ok()?;
                    found(&cluster).then_some(())
                }
            })
            .await;
        }
    }

    async fn until_state(&self, partition: u32, state: &str) {
        self.until(&format!("partition {partition} is {state}"), |cluster| {
            let partitions = cluster["partitions"].as_array().into_iter().flatten();
            partitions.into_iter().any(|p| p["partition"] == partition && p["state"] == state)
        })
        .await;
    }

    async fn until_rebuilding(&self, ingester: &str, rebuilding: bool) {
        self.until(&format!("{ingester} rebuilding: {rebuilding}"), |cluster| {
            let partitions = cluster["partitions"].as_array().into_iter().flatten();
            let mut replicas = partitions.flat_map(|p| p["replicas"].as_array().unwrap());
            replicas
                .any(|r| r["id"] == ingester && r["rebuilding"] == rebuilding && r["ready"] == true)
        })
        .await;
    }

    /// Writes `n` samples and lines more; each must be acknowledged.
    async fn write(&mut self, n: i64) {
        for _ in 0..n {
            let at = self.t0 + self.written;
            let client = &self.distributor.client;
            let reply =
                client.post("/api/v1/push", &REMOTE_WRITE_V1, sample(at, self.written)).await;
            assert!(reply.status.is_success(), "sample {}: {}", self.written, reply.text());
            let line = format!("line {}", self.written);
            let body = payload::loki_json(&[(&[("app", "steps")], &[(at * 1_000_000, &line)])]);
            let header = [("content-type", "application/json")];
            let reply = client.post("/loki/api/v1/push", &header, body).await;
            assert!(reply.status.is_success(), "line {}: {}", self.written, reply.text());
            self.written += 1;
        }
    }

    /// All that was acknowledged is found, each once.
    async fn check(&self, when: &str) {
        let (t0, n, client) = (self.t0, self.written, &self.querier.client);
        let want: Vec<_> = (0..n).map(|i| (t0 + i, i.to_string())).collect();
        assert_eq!(samples(client, "steps", "1h").await, want, "{when}");
        let found = lines(client, r#"{app="steps"}"#).await;
        let want: Vec<_> = (0..n).map(|i| ((t0 + i) * 1_000_000, format!("line {i}"))).collect();
        assert_eq!(found, want, "{when}");
    }
}

fn sample(at: i64, value: i64) -> Bytes {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let series = payload::series(&[("__name__", "steps")], &[(at, value as f64)]);
    payload::write_v1(vec![series])
}

async fn delete(client: &Client, path: &str) -> u16 {
    client.send(Method::DELETE, path, &[], Bytes::new()).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_loses_nothing_and_is_not_read_too_early() {
    let Some(mut world) = World::start().await else { return };
    let (a, b, c) = (name('a', 0), name('b', 0), name('c', 0));
    world.write(10).await;
    // Acknowledged by two of three: then one of the two loses everything.
    world.kill(&c);
    world.write(10).await;
    world.kill(&a);
    world.wipe(&a);
    world.restart(&a).await;
    world.until_rebuilding(&a, true).await;
    let reply = world.querier.client.get("/api/v1/query", &[("query", "steps")]).await;
    assert!(reply.status.is_server_error(), "one whole replica of two: {}", reply.text());
    // With the other neighbour back both flush, and what the first had is in blocks.
    world.restart(&c).await;
    world.until_rebuilding(&a, false).await;
    world.check("rebuilt").await;
    world.write(10).await;
    world.kill(&b);
    world.check("the only one with both halves is away").await;
    world.write(10).await;
    world.restart(&b).await;
    world.check("all are back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_partition_takes_its_data_to_the_store_and_leaves() {
    let Some(mut world) = World::start().await else { return };
    world.write(20).await;
    let reply = world.distributor.client.post("/drain?partition=0", &[], "").await;
    assert_eq!(reply.status.as_u16(), 409, "the only partition: {}", reply.text());
    world.add_partition(1).await;
    world.write(10).await;
    let on_the_way = world.ingesters[&name('b', 0)].1.as_ref().unwrap().client.clone();
    let reply = on_the_way.post("/ingester/prepare-downscale", &[], "").await;
    assert!([200, 503].contains(&reply.status.as_u16()), "{}", reply.text());
    world.write(10).await;
    world.until_state(0, "removed").await;
    let reply = on_the_way.get("/ingester/prepare-downscale", &[]).await;
    assert!(reply.text().contains("\"prepared\":true"), "{}", reply.text());
    assert_eq!(delete(&world.distributor.client, "/drain?partition=0").await, 409);
    for zone in ZONES {
        world.kill(&name(zone, 0));
        world.wipe(&name(zone, 0));
    }
    world.check("the drained ingesters are gone").await;
    world.write(10).await;
    world.check("and not missed").await;
    let reply = world.querier.client.get("/cluster", &[]).await;
    assert!(reply.text().contains("\"state\":\"removed\""), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_etcd_everything_goes_on_and_heals() {
    let Some(mut world) = World::start().await else { return };
    let b = name('b', 0);
    world.write(10).await;
    world.etcd.kill();
    world.write(10).await;
    world.check("etcd is away").await;
    world.kill(&b);
    world.write(5).await;
    world.restart(&b).await;
    world.write(5).await;
    world.check("restarted without etcd").await;
    world.until("trouble is shown", |cluster| cluster["trouble"].is_string()).await;
    world.etcd.restart().await;
    world.until("no more trouble", |cluster| cluster["trouble"].is_null()).await;
    world
        .until("all members are back", |cluster| {
            let members = cluster["members"].as_array().map_or(0, Vec::len);
            members == 5
        })
        .await;
    world.write(5).await;
    world.check("etcd is back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_with_one_name_the_newer_one_stays() {
    let Some(mut world) = World::start().await else { return };
    world.write(10).await;
    let second = world.ingester('b', 0).start().await;
    let mut first = world.ingesters.get_mut(&name('b', 0)).unwrap().1.take().unwrap();
    let code = first.exited().await;
    assert_eq!(code, Some(1), "the older one leaves by itself");
    world.write(10).await;
    world.until_rebuilding(&name('b', 0), false).await;
    world.check("the newer one serves").await;
    world.kill(&name('a', 0));
    world.check("and is read").await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_work_are_refused_at_the_start() {
    let Some(world) = World::start().await else { return };
    let other =
        World::role(&world.etcd, &world.url, "distributor").set("cluster.replication_factor", "1");
    let text = other.fails().await;
    assert!(text.contains("replication_factor is 1 here and 3 in the cluster"), "{text}");
    let two =
        World::role(&world.etcd, &world.url, "distributor").set("cluster.replication_factor", "2");
    let text = two.fails().await;
    assert!(text.contains("must be 1 or 3: with 2"), "{text}");
    let nameless = World::role(&world.etcd, &world.url, "ingester").set("cluster.replica_id", "x");
    let text = nameless.fails().await;
    assert!(text.contains("cluster.partition: must be given"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn distributors_agree_which_replica_of_a_pair_is_taken() {
    let Some(world) = World::start().await else { return };
    let builder = || {
        World::role(&world.etcd, &world.url, "distributor")
            .set("limits.accept_ha_samples", "true")
            .set("limits.ha_tracker_update_timeout", "500ms")
            .set("limits.ha_tracker_failover_timeout", "3s")
    };
    let (first, second) = (builder().start().await, builder().start().await);
    let t0 = now_ms() - 600_000;
    let next = std::sync::atomic::AtomicI64::new(t0);
    let time = || next.fetch_add(1000, std::sync::atomic::Ordering::SeqCst);
    let taken = parking_lot::Mutex::new(Vec::new());
    let write = async |server: &Server, replica: &str| {
        let at = time();
        let is_taken = crate::ha::write(&server.client, replica, at).await;
        if is_taken {
            taken.lock().push((at, "1".to_owned()));
        }
        is_taken
    };
    until("the first replica is elected, also where it does not write", || async {
        let (a, b) = (write(&first, "a").await, write(&second, "b").await);
        (a && !b).then_some(())
    })
    .await;
    until("the second takes over at its own distributor", || async {
        write(&second, "b").await.then_some(())
    })
    .await;
    until("the other distributor learns of it", || async {
        let (b, a) = (write(&second, "b").await, write(&first, "a").await);
        (b && !a).then_some(())
    })
    .await;
    // One that starts anew is told, not asked to elect.
    drop(first);
    let third = builder().start().await;
    until("a new distributor knows", || async {
        let (b, a) = (write(&second, "b").await, write(&third, "a").await);
        (b && !a).then_some(())
    })
    .await;
    let mut want = taken.lock().clone();
    want.sort();
    assert_eq!(samples(&world.querier.client, r#"up{cluster="eu"}"#, "1h").await, want);
}
