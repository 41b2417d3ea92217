//! Messages of both RFCs and of those who follow neither, frames, and what a listener makes of them.

use proptest::prelude::*;
use skald_limits::Limits;
use skald_model::ErrorKind;
use skald_runtime::{ByteSize, HumanDuration, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::frame::Framer;
use super::message::{Message, parse};
use crate::testing::{Cluster, Mode, NOW_NS};
use crate::{Config, SyslogConfig};

const STREAM: &str = r#"{app_name="su", hostname="h", service_name="su"}"#;

fn read(frame: &str) -> Message<'_> {
    parse(frame, NOW_NS, 0)
}

#[test]
fn rfc_5424_messages_are_taken_apart() {
    let frame = "<165>1 2026-01-01T00:00:00.003Z host app 42 ID47 [a@1 k=\"v \\\"q\\\" \\] \\n\" e=\"\"][b x=\"y\"] \u{feff}text ä";
    let message = read(frame);
    assert_eq!((message.facility, message.severity), ("local4", "notice"));
    assert_eq!(message.ts, Some(NOW_NS + 3_000_000));
    let parts = [message.host, message.app, message.proc_id, message.msg_id, message.text];
    assert_eq!(parts, ["host", "app", "42", "ID47", "text ä"]);
    let data: Vec<_> = message.data.iter().map(|(n, v)| (n.as_str(), v.as_ref())).collect();
    assert_eq!(data, [("a@1.k", "v \"q\" ] \\n"), ("a@1.e", ""), ("b.x", "y")]);
    let nil = read("<14>1 - - - - - -");
    assert_eq!(nil, Message { facility: "user", severity: "info", ..Message::default() });
}

#[test]
fn rfc_3164_messages_are_taken_apart() {
    let at = |frame| {
        let m = read(frame);
        let ts = m.ts.map(|ts| (ts - NOW_NS) / 1_000_000_000);
        (ts, m.host.to_owned(), m.app.to_owned(), m.proc_id.to_owned(), m.text.to_owned())
    };
    let want = |ts: Option<i64>, host: &str, app: &str, pid: &str, text: &str| {
        (ts, host.to_owned(), app.to_owned(), pid.to_owned(), text.to_owned())
    };
    let day = 86_400;
    for (frame, expected) in [
        ("<34>Jan  1 00:00:05 h su[7]: failed", want(Some(5), "h", "su", "7", "failed")),
        ("<34>Jan  1 00:00:05 h su: a: b", want(Some(5), "h", "su", "", "a: b")),
        // The day before new year, read on it.
        ("<34>Dec 31 00:00:00 h text", want(Some(-day), "h", "", "", "text")),
        // As logger(1) writes to the local socket.
        ("<13>Jan  2 00:00:00 me: hi", want(Some(day), "", "me", "", "hi")),
        ("<13>2026-01-01T00:00:01+00:00 h app: x", want(Some(1), "h", "app", "", "x")),
        ("Jan 1 2026 00:00:01: h x", want(Some(1), "h", "", "", "x")),
        // As Python's SysLogHandler writes.
        ("<14>just text: yes\0", want(None, "", "", "", "just text: yes")),
        ("no priority", want(None, "", "", "", "no priority")),
        ("<999>x", want(None, "", "", "", "<999>x")),
        ("<34>Foo 99 x", want(None, "", "", "", "Foo 99 x")),
        ("<34>1 broken", want(None, "", "", "", "1 broken")),
    ] {
        assert_eq!(at(frame), expected, "{frame}");
    }
    let zoned = parse("<34>Jan  1 02:00:00 h x", NOW_NS, 7200);
    assert_eq!(zoned.ts, Some(NOW_NS));
}

fn frames(max: usize, chunks: &[&[u8]]) -> (Vec<String>, u64) {
    let mut framer = Framer::new(max);
    let mut out = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for chunk in chunks {
        framer.push(chunk);
        while let Some(frame) = framer.next() {
            out.push(text(frame));
        }
    }
    out.extend(framer.last().map(text));
    (out, framer.take_cut())
}

#[test]
fn streams_are_cut_at_counts_and_line_ends() {
    let (found, cut) = frames(100, &[b"<1>a\n<1>b\r\n\n5 <1>cd7 <1>e", b"\nfg<1>h\0", b"<1>i"]);
    assert_eq!(found, ["<1>a", "<1>b\r", "<1>cd", "<1>e\nfg", "<1>h", "<1>i"]);
    assert_eq!(cut, 0);
    // Digits without a space are text.
    assert_eq!(frames(100, &[b"2026-01-01 x\n"]).0, ["2026-01-01 x"]);
    assert_eq!(frames(100, &[b"12", b"3 x"]), (vec![], 1), "lost, and counted");
    assert_eq!(frames(100, &[b"12"]).0, ["12"]);
}

