//! What the store does when etcd does not do as it should.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use skald_coord::{EtcdConfig, EtcdStore, KeyStore, LeaseId, StoreError};
use skald_proto::public::etcd::RangeResponse;
use skald_runtime::{HumanDuration, Secret};
use tonic::Status;

use crate::fake::{Fake, Say, Watched, dead, silent};

fn config(endpoints: &[&str]) -> EtcdConfig {
    EtcdConfig {
        endpoints: endpoints.iter().map(|e| (*e).to_owned()).collect(),
        request_timeout: HumanDuration(Duration::from_secs(1)),
        ..EtcdConfig::default()
    }
}

fn store(endpoints: &[&str]) -> EtcdStore {
    EtcdStore::connect(&config(endpoints)).unwrap()
}

fn count(n: &AtomicUsize) -> usize {
    n.load(Ordering::SeqCst)
}

async fn put(store: &EtcdStore) -> Result<Option<u64>, StoreError> {
    store.put("/k", 0, Bytes::from_static(b"v"), None).await
}

#[tokio::test]
async fn a_dead_endpoint_is_left_for_the_next() {
    let fake = Fake::start().await;
    let two = [&*dead().await, &*fake.endpoint()];
    assert_eq!(store(&two).list("/").await.unwrap().revision, 5);
    // Nothing was sent to the first, so that a write may go on too.
    assert_eq!(put(&store(&two)).await, Ok(Some(5)));
    let none = store(&[&*dead().await]).list("/").await.unwrap_err();
    assert!(matches!(&none, StoreError::Unavailable(t) if t.contains("refused")), "{none}");
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_left_for_good() {
    let fake = Fake::start().await;
    let (silent, n_made) = silent().await;
    let store = store(&[&silent, &fake.endpoint()]);
    for _ in 0..3 {
        store.list("/").await.unwrap();
    }
    assert_eq!(count(&n_made), 1);
    let only = EtcdStore::connect(&config(&[&silent])).unwrap().list("/").await.unwrap_err();
    assert!(only.to_string().contains("does not answer"), "{only}");
}

#[tokio::test]
async fn a_write_that_may_have_happened_is_not_repeated() {
    let (slow, other) = (Fake::start().await, Fake::start().await);
    *slow.script.say.lock() = Say::Nothing;
    let store = store(&[&slow.endpoint(), &other.endpoint()]);
    assert!(matches!(put(&store).await, Err(StoreError::Unavailable(_))));
    assert_eq!((count(&slow.script.n_writes), count(&other.script.n_writes)), (1, 0));
    // The next one is asked elsewhere.
    assert_eq!(put(&store).await, Ok(Some(5)));
    assert_eq!((count(&slow.script.n_writes), count(&other.script.n_writes)), (1, 1));
}

#[tokio::test]
async fn a_member_without_a_leader_is_left() {
    let (lonely, other) = (Fake::start().await, Fake::start().await);
    *lonely.script.say.lock() = Say::Error(Status::unavailable("etcdserver: no leader"));
    let store = store(&[&lonely.endpoint(), &other.endpoint()]);
    assert_eq!(store.list("/").await.unwrap().revision, 5);
    assert_eq!(store.grant(Duration::from_secs(9)).await.unwrap(), LeaseId(7));
}

#[tokio::test]
async fn what_etcd_refuses_is_not_asked_elsewhere() {
    let (strict, other) = (Fake::start().await, Fake::start().await);
    let denied = Status::permission_denied("etcdserver: permission denied");
    *strict.script.say.lock() = Say::Error(denied);
    let store = store(&[&strict.endpoint(), &other.endpoint()]);
    let refused = store.list("/").await.unwrap_err();
    assert!(matches!(&refused, StoreError::Refused(t) if t.contains("permission denied")));
    assert_eq!(count(&other.script.n_reads), 0);
    let large = Bytes::from(vec![0; skald_coord::MAX_VALUE + 1]);
    let refused = store.put("/k", 0, large, None).await.unwrap_err();
    assert!(refused.to_string().contains("65537 bytes are more than 65536"), "{refused}");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error() {
    let fake = Fake::start().await;
    *fake.script.say.lock() = Say::Read(RangeResponse::default());
    let nonsense = store(&[&fake.endpoint()]).list("/").await.unwrap_err();
    assert!(matches!(&nonsense, StoreError::Corrupt(_)), "{nonsense}");
    *fake.script.say.lock() = Say::Error(Status::unimplemented("no such thing"));
    let nonsense = store(&[&fake.endpoint()]).list("/").await.unwrap_err();
    assert!(matches!(&nonsense, StoreError::Corrupt(_)), "{nonsense}");
}

#[tokio::test]
async fn a_watch_ends_whatever_happens_to_it() {
    let (one, two) = (Fake::start().await, Fake::start().await);
    let store = store(&[&one.endpoint(), &two.endpoint()]);
    store.changed("/", 5).await;
    *one.script.watched.lock() = Watched::Compacted;
    store.changed("/", 5).await;
    *one.script.watched.lock() = Watched::Cut;
    store.changed("/", 5).await;
    assert_eq!((count(&one.script.n_watches), count(&two.script.n_watches)), (3, 0));
    // After the cut, the other one is asked.
    store.changed("/", 5).await;
    assert_eq!((count(&one.script.n_watches), count(&two.script.n_watches)), (3, 1));
}

#[tokio::test]
async fn a_watch_that_finds_nobody_ends_after_a_pause() {
    let store = store(&[&*dead().await]);
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    store.changed("/", 5).await;
    assert!(start.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn a_lease_without_time_has_ended() {
    let fake = Fake::start().await;
    let store = store(&[&fake.endpoint()]);
    *fake.script.ttl.lock() = 9;
    assert_eq!(store.keep_alive(LeaseId(7)).await, Ok(true));
    *fake.script.ttl.lock() = 0;
    assert_eq!(store.keep_alive(LeaseId(7)).await, Ok(false));
    let gone = Status::not_found("etcdserver: requested lease not found");
    *fake.script.say.lock() = Say::Error(gone);
    assert_eq!(store.revoke(LeaseId(7)).await, Ok(()));
    let refused = store.put("/k", 0, Bytes::new(), Some(LeaseId(7))).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
}

fn with_user(fake: &Fake, password: &str) -> EtcdStore {
    let config = EtcdConfig {
        username: "skald".to_owned(),
        password: Secret::new(password),
        ..config(&[&fake.endpoint()])
    };
    EtcdStore::connect(&config).unwrap()
}

#[tokio::test]
async fn a_token_that_expired_is_asked_for_anew() {
    let fake = Fake::start().await;
    *fake.script.refused_tokens.lock() = Some(0);
    let store = with_user(&fake, "hunter2");
    store.list("/").await.unwrap();
    assert_eq!(put(&store).await, Ok(Some(5)));
    assert_eq!(count(&fake.script.n_tokens), 1);
    *fake.script.refused_tokens.lock() = Some(1);
    assert_eq!(put(&store).await, Ok(Some(5)));
    assert_eq!(count(&fake.script.n_tokens), 2);
    // One that is refused at once is not asked for again and again.
    *fake.script.refused_tokens.lock() = Some(9);
    let refused = put(&store).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
    assert_eq!(count(&fake.script.n_tokens), 3);
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_told() {
    let fake = Fake::start().await;
    *fake.script.refused_tokens.lock() = Some(0);
    let store = with_user(&fake, "hunter3");
    let refused = store.list("/").await.unwrap_err();
    assert!(matches!(&refused, StoreError::Refused(t) if t.contains("authentication failed")));
    assert!(!format!("{refused:?}{store:?}").contains("hunter3"));
}

#[tokio::test]
async fn users_may_be_checked_later_than_configured() {
    let fake = Fake::start().await;
    let store = with_user(&fake, "hunter2");
    store.list("/").await.unwrap();
    *fake.script.refused_tokens.lock() = Some(0);
    store.list("/").await.unwrap();
    assert_eq!(count(&fake.script.n_tokens), 1);
}
