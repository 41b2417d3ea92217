//! What stands under the keys, as JSON: readable with any etcd client, and small.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skald_ring::PartitionState;

use crate::store::{MAX_VALUE, StoreError};

/// `settings`: what all processes of a cluster must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Replicas of each partition: 1 or 3.
    pub replication_factor: usize,
    /// Added to revisions to give versions, so that they grow also over a loss of the store.
    #[serde(default)]
    pub version_base: u64,
}

/// `members/<id>`: a process that lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `host:port` of its gRPC listener.
    pub addr: String,
    /// `host:port` of its HTTP listener.
    #[serde(default)]
    pub http: String,
    #[serde(default)]
    pub zone: String,
    pub roles: Vec<String>,
    /// Of the program.
    pub version: String,
    /// Of an ingester; 0 for others.
    #[serde(default)]
    pub epoch: u64,
    /// Whether it serves; an ingester replays its log before it does.
    pub ready: bool,
}

/// `partitions/<n>`: a replica group. Never deleted; one that is gone stays as `removed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    pub state: PartitionState,
    /// When it came into that state, by the clock of who changed it; for people.
    pub since_ms: i64,
    pub replicas: Vec<Seat>,
}

/// A replica's place in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    pub id: String,
    pub zone: String,
    /// Where it was last; kept when its lease has ended.
    pub addr: String,
}

/// `epochs/<replica>`: which incarnation of a replica is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    pub epoch: u64,
    /// Identity of its data directory. Another one means that the disk was lost.
    pub disk: String,
    /// What it acknowledged before may be missing: not asked until its neighbours have flushed.
    #[serde(default)]
    pub rebuilding: bool,
}

/// `<tenant>/<cluster>` below `/<cluster.name>.ha/`: from which server of a high-availability group samples are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaRecord {
    /// Value of the tenant's cluster label.
    pub cluster: String,
    /// Value of its replica label: who is elected.
    pub replica: String,
    /// When it was elected, by the clock of who elected it.
    pub elected_ms: i64,
    /// When samples of it were last taken, late by up to the update timeout.
    pub seen_ms: i64,
}

/// The bytes of a record.
pub fn encode<T: Serialize>(record: &T) -> Bytes {
    // Structs of strings and numbers always have a JSON form.
    serde_json::to_vec(record).unwrap_or_default().into()
}

/// The record in `value`; fields that are not known are left out of account, for newer writers.
pub fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    if value.len() > MAX_VALUE {
        return Err(StoreError::Corrupt(format!("{key} has {} bytes", value.len())));
    }
    serde_json::from_slice(value).map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values in docs/formats/cluster.md, which older and newer processes read.
    #[test]
    fn records_look_as_they_always_did() {
        fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
            record: &T,
            text: &str,
        ) {
            assert_eq!(std::str::from_utf8(&encode(record)).unwrap(), text);
            assert_eq!(decode::<T>("k", text.as_bytes()).as_ref(), Ok(record));
            let newer = text.replacen('{', "{\"of_the_future\":[1],", 1);
            assert_eq!(decode::<T>("k", newer.as_bytes()).as_ref(), Ok(record));
        }
        let settings = Settings { replication_factor: 3, version_base: 0 };
        same(&settings, r#"{"replication_factor":3,"version_base":0}"#);
        let member = Member {
            addr: "10.0.0.3:9095".to_owned(),
            http: "10.0.0.3:3100".to_owned(),
            zone: "a".to_owned(),
            roles: vec!["ingester".to_owned()],
            version: "0.1.0".to_owned(),
            epoch: 7,
            ready: true,
        };
        same(
            &member,
            r#"{"addr":"10.0.0.3:9095","http":"10.0.0.3:3100","zone":"a","roles":["ingester"],"version":"0.1.0","epoch":7,"ready":true}"#,
        );
        let id = "ingester-zone-a-3".to_owned();
        let seat = Seat { id, zone: "a".to_owned(), addr: "10.0.0.3:9095".to_owned() };
        let (state, since_ms) = (PartitionState::Active, 1_767_225_600_000);
        let partition = PartitionRecord { state, since_ms, replicas: vec![seat] };
        same(
            &partition,
            r#"{"state":"active","since_ms":1767225600000,"replicas":[{"id":"ingester-zone-a-3","zone":"a","addr":"10.0.0.3:9095"}]}"#,
        );
        let disk = "000102030405060708090a0b0c0d0e0f".to_owned();
        let epoch = EpochRecord { epoch: 7, disk, rebuilding: false };
        let ha = HaRecord {
            cluster: "eu/1".to_owned(),
            replica: "prometheus-0".to_owned(),
            elected_ms: 1_767_225_600_000,
            seen_ms: 1_767_225_615_000,
        };
        same(
            &ha,
            r#"{"cluster":"eu/1","replica":"prometheus-0","elected_ms":1767225600000,"seen_ms":1767225615000}"#,
        );
        same(&epoch, r#"{"epoch":7,"disk":"000102030405060708090a0b0c0d0e0f","rebuilding":false}"#);
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        for bad in [&b""[..], b"{}", b"[]", b"{\"epoch\":-1,\"disk\":\"\"}", &[0xff; 10]] {
            assert!(
                matches!(decode::<EpochRecord>("k", bad), Err(StoreError::Corrupt(_))),
                "{bad:?}"
            );
        }
        let long = vec![b' '; MAX_VALUE + 1];
        assert!(decode::<Settings>("k", &long).unwrap_err().to_string().contains("65537 bytes"));
    }
}
