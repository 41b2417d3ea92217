//! The four modes with acknowledgements, and bytes that no client sends.

use std::io::Write as _;

use proptest::prelude::*;
use skald_limits::Limits;
use skald_model::ErrorKind;
use skald_runtime::{ByteSize, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::decode::{decode_entries, message};
use super::msgpack::{Malformed, Scanner, ack, read};
use crate::testing::{Cluster, Mode, NOW_NS, context};
use crate::{Config, ForwardConfig};

const STREAM: &str = r#"{app="x", service_name="x", tag="web"}"#;
const CHUNK: &str = "p8n9gmxTQVC8/nh2wlKKeQ==";

/// A string of fewer than 32 bytes.
fn text(s: &str) -> Vec<u8> {
    let mut out = vec![0xa0 | u8::try_from(s.len()).unwrap()];
    out.extend_from_slice(s.as_bytes());
    out
}

fn array(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0x90 | u8::try_from(parts.len()).unwrap()];
    out.extend(parts.concat());
    out
}

fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0x80 | u8::try_from(pairs.len()).unwrap()];
    for (name, value) in pairs {
        out.extend(text(name));
        out.extend(value);
    }
    out
}

fn bin(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc6];
    out.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
    out
}

/// An event time, `nanos` behind now.
fn time(nanos: u32) -> Vec<u8> {
    let mut out = vec![0xd7, 0];
    out.extend(u32::try_from(NOW_NS / 1_000_000_000).unwrap().to_be_bytes());
    out.extend(nanos.to_be_bytes());
    out
}

fn record(line: &str) -> Vec<u8> {
    let inner = map(&[("b", vec![0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0])]);
    map(&[("log", text(line)), ("app", text("x")), ("n", vec![0xff]), ("a", inner)])
}

fn options(more: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut all = vec![("chunk", text(CHUNK))];
    all.extend_from_slice(more);
    map(&all)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    e.write_all(bytes).unwrap();
    e.finish().unwrap()
}

fn cluster() -> Cluster {
    cluster_with(ForwardConfig::default())
}

fn cluster_with(more: ForwardConfig) -> Cluster {
    let forward =
        ForwardConfig { listen: "127.0.0.1:0".into(), max_message_size: ByteSize(1 << 20), ..more };
    Cluster::new(1, 1, Limits::default(), Config { forward, ..Config::default() })
}

