//! The cluster as this process sees it in numbers, counted when they are asked for.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use skald_coord::{Cluster, Picture};
use skald_ring::{Coordinator, PartitionState};

use super::page;

/// What a replica or a member can be, as `/cluster` says it.
const STANDINGS: [&str; 4] = ["away", "starting", "rebuilding", "ready"];

/// States of partitions under their names in etcd.
const STATES: [(PartitionState, &str); 5] = [
    (PartitionState::Pending, "pending"),
    (PartitionState::Joining, "joining"),
    (PartitionState::Active, "active"),
    (PartitionState::ReadOnly, "readonly"),
    (PartitionState::Removed, "removed"),
];

#[derive(Debug)]
struct Gauges(Cluster);

/// Registers in `registry`; give one with the prefix `skald_cluster`.
pub(crate) fn register(cluster: &Cluster, registry: &mut Registry) {
    registry.register_collector(Box::new(Gauges(cluster.clone())));
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let cluster = &self.0;
        let picture = cluster.picture();
        let n_in =
            |state| picture.partitions.values().filter(|at| at.record.state == state).count();
        let partitions = STATES.map(|(state, name)| (name, n_in(state)));
        by_state(&mut encoder, "partitions", "Partitions by state", &partitions)?;
        let replicas = standings(&picture);
        let n_standing = |name| (name, replicas.iter().filter(|r| **r == name).count());
        let help = "Replicas of partitions that are read, by what they are";
        by_state(&mut encoder, "replicas", help, &STANDINGS.map(n_standing))?;
        let own = page::standing(&picture, cluster.id());
        let is_own = STANDINGS.map(|name| (name, usize::from(name == own)));
        by_state(&mut encoder, "member_state", "1 for what this process is as a member", &is_own)?;
        let version = cluster.view().version;
        plain(&mut encoder, "view_version", "Version of the view in force", version)?;
        let is_away = u64::from(cluster.trouble().is_some());
        plain(&mut encoder, "coordinator_away", "1 while etcd does not answer", is_away)
    }
}

/// What the replicas of partitions that are read are.
fn standings(picture: &Picture) -> Vec<&'static str> {
    let read = picture.partitions.values().filter(|at| at.record.state.is_read());
    let seats = read.flat_map(|at| &at.record.replicas);
    seats.map(|seat| page::standing(picture, &seat.id)).collect()
}

fn by_state(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counts: &[(&str, usize)],
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (state, n) in counts {
        let n = i64::try_from(*n).unwrap_or(i64::MAX);
        family.encode_family(&[("state", *state)])?.encode_gauge(&n)?;
    }
    Ok(())
}

fn plain(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), Error> {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skald_coord::record::Member;
    use skald_coord::{KeyStore, MemoryStore, Process, Timing};

    use super::*;

    #[tokio::test]
    async fn partitions_and_replicas_are_counted_by_state() {
        let store = MemoryStore::default();
        let seat = |id: &str| format!(r#"{{"id":"{id}","zone":"{id}","addr":"{id}:1"}}"#);
        let seats = ["a", "b", "c"].map(seat).join(",");
        let partition =
            |state| format!(r#"{{"state":"{state}","since_ms":0,"replicas":[{seats}]}}"#);
        let member =
            |ready| format!(r#"{{"addr":"x","roles":["ingester"],"version":"1","ready":{ready}}}"#);
        let records = [
            ("partitions/0", partition("active")),
            ("partitions/1", partition("removed")),
            ("members/a", member(true)),
            ("members/b", member(false)),
            ("members/self", member(true)),
            ("epochs/a", r#"{"epoch":1,"disk":"x","rebuilding":true}"#.to_owned()),
        ];
        for (key, value) in records {
            store.put(&format!("/s/{key}"), 0, value.into(), None).await.unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let process = Process {
            id: "self".to_owned(),
            member: Member {
                addr: "x".to_owned(),
                http: String::new(),
                zone: String::new(),
                roles: vec!["querier".to_owned()],
                version: "1".to_owned(),
                epoch: 0,
                ready: true,
            },
            replication_factor: 3,
            data_dir: dir.path().to_owned(),
        };
        let clock = Arc::new(skald_runtime::SystemClock);
        let prefix = "/s/".to_owned();
        let cluster = Cluster::open(Arc::new(store), prefix, Timing::default(), process, clock)
            .await
            .unwrap();
        let mut registry = Registry::with_prefix("skald_cluster");
        register(&cluster, &mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "# TYPE skald_cluster_partitions gauge",
            r#"skald_cluster_partitions{state="active"} 1"#,
            r#"skald_cluster_partitions{state="removed"} 1"#,
            r#"skald_cluster_partitions{state="readonly"} 0"#,
            r#"skald_cluster_replicas{state="rebuilding"} 1"#,
            r#"skald_cluster_replicas{state="starting"} 1"#,
            r#"skald_cluster_replicas{state="away"} 1"#,
            r#"skald_cluster_replicas{state="ready"} 0"#,
            r#"skald_cluster_member_state{state="ready"} 1"#,
            r#"skald_cluster_member_state{state="away"} 0"#,
            "skald_cluster_view_version 6",
            "skald_cluster_coordinator_away 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
