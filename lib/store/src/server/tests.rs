//! The protocol on the wire: broken streams, checksums, bounds, tokens, reasons, health.

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::{Error, MultipartUpload, PutMode};
use skald_proto::storage::object_storage_client::ObjectStorageClient;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::client::GrpcStore;
use crate::error::{REASON_KEY, from_status};
use crate::faulty::{Fault, FaultyStore, Op};
use crate::options::GrpcOptions;

type Client = ObjectStorageClient<Channel>;

struct Served {
    authority: String,
    shutdown: Shutdown,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

impl Served {
    async fn new(store: Arc<dyn ObjectStore>, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let shutdown = Shutdown::new();
        let service = StorageService::new(store, config);
        skald_runtime::spawn("serve", serve(service, listener, shutdown.clone()));
        Self { authority, shutdown }
    }

    async fn raw(&self) -> Client {
        let channel = Channel::from_shared(format!("http://{}", self.authority)).unwrap();
        ObjectStorageClient::new(channel.connect().await.unwrap())
    }

    fn store(&self, options: &GrpcOptions) -> GrpcStore {
        GrpcStore::connect_lazy(&self.authority, options).unwrap()
    }
}

fn memory() -> Arc<InMemory> {
    Arc::new(InMemory::new())
}

async fn keys(store: &dyn ObjectStore) -> Vec<String> {
    store.list(None).map_ok(|m| m.location.to_string()).try_collect().await.unwrap()
}

fn header(key: &str) -> pb::put_request::Part {
    pb::put_request::Part::Header(pb::PutHeader { key: key.into(), ..Default::default() })
}

fn data(bytes: impl Into<Bytes>) -> pb::put_request::Part {
    pb::put_request::Part::Data(bytes.into())
}

fn trailer(size: u64, crc32c: u32) -> pb::put_request::Part {
    pb::put_request::Part::Trailer(pb::Trailer { size, crc32c })
}

async fn put(client: &mut Client, parts: Vec<pb::put_request::Part>) -> Result<(), Status> {
    let messages = parts.into_iter().map(|part| pb::PutRequest { part: Some(part) });
    client.put(stream::iter(messages.collect::<Vec<_>>())).await.map(|_| ())
}

fn reason(status: &Status) -> Option<&str> {
    status.metadata().get(REASON_KEY).and_then(|v| v.to_str().ok())
}

#[tokio::test]
async fn a_put_that_breaks_off_or_is_wrong_leaves_nothing() {
    let store = memory();
    let served = Served::new(Arc::clone(&store) as _, Config::default()).await;
    let mut client = served.raw().await;
    let crc = crc32c::crc32c(b"hello");
    let big = vec![7u8; wire::FRAME_BYTES];
    // Enough frames that the server has started a multipart upload when the stream ends.
    let torn: Vec<_> =
        std::iter::once(header("k")).chain((0..20).map(|_| data(big.clone()))).collect();
    let cases = [
        (vec![header("k"), data("hello")], Code::Cancelled, None),
        (torn, Code::Cancelled, None),
        (vec![header("k"), data("hellO"), trailer(5, crc)], Code::DataLoss, Some("CORRUPT")),
        (vec![header("k"), data("hello"), trailer(6, crc)], Code::DataLoss, Some("CORRUPT")),
        (vec![data("hello"), trailer(5, crc)], Code::InvalidArgument, None),
        (vec![header("k"), header("k")], Code::InvalidArgument, None),
        (
            vec![header("../k"), data("hello"), trailer(5, crc)],
            Code::InvalidArgument,
            Some("INVALID_KEY"),
        ),
        (vec![header("k"), data(vec![0; wire::FRAME_BYTES + 1])], Code::InvalidArgument, None),
    ];
    for (n, (parts, code, word)) in cases.into_iter().enumerate() {
        let status = put(&mut client, parts).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (code, word), "case {n}: {status:?}");
        assert!(keys(&*store).await.is_empty(), "case {n}");
    }
    put(&mut client, vec![header("k"), data("hel"), data("lo"), trailer(5, crc)]).await.unwrap();
    assert_eq!(keys(&*store).await, ["k"]);
}

