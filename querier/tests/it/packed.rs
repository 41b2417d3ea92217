//! Blocks whose lines are in packs answer as heads do, also where less than whole lines is read of them.

use bytes::Bytes;
use serde_json::Value;
use skald_limits::Limits;
use skald_model::{Labels, LogEntry, StreamEntries, TenantId};
use skald_runtime::ByteSize;

use crate::world::{BASE_NS, World, at};

fn noise(i: u64) -> u64 {
    let x = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ x >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Lines of programs that log JSON, logfmt and neither, some of them broken.
fn line(app: &str, i: u64) -> String {
    let r = noise(i);
    let level = ["info", "warn", "error", "debug"][(r % 4) as usize];
    let msg = ["done", "connection timeout", "cache miss", "not found"][(r >> 9) as usize % 4];
    let status = [200, 204, 404, 503][(r >> 17) as usize % 4];
    let ms = format!("{}.{:03}", (r >> 25) % 900, (r >> 35) % 1000);
    match app {
        "json" => format!(
            r#"{{"level":"{level}","msg":"{msg}","status":{status},"ms":{ms},"user":"u-{}","ok":{}}}"#,
            r % 50,
            r.is_multiple_of(2)
        ),
        "odd" if i.is_multiple_of(7) => {
            format!(r#"{{"level":"{level}","status":{status},"ms":0{}}}"#, i % 10)
        }
        "odd" if i.is_multiple_of(5) => {
            format!(r#"{{"level":"{level}","msg":"a \"{msg}\"","status":{status},"ms":{ms}"#)
        }
        "odd" if i.is_multiple_of(3) => {
            format!(r#"{{"level":"{level}","o":{{"status":{status}}},"level":"twice"}}"#)
        }
        "odd" => format!(r#"{{"level": "{level}", "status": "{status}", "ms": null, "app": "x"}}"#),
        "logfmt" if i.is_multiple_of(6) => {
            format!("level={level} level=again msg=\"{msg}\" bare status= ms={ms}")
        }
        "logfmt" => {
            format!("level={level} msg=\"{msg}\" status={status} ms={ms} url=/a/{}?b=c", r % 9)
        }
        _ => format!("{level}: {msg} after {ms}s, code {status}"),
    }
}

fn streams() -> Vec<StreamEntries> {
    let stream = |app: &str| {
        let entries = (0..1500).map(|i| LogEntry {
            timestamp_ns: BASE_NS + i64::try_from(i).unwrap() * 50_000_000,
            line: Bytes::from(line(app, i)),
            metadata: match i % 9 {
                0 => Labels::from_pairs([("status", "599"), ("trace", "t")]),
                _ => Labels::empty(),
            },
        });
        StreamEntries { labels: Labels::from_pairs([("app", app)]), entries: entries.collect() }
    };
    ["json", "logfmt", "odd", "text"].map(stream).into()
}

const QUERIES: [&str; 26] = [
    r#"sum by (level) (count_over_time({app="json"} | json [20s]))"#,
    r#"sum by (level) (count_over_time({app="logfmt"} | logfmt [20s]))"#,
    r#"sum by (level) (count_over_time({app="odd"} | json | __error__="" [20s]))"#,
    r#"sum by (level) (count_over_time({app="odd"} | json [20s]))"#,
    r#"sum by (level, status) (count_over_time({app=~"json|odd"} | json | __error__="" [20s]))"#,
    r#"sum by (app) (count_over_time({app=~".+"} |= "connection timeout" [20s]))"#,
    r#"sum by (app) (count_over_time({app=~".+"} |= "connection timeout" |= "503" [20s]))"#,
    r#"sum by (app) (count_over_time({app=~".+"} |= "timeout" != "info" [20s]))"#,
    r#"sum by (app) (count_over_time({app=~".+"} |= "status" | trace="t" [20s]))"#,
    r#"sum(rate({app="json"} | json | unwrap ms | __error__="" [20s]))"#,
    r#"sum by (level) (sum_over_time({app="logfmt"} | logfmt | unwrap ms | __error__="" [20s]))"#,
    r#"max by (user) (max_over_time({app="json"} | json | status >= 400 | unwrap ms [20s]))"#,
    r#"sum by (level) (bytes_over_time({app="json"} | json | status="503" [20s]))"#,
    r#"sum by (msg) (count_over_time({app="json"} | json | ok="true" | label_format msg="{{.level}}" [20s]))"#,
    r#"avg_over_time({app="odd"} | json | unwrap ms | __error__="" [20s]) by (level)"#,
    r#"{app="json"} | json | status >= 500 | ms > 100"#,
    r#"{app="json"} |= "miss" | json | status >= 500 | user != "u-7""#,
    r#"{app=~"json|odd"} | json | status >= 500"#,
    r#"{app=~"json|odd"} | json | __error__!="""#,
    r#"{app="logfmt"} | logfmt | level="warn" | status=404"#,
    r#"{app="logfmt"} | logfmt | level="again" or status="""#,
    r#"{app="logfmt"} | logfmt --strict | ms > 500ms"#,
    r#"{app="odd"} | json | app_extracted="x""#,
    r#"{app=~".+"} |= "code 503""#,
    r#"{app=~".+"} |~ "status=50[0-3] ""#,
    r#"{app=~".+"} | json | status = 599"#,
];

async fn answer(world: &World, query: &str) -> Value {
    let (start, end) = (at(0), at(80));
    let params =
        [("query", query), ("start", &start), ("end", &end), ("step", "7"), ("limit", "4000")];
    let reply = world.get("/loki/api/v1/query_range", &params).await;
    let mut body: Value =
        serde_json::from_str(reply.text()).unwrap_or_else(|_| reply.text().into());
    let Some(result) = body["data"]["result"].as_array_mut() else { return body };
    result.sort_by_key(Value::to_string);
    body["data"]["result"].take()
}

#[tokio::test]
async fn packs_answer_as_heads_do() {
    let t = TenantId::single();
    let (heads, blocks) =
        (World::new(1, 1, Limits::default()), World::new(1, 1, Limits::default()));
    heads.ingester().put(&t, |r| r.streams.extend(streams()));
    blocks.commit_streams(&t, &streams()).await;
    for query in QUERIES {
        let (expected, found) = (answer(&heads, query).await, answer(&blocks, query).await);
        assert_eq!(found, expected, "{query}");
        let fails =
            query.contains("\"odd\"} | json [") && query.starts_with("sum by (level) (count");
        assert!(fails || expected.as_array().is_some_and(|a| !a.is_empty()), "{query}: {expected}");
    }
}

#[tokio::test]
async fn few_lines_of_many_take_little_memory() {
    let limits = Limits { max_query_memory: ByteSize(2 << 20), ..Limits::default() };
    let world = World::new(1, 1, limits);
    let lines = |app: &str| {
        let entries = (0..20_000).map(|i| LogEntry {
            timestamp_ns: BASE_NS + i64::try_from(i).unwrap() * 1_000_000,
            line: Bytes::from(format!("{i} {}", line(app, i))),
            metadata: Labels::empty(),
        });
        StreamEntries { labels: Labels::from_pairs([("app", app)]), entries: entries.collect() }
    };
    world.commit_streams(&TenantId::single(), &["json", "logfmt", "text"].map(lines)).await;
    let ask = async |query: &str, direction: &str| {
        // All of it lies in one slice of the range, behind some that are empty.
        let (start, end) = (at(-36_000), at(if direction == "backward" { 3_000 } else { 60 }));
        let params = [
            ("query", query),
            ("start", &start),
            ("end", &end),
            ("direction", direction),
            ("limit", "30"),
        ];
        let reply = world.get("/loki/api/v1/query_range", &params).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let mut lines: Vec<(i64, String)> = Vec::new();
        for stream in reply.result().as_array().unwrap() {
            for value in stream["values"].as_array().unwrap() {
                let text = |i: usize| value[i].as_str().unwrap().to_owned();
                lines.push((text(0).parse().unwrap(), text(1)));
            }
        }
        lines.sort();
        lines.into_iter().map(|(ns, _)| (ns - BASE_NS) / 1_000_000).collect::<Vec<i64>>()
    };
    let thrice = |range: std::ops::Range<i64>| range.flat_map(|i| [i; 3]).collect::<Vec<i64>>();
    assert_eq!(ask(r#"{app=~".+"}"#, "backward").await, thrice(19_990..20_000));
    assert_eq!(ask(r#"{app=~".+"}"#, "forward").await, thrice(0..10));
    let others =
        |app: &'static str| (0..20_000).filter(move |i| !line(app, *i).contains("timeout"));
    let mut others: Vec<u64> = ["json", "logfmt", "text"].into_iter().flat_map(others).collect();
    others.sort_unstable();
    let newest: Vec<i64> =
        others[others.len() - 30..].iter().map(|i| i64::try_from(*i).unwrap()).collect();
    assert_eq!(ask(r#"{app=~".+"} != "timeout""#, "backward").await, newest);
}