async fn expect_ack(stream: &mut TcpStream) {
    let want = ack(CHUNK.as_bytes());
    let mut got = vec![0; want.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(got, want);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_is_stored_and_then_acknowledged() {
    let cluster = cluster();
    let stop = Shutdown::new();
    let open = cluster.distributor.listen(&stop).await.unwrap();
    let mut stream = TcpStream::connect(open.forward.unwrap()).await.unwrap();
    let entry = |n: u32, line: &str| array(&[time(n), record(line)]);
    let packed = [entry(3, "three"), entry(4, "four")].concat();
    let gz = [("compressed", text("gzip"))];
    let two_gzips = [gzip(&entry(5, "five")), gzip(&entry(6, "six"))].concat();
    let messages = [
        array(&[text("web"), time(1), record("one"), options(&[])]),
        array(&[text("web"), array(&[entry(2, "two")]), options(&[])]),
        array(&[text("web"), bin(&packed), options(&[])]),
        array(&[text("web"), bin(&two_gzips), options(&gz)]),
    ];
    for (i, message) in messages.iter().enumerate() {
        // Byte by byte the first time: a message is found wherever reads end.
        let step = if i == 0 { 1 } else { message.len() };
        for part in message.chunks(step) {
            stream.write_all(part).await.unwrap();
            stream.flush().await.unwrap();
        }
        expect_ack(&mut stream).await;
    }
    {
        let data = cluster.data();
        let lines: Vec<_> =
            data.lines[STREAM].iter().map(|l| (l.ts - NOW_NS, l.line.as_str())).collect();
        let want = [(1, "one"), (2, "two"), (3, "three"), (4, "four"), (5, "five"), (6, "six")];
        assert_eq!(lines, want);
        assert_eq!(
            data.lines[STREAM][0].metadata,
            r#"{a_b="1.5", detected_level="unknown", n="-1"}"#
        );
    }
    stop.trigger();
    open.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_before_it_is_stored() {
    let cluster = cluster();
    let stop = Shutdown::new();
    let open = cluster.distributor.listen(&stop).await.unwrap();
    *cluster.ingesters[0].mode.lock() = Mode::Fail(ErrorKind::Unavailable);
    let mut stream = TcpStream::connect(open.forward.unwrap()).await.unwrap();
    let message = array(&[text("web"), time(1), record("one"), options(&[])]);
    stream.write_all(&message).await.unwrap();
    while !cluster.metrics().contains("skald_distributor_replica_push_failures_total 2") {
        tokio::task::yield_now().await;
    }
    let mut byte = [0];
    assert!(stream.try_read(&mut byte).is_err(), "no answer yet");
    *cluster.ingesters[0].mode.lock() = Mode::Normal;
    expect_ack(&mut stream).await;
    assert_eq!(cluster.data().lines[STREAM].len(), 1);
    stop.trigger();
    open.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_storage_is_bounded_and_leaves_room_to_store_it() {
    let size = ByteSize(2 << 20);
    let cluster = cluster_with(ForwardConfig {
        max_unpacked_size: size,
        buffer_size: ByteSize(3 << 20),
        ..ForwardConfig::default()
    });
    let stop = Shutdown::new();
    let open = cluster.distributor.listen(&stop).await.unwrap();
    *cluster.ingesters[0].mode.lock() = Mode::Fail(ErrorKind::Unavailable);
    let big = gzip(&[&array(&[time(1), record("one")])[..], &[0xc0; 1_800_000]].concat());
    let gz = [("compressed", text("gzip"))];
    let message = array(&[text("web"), bin(&big), options(&gz)]);
    let mut first = TcpStream::connect(open.forward.unwrap()).await.unwrap();
    first.write_all(&message).await.unwrap();
    while !cluster.metrics().contains("skald_distributor_replica_push_failures_total 1") {
        tokio::task::yield_now().await;
    }
    // There is room for one: the second is closed, and the first is stored later.
    let mut second = TcpStream::connect(open.forward.unwrap()).await.unwrap();
    second.write_all(&message).await.unwrap();
    let mut answer = Vec::new();
    let _ = second.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    let full = "skald_distributor_dropped_messages_total{protocol=\"fluent_forward\",reason=\"buffer_full\"} 1";
    assert!(cluster.metrics().contains(full));
    *cluster.ingesters[0].mode.lock() = Mode::Normal;
    expect_ack(&mut first).await;
    stop.trigger();
    open.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_nonsense_is_closed_and_counted() {
    let cluster = cluster();
    let stop = Shutdown::new();
    let open = cluster.distributor.listen(&stop).await.unwrap();
    let gz = [("compressed", text("gzip"))];
    let bomb = gzip(&vec![0; 80 << 20]);
    for bad in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        // A list of 2^32 values, a string of a gigabyte, a reserved tag.
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0x93, 0xdb, 0x40, 0, 0, 0],
        vec![0xc1],
        vec![0x91; 100_000],
        array(&[text("web"), bin(&bomb), options(&gz)]),
        array(&[text("web"), bin(b"no gzip"), options(&gz)]),
    ] {
        let mut stream = TcpStream::connect(open.forward.unwrap()).await.unwrap();
        let _ = stream.write_all(&bad).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "{bad:.20?}");
    }
    stop.trigger();
    open.done().await;
    let metrics = cluster.metrics();
    let name = "skald_distributor_dropped_messages_total{protocol=\"fluent_forward\",reason=\"malformed\"} ";
    let n: u64 = metrics.lines().find_map(|l| l.strip_prefix(name)).unwrap().parse().unwrap();
    assert!(n >= 5, "{n}");
    assert!(cluster.data().lines.is_empty());
}

#[test]
fn entries_that_are_none_are_refused_one_by_one() {
    let ctx = context(Limits::default());
    let good = array(&[time(1), record("x")]);
    let bad = [array(&[time(1)]), text("x"), array(&[text("t"), record("x")]), vec![0xc0]];
    let entries = [&good[..], &bad.concat(), &good].concat();
    let decoded = decode_entries(&ctx, "web", "tag", &entries);
    assert_eq!((decoded.counts.lines, decoded.rejects.total()), (6, 4));
    let cut = decode_entries(&ctx, "web", "", &good[..good.len() - 1]);
    assert_eq!(cut.rejects.total(), 1);
    // A list of 70,000 values, and values nested too deeply.
    let mut many = vec![0xdd];
    many.extend(70_000u32.to_be_bytes());
    many.extend([0xc0; 70_000]);
    assert!(read(&mut &many[..]).is_err());
    assert!(read(&mut &[0x91; 100_000][..]).is_err());
    // Maps as names of maps as names: 2^31 bytes of backslashes.
    let names = [&[0x81; 31][..], &[0; 32]].concat();
    assert_eq!(read(&mut &names[..]), Err(Malformed::Bytes("a key is a list or a map")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let ctx = context(Limits::default());
        let _ = message(&bytes, 1 << 20);
        decode_entries(&ctx, "t", "tag", &bytes);
    }

    #[test]
    fn what_the_scanner_finds_the_reader_reads(bytes in prop::collection::vec(any::<u8>(), 1..60)) {
        if let Ok(Some(end)) = Scanner::new().end(&bytes, 1000) {
            let mut rest = &bytes[..end];
            if read(&mut rest).is_ok() {
                prop_assert!(rest.is_empty());
            }
        }
    }
}