#[tokio::test]
async fn large_unconditional_puts_go_in_parts_and_keep_their_bytes() {
    let store = memory();
    // The budget is smaller than the object: it cannot have been buffered whole.
    let config = Config { buffer_bytes: ByteSize(10 << 20), ..Config::default() };
    let served = Served::new(Arc::clone(&store) as _, config).await;
    let client = served.store(&GrpcOptions { max_retries: 0, ..GrpcOptions::default() });
    let body: Bytes = (0..20u32 << 20).map(|i| u8::try_from(i % 251).unwrap()).collect();
    client.put(&Path::from("big"), body.clone().into()).await.unwrap();
    assert_eq!(store.get(&Path::from("big")).await.unwrap().bytes().await.unwrap(), body);
    // A conditional put has to be buffered, and is refused for now instead of growing.
    let opts = PutMode::Create.into();
    let err = client.put_opts(&Path::from("c"), body.into(), opts).await.unwrap_err();
    assert_eq!(Reason::of(&err), Some(Reason::Throttled));
    assert_eq!(keys(&*store).await, ["big"]);
}

#[tokio::test]
async fn an_object_over_the_limit_is_a_matter_of_quota() {
    let config = Config { max_object_bytes: ByteSize(10), ..Config::default() };
    let served = Served::new(memory(), config).await;
    let client = served.store(&GrpcOptions::default());
    let err = client.put(&Path::from("k"), "elevenbytes".into()).await.unwrap_err();
    assert_eq!(Reason::of(&err), Some(Reason::Quota));
    let mut upload = client.put_multipart(&Path::from("m")).await.unwrap();
    upload.put_part("1234567".into()).await.unwrap();
    let err = upload.put_part("1234567".into()).await.unwrap_err();
    assert_eq!(Reason::of(&err), Some(Reason::Quota));
    // A size hint alone is believed.
    let hint = pb::PutHeader { key: "k".into(), size_hint: 11, ..Default::default() };
    let mut raw = served.raw().await;
    let status = put(&mut raw, vec![pb::put_request::Part::Header(hint)]).await.unwrap_err();
    assert_eq!(reason(&status), Some("QUOTA"));
}

