//! Against a real etcd; each test says so and returns where there is none.

use skald_coord::{EtcdConfig, EtcdStore, conformance};
use skald_testkit::Etcd;

fn store_of(etcd: &Etcd) -> EtcdStore {
    let config = EtcdConfig { endpoints: vec![etcd.endpoint()], ..EtcdConfig::default() };
    EtcdStore::connect(&config).unwrap()
}

#[tokio::test]
async fn conforms() {
    let Some(etcd) = Etcd::start().await else { return };
    conformance::check(&store_of(&etcd), "/test/").await.unwrap();
}

#[tokio::test]
async fn a_lease_that_is_not_kept_ends() {
    let Some(etcd) = Etcd::start().await else { return };
    conformance::check_expiry(&store_of(&etcd), "/test/").await.unwrap();
}