#[test]
fn long_messages_are_cut_and_the_next_is_found() {
    let (found, cut) = frames(4, &[b"abcdefgh", b"ij\nkl\n8 mnopqrst2 uv"]);
    assert_eq!((found, cut), (vec!["abcd".into(), "kl".into(), "mnop".into(), "uv".into()], 2));
    // A count of nearly a gigabyte, and a line that never ends.
    let mut framer = Framer::new(1000);
    framer.push(b"999999999 ");
    let mut n_frames = 0;
    for _ in 0..1000 {
        framer.push(&[b'x'; 10_000]);
        while framer.next().is_some() {
            n_frames += 1;
        }
    }
    assert_eq!((n_frames, framer.take_cut()), (1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300) {
        let (head, tail) = bytes.split_at(at.min(bytes.len()));
        frames(7, &[head, tail]);
        read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn damaged_messages_are_survived(at in any::<prop::sample::Index>(), with in any::<char>()) {
        let good = "<165>1 2026-01-01T00:00:00Z h a 42 ID [a k=\"\\\\v\"] text";
        let mut chars: Vec<char> = good.chars().collect();
        let at = at.index(chars.len());
        chars[at] = with;
        read(&chars.iter().collect::<String>());
        read(&good[..at]);
    }
}

fn cluster(syslog: SyslogConfig) -> Cluster {
    Cluster::new(1, 1, Limits::default(), Config { syslog, ..Config::default() })
}

fn listening() -> SyslogConfig {
    SyslogConfig {
        tcp_listen: "127.0.0.1:0".into(),
        udp_listen: "127.0.0.1:0".into(),
        tenant: "net".into(),
        max_message_size: ByteSize(1000),
        ..SyslogConfig::default()
    }
}

/// Gives way until `done`.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_messages_are_stored_before_the_connection_ends() {
    let cluster = cluster(listening());
    let stop = Shutdown::new();
    let open = cluster.distributor.listen(&stop).await.unwrap();
    let mut stream = TcpStream::connect(open.syslog_tcp.unwrap()).await.unwrap();
    let long = "x".repeat(5000);
    let text = format!(
        "<34>Jan  1 00:00:05 h su[7]: one\n<34>Jan  1 00:00:06 h su: {long}\n27 <34>Jan  1 00:00:07 h su: 3"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    // The server closes when all is stored.
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    {
        let data = cluster.data();
        let lines = &data.lines[STREAM];
        assert_eq!(lines.len(), 3);
        assert_eq!((lines[0].ts - NOW_NS, lines[0].line.as_str()), (5_000_000_000, "one"));
        let want = "{detected_level=\"critical\", facility=\"auth\", proc_id=\"7\", severity=\"crit\", source_ip=\"127.0.0.1\"}";
        assert_eq!(lines[0].metadata, want);
        assert_eq!(lines[2].line, "3");
    }
    let metrics = cluster.metrics();
    let cut = "skald_distributor_dropped_messages_total{protocol=\"syslog_tcp\",reason=\"cut\"} 1";
    assert!(metrics.contains(cut), "{metrics}");
    stop.trigger();
    open.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_connection_is_closed_and_what_it_sent_is_stored() {
    let idle_timeout: HumanDuration = "50ms".parse().unwrap();
    let cluster = cluster(SyslogConfig { idle_timeout, ..listening() });
    let stop = Shutdown::new();
    let open = cluster.distributor.listen(&stop).await.unwrap();
    let mut silent = TcpStream::connect(open.syslog_tcp.unwrap()).await.unwrap();
    let mut stream = TcpStream::connect(open.syslog_tcp.unwrap()).await.unwrap();
    stream.write_all(b"<34>Jan  1 00:00:05 h su: no line end").await.unwrap();
    for stream in [&mut silent, &mut stream] {
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    }
    assert_eq!(cluster.data().lines[STREAM][0].line, "no line end");
    stop.trigger();
    open.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_messages_are_stored_and_what_does_not_fit_is_counted() {
    let cluster = cluster(SyslogConfig { udp_buffer_size: ByteSize(200), ..listening() });
    let stop = Shutdown::new();
    let open = cluster.distributor.listen(&stop).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = open.syslog_udp.unwrap();
    socket.send_to(b"<34>Jan  1 00:00:05 h su: one", to).await.unwrap();
    until(|| cluster.data().lines.contains_key(STREAM)).await;
    // While storage is away the buffer fills; what is in it is stored when it is back.
    *cluster.ingesters[0].mode.lock() = Mode::Fail(ErrorKind::Unavailable);
    let dropped = || {
        let metrics = cluster.metrics();
        let name = "skald_distributor_dropped_messages_total{protocol=\"syslog_udp\",reason=\"buffer_full\"} ";
        let line = metrics.lines().find_map(|l| l.strip_prefix(name).map(str::to_owned));
        line.map_or(0, |n| n.parse::<u64>().unwrap())
    };
    while dropped() == 0 {
        socket.send_to(b"<34>Jan  1 00:00:06 h su: more", to).await.unwrap();
        tokio::task::yield_now().await;
    }
    *cluster.ingesters[0].mode.lock() = Mode::Normal;
    until(|| cluster.data().lines[STREAM].len() > 1).await;
    stop.trigger();
    open.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_waits_while_storage_is_away_and_loses_nothing() {
    let cluster = cluster(listening());
    let stop = Shutdown::new();
    let open = cluster.distributor.listen(&stop).await.unwrap();
    *cluster.ingesters[0].mode.lock() = Mode::Fail(ErrorKind::Unavailable);
    let mut stream = TcpStream::connect(open.syslog_tcp.unwrap()).await.unwrap();
    stream.write_all(b"<34>Jan  1 00:00:05 h su: one\n").await.unwrap();
    let failures = || cluster.metrics().contains("skald_distributor_replica_push_failures_total 2");
    until(failures).await;
    *cluster.ingesters[0].mode.lock() = Mode::Normal;
    until(|| cluster.data().lines.contains_key(STREAM)).await;
    stop.trigger();
    open.done().await;
    assert_eq!(cluster.data().lines[STREAM].len(), 1);
}