#[tokio::test]
async fn without_the_token_nothing_but_health_answers() {
    let config = Config { token: Secret::new("s3cret"), ..Config::default() };
    let served = Served::new(memory(), config).await;
    for token in ["", "wrong", "s3cre", "s3crets3cret"] {
        let options = GrpcOptions { token: Secret::new(token), ..GrpcOptions::default() };
        let err = served.store(&options).put(&Path::from("k"), "x".into()).await.unwrap_err();
        assert!(matches!(err, Error::Unauthenticated { .. }), "{token:?}: {err:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token").display().to_string();
    std::fs::write(&token_file, "s3cret\n").unwrap();
    let options = GrpcOptions { token_file, ..GrpcOptions::default() };
    served.store(&options).put(&Path::from("k"), "x".into()).await.unwrap();

    let channel = Channel::from_shared(format!("http://{}", served.authority)).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    let service = "skald.storage.v1.ObjectStorage".to_owned();
    let status = health.check(HealthCheckRequest { service }).await.unwrap().into_inner().status;
    assert_eq!(status, i32::from(ServingStatus::Serving));
}

#[tokio::test]
async fn a_throttled_call_is_repeated_only_when_idempotent() {
    let faulty = FaultyStore::new(memory(), 1);
    let served = Served::new(Arc::clone(&faulty) as _, Config::default()).await;
    let client = served.store(&GrpcOptions::default());
    let key = Path::from("k");
    faulty.on_nth(Op::Put, 1, Fault::ErrorBefore);
    client.put(&key, "x".into()).await.unwrap();
    assert_eq!(faulty.calls(Op::Put), 2);

    faulty.on_nth(Op::Put, 1, Fault::ErrorBefore);
    let other = Path::from("other");
    let err = client.put_opts(&other, "x".into(), PutMode::Create.into()).await.unwrap_err();
    assert_eq!(Reason::of(&err), Some(Reason::Throttled));
    assert_eq!(faulty.calls(Op::Put), 3);

    faulty.on_nth(Op::Get, 1, Fault::ErrorBefore);
    assert_eq!(client.get(&key).await.unwrap().bytes().await.unwrap(), "x");
    faulty.always(Op::Head, Fault::ErrorBefore);
    assert_eq!(Reason::of(&client.head(&key).await.unwrap_err()), Some(Reason::Throttled));
    assert_eq!(faulty.calls(Op::Head), 5);
}

#[tokio::test]
async fn a_get_that_comes_short_from_the_backend_is_an_error() {
    let faulty = FaultyStore::new(memory(), 1);
    let served = Served::new(Arc::clone(&faulty) as _, Config::default()).await;
    let client = served.store(&GrpcOptions::default());
    let key = Path::from("k");
    client.put(&key, "0123456789".into()).await.unwrap();
    faulty.on_nth(Op::Get, 1, Fault::TornGet);
    let err = client.get(&key).await.unwrap().bytes().await.unwrap_err();
    assert_eq!(Reason::of(&err), Some(Reason::Corrupt));
    faulty.on_nth(Op::Get, 1, Fault::BrokenGet);
    let err = client.get(&key).await.unwrap().bytes().await.unwrap_err();
    assert_eq!(Reason::of(&err), Some(Reason::Throttled));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_plugin_is_a_timeout_and_an_absent_one_is_unavailable() {
    let faulty = FaultyStore::new(memory(), 1);
    faulty.always(Op::Put, Fault::Latency(std::time::Duration::from_secs(3600)));
    let served = Served::new(faulty, Config::default()).await;
    let short = HumanDuration(std::time::Duration::from_millis(50));
    let options = GrpcOptions { transfer_timeout: short, ..GrpcOptions::default() };
    let err = served.store(&options).put(&Path::from("k"), "x".into()).await.unwrap_err();
    assert_eq!(crate::error::kind(&err), skald_model::ErrorKind::Timeout, "{err:?}");

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let options = GrpcOptions { max_retries: 1, ..GrpcOptions::default() };
    let absent = GrpcStore::connect_lazy(&free.to_string(), &options).unwrap();
    let err = absent.head(&Path::from("k")).await.unwrap_err();
    assert_eq!(crate::error::kind(&err), skald_model::ErrorKind::Unavailable, "{err:?}");
}

#[tokio::test]
async fn wire_prefixes_may_end_within_a_segment_and_lists_start_after_anything() {
    let store = memory();
    let served = Served::new(Arc::clone(&store) as _, Config::default()).await;
    for key in ["a/bc", "a/bd/x", "a/c", "b"] {
        store.put(&Path::from(key), "x".into()).await.unwrap();
    }
    let mut client = served.raw().await;
    let mut list = async |prefix: &str, start_after: &str, delimiter: &str| {
        let (prefix, start_after, delimiter) =
            (prefix.into(), start_after.into(), delimiter.into());
        let request = pb::ListRequest { prefix, start_after, delimiter };
        let batches: Vec<pb::ListResponse> =
            client.list(request).await?.into_inner().try_collect().await?;
        let dirs = batches.iter().flat_map(|b| b.common_prefixes.iter().cloned());
        let objects = batches.iter().flat_map(|b| b.objects.iter().map(|o| o.key.clone()));
        Ok::<_, Status>(dirs.chain(objects).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(list("a/b", "", "").await.unwrap(), "a/bc a/bd/x");
    assert_eq!(list("a/b", "", "/").await.unwrap(), "a/bd/ a/bc");
    assert_eq!(list("", "a/bc", "").await.unwrap(), "a/bd/x a/c b");
    assert_eq!(list("", "a/", "").await.unwrap(), "a/bc a/bd/x a/c b");
    assert_eq!(list("zz", "", "").await.unwrap(), "");
    assert_eq!(reason(&list("", "", ",").await.unwrap_err()), Some("UNSUPPORTED"));
}

#[tokio::test]
async fn deletes_answer_for_each_key() {
    let store = memory();
    let served = Served::new(Arc::clone(&store) as _, Config::default()).await;
    store.put(&Path::from("a"), "x".into()).await.unwrap();
    let mut client = served.raw().await;
    let keys = vec!["a".to_owned(), "missing".to_owned(), "bad//key".to_owned()];
    let answer = client.delete(pb::DeleteRequest { keys }).await.unwrap().into_inner();
    let reasons: Vec<_> = answer.results.iter().map(|r| r.reason.as_str()).collect();
    assert_eq!(reasons, ["", "", "INVALID_KEY"]);
    let many = vec!["k".to_owned(); wire::BATCH + 1];
    let status = client.delete(pb::DeleteRequest { keys: many }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

fn part(upload_id: &str, number: u32, text: &'static str) -> Vec<pb::PutPartRequest> {
    use pb::put_part_request::Part;
    let header = pb::PartHeader { key: "k".into(), upload_id: upload_id.into(), number };
    let trailer = wire::trailer(&text.into());
    [Part::Header(header), Part::Data(text.into()), Part::Trailer(trailer)]
        .map(|part| pb::PutPartRequest { part: Some(part) })
        .to_vec()
}

#[tokio::test]
async fn parts_may_come_in_any_order_and_twice_but_without_gaps() {
    let store = memory();
    let served = Served::new(Arc::clone(&store) as _, Config::default()).await;
    let mut client = served.raw().await;
    let start = pb::StartUploadRequest { key: "k".into() };
    let id = client.start_upload(start).await.unwrap().into_inner().upload_id;
    let mut ids = vec![String::new(); 3];
    for (number, text) in [(2, "!"), (0, "hel"), (0, "hel")] {
        let sent = client.put_part(stream::iter(part(&id, number, text))).await.unwrap();
        ids[number as usize] = sent.into_inner().part_id;
    }
    let changed = client.put_part(stream::iter(part(&id, 0, "HEL"))).await.unwrap_err();
    assert_eq!(reason(&changed), Some("PRECONDITION_FAILED"));
    let complete = |part_ids: Vec<String>| pb::CompleteUploadRequest {
        key: "k".into(),
        upload_id: id.clone(),
        part_ids,
    };
    let gap = vec![ids[0].clone(), ids[2].clone()];
    let early = client.complete_upload(complete(gap)).await.unwrap_err();
    assert_eq!(reason(&early), Some("PRECONDITION_FAILED"));
    let sent = client.put_part(stream::iter(part(&id, 1, "lo"))).await.unwrap();
    ids[1] = sent.into_inner().part_id;
    client.complete_upload(complete(ids.clone())).await.unwrap();
    assert_eq!(store.get(&Path::from("k")).await.unwrap().bytes().await.unwrap(), "hello!");
    let again = client.complete_upload(complete(ids)).await.unwrap_err();
    assert!(matches!(from_status(&again, "k"), Error::NotFound { .. }));
}

#[tokio::test]
async fn idle_uploads_make_room_and_too_many_are_refused() {
    let config = Config { max_uploads: 1, ..Config::default() };
    let served = Served::new(memory(), config).await;
    let mut client = served.raw().await;
    let start = || pb::StartUploadRequest { key: "k".into() };
    client.start_upload(start()).await.unwrap();
    let status = client.start_upload(start()).await.unwrap_err();
    assert_eq!(reason(&status), Some("THROTTLED"));

    let config =
        Config { max_uploads: 1, upload_idle: HumanDuration::default(), ..Config::default() };
    let served = Served::new(memory(), config).await;
    let mut client = served.raw().await;
    let first = client.start_upload(start()).await.unwrap().into_inner().upload_id;
    client.start_upload(start()).await.unwrap();
    let status = client.put_part(stream::iter(part(&first, 0, "x"))).await.unwrap_err();
    assert_eq!(reason(&status), Some("NOT_FOUND"));
}

#[tokio::test]
async fn capabilities_are_told_and_a_plugin_over_a_plugin_keeps_reasons() {
    let inner = Served::new(memory(), Config::default()).await;
    let options = GrpcOptions::default();
    let outer = Served::new(Arc::new(inner.store(&options)), Config::default()).await;
    let client = outer.store(&options);
    let caps = client.capabilities().await.unwrap();
    assert!(caps.conditional_create && caps.ranged_get && caps.strong_list);
    let key = Path::from("k");
    client.put_opts(&key, "x".into(), PutMode::Create.into()).await.unwrap();
    let err = client.put_opts(&key, "x".into(), PutMode::Create.into()).await.unwrap_err();
    assert!(matches!(err, Error::AlreadyExists { .. }));
    client.copy(&key, &Path::from("copy")).await.unwrap();
    let err = client.copy_if_not_exists(&key, &Path::from("copy")).await.unwrap_err();
    assert!(matches!(err, Error::AlreadyExists { .. }));
}
