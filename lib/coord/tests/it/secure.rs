//! TLS: who is trusted, who is shown, and what is said when that fails.

use std::path::Path;

use skald_coord::{EtcdConfig, EtcdStore, KeyStore, StoreError};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::fake::Fake;

const CA: &str = include_str!("tls/ca.pem");
const OTHER_CA: &str = include_str!("tls/other.pem");
const SERVER: (&str, &str) = (include_str!("tls/server.pem"), include_str!("tls/server.key"));

/// An etcd that wants to see a certificate.
async fn fake() -> Fake {
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(SERVER.0, SERVER.1))
        .client_ca_root(Certificate::from_pem(CA));
    Fake::start_tls(tls).await
}

fn path(name: &str) -> String {
    format!("{}/tests/it/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn config(fake: &Fake) -> EtcdConfig {
    let endpoints = vec![format!("https://{}", fake.address)];
    let mut config = EtcdConfig { endpoints, ..EtcdConfig::default() };
    config.tls.ca_file = path("ca.pem");
    config.tls.cert_file = path("client.pem");
    config.tls.key_file = path("client.key");
    config
}

async fn asked(config: &EtcdConfig) -> Result<u64, StoreError> {
    EtcdStore::connect(config).unwrap().list("/").await.map(|found| found.revision)
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let fake = fake().await;
    assert_eq!(asked(&config(&fake)).await, Ok(5));
    let mut named = config(&fake);
    named.tls.server_name = "etcd.test".to_owned();
    assert_eq!(asked(&named).await, Ok(5));
}

#[tokio::test]
async fn strangers_are_not_believed_and_the_reason_is_said() {
    let fake = fake().await;
    let why = async |change: fn(&mut EtcdConfig)| {
        let mut config = config(&fake);
        change(&mut config);
        asked(&config).await.unwrap_err().to_string()
    };
    let unknown = why(|c| c.tls.ca_file = path("other.pem")).await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let named = why(|c| c.tls.server_name = "elsewhere.test".to_owned()).await;
    assert!(named.contains("elsewhere.test"), "{named}");
    let absent = why(|c| c.tls.ca_file = "/absent.pem".to_owned()).await;
    assert!(absent.contains("file /absent.pem"), "{absent}");
    let empty = why(|c| c.tls.ca_file = path("client.key")).await;
    assert!(empty.contains("no CERTIFICATE in PEM"), "{empty}");
    why(|c| (c.tls.cert_file, c.tls.key_file) = Default::default()).await;
}

#[tokio::test]
async fn files_are_read_again_when_a_connection_is_made() {
    let (fake, dir) = (fake().await, tempfile::tempdir().unwrap());
    let mut config = config(&fake);
    let file: &Path = &dir.path().join("ca.pem");
    config.tls.ca_file = file.to_str().unwrap().to_owned();
    std::fs::write(file, OTHER_CA).unwrap();
    let store = EtcdStore::connect(&config).unwrap();
    store.list("/").await.unwrap_err();
    std::fs::write(file, CA).unwrap();
    store.list("/").await.unwrap();
}
