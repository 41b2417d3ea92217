//! What settings of a cluster make sense together.

use std::net::SocketAddr;

use crate::config::{ClusterConfig, ConfigError, Roles};

impl ClusterConfig {
    /// Whether members find each other through etcd.
    pub(crate) fn uses_etcd(&self) -> bool {
        !self.etcd.endpoints.is_empty()
    }

    /// The partition of this ingester: as set, or the number its name ends with.
    pub(crate) fn partition(&self) -> Option<u32> {
        let digits = self.replica_id.bytes().rev().take_while(u8::is_ascii_digit).count();
        let number = &self.replica_id[self.replica_id.len() - digits..];
        self.partition.or_else(|| number.parse().ok())
    }

    /// What can be said without asking anybody.
    pub(super) fn validate(&self, roles: Roles, grpc_listen: &str) -> Result<(), ConfigError> {
        let invalid =
            |key, message: &str| Err(ConfigError::Invalid { key, message: message.to_owned() });
        if !self.uses_etcd() {
            if !self.partitions.is_empty() {
                let checked = skald_ring::StaticCoordinator::new(self.partitions.clone());
                let key = "cluster.partitions";
                return checked
                    .map(drop)
                    .map_err(|e| ConfigError::Invalid { key, message: e.to_string() });
            }
            if roles.needs_cluster() {
                let message = "must list the ingesters when they run in other processes; or set \
                               cluster.etcd.endpoints";
                return invalid("cluster.partitions", message);
            }
            return Ok(());
        }
        self.etcd
            .validate()
            .map_err(|e| ConfigError::Invalid { key: "cluster.etcd", message: e.to_string() })?;
        if !self.partitions.is_empty() {
            return invalid("cluster.partitions", "must be empty with cluster.etcd.endpoints");
        }
        let is_name = |s: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            !s.is_empty() && s.len() <= 100 && s.bytes().all(plain)
        };
        if !is_name(&self.name) {
            return invalid("cluster.name", "must be 1 to 100 letters, digits, '-', '_' or '.'");
        }
        match self.replication_factor {
            1 | 3 => {}
            2 => {
                let message = "must be 1 or 3: with 2, losing one replica stops writes, and nothing is won over 1";
                return invalid("cluster.replication_factor", message);
            }
            _ => return invalid("cluster.replication_factor", "must be 1 or 3"),
        }
        if self.timing.lease.is_zero() || self.timing.list_interval.is_zero() {
            return invalid("cluster.timing", "must not be 0");
        }
        if roles.ingester {
            self.validate_ingester(&is_name)?;
        }
        let wildcard = grpc_listen.parse().is_ok_and(|a: SocketAddr| a.ip().is_unspecified());
        if wildcard && self.advertise.is_empty() {
            let message = "must be given when grpc_listen has no address that others can use";
            return invalid("cluster.advertise", message);
        }
        Ok(())
    }

    fn validate_ingester(&self, is_name: &impl Fn(&str) -> bool) -> Result<(), ConfigError> {
        let invalid =
            |key, message: &str| Err(ConfigError::Invalid { key, message: message.to_owned() });
        if !is_name(&self.replica_id) {
            let message = "must be 1 to 100 letters, digits, '-', '_' or '.'";
            return invalid("cluster.replica_id", message);
        }
        if self.partition().is_none() {
            let message = "must be given, since cluster.replica_id does not end with a number";
            return invalid("cluster.partition", message);
        }
        if self.replication_factor > 1 && self.zone.is_empty() {
            return invalid(
                "cluster.zone",
                "must be given with three replicas: each is in another zone",
            );
        }
        Ok(())
    }
}
