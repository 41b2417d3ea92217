//! The lines both sides get: half an hour of a dozen streams, with everything that is hard for a log engine.

mod lines;

use serde_json::{Value, json};
use skald_testkit::Client;
use skald_testkit::rng::Rng;

/// How long the lines are, in seconds.
pub const LENGTH_S: i64 = 1800;

/// Lines of so much time go into one request.
const SLICE_S: i64 = 300;
const SECOND: i64 = 1_000_000_000;

/// A stream: what writes its lines, and its labels.
const STREAMS: [(&str, &[(&str, &str)]); 12] = [
    ("json", &[("app", "json"), ("env", "prod"), ("host", "a-1")]),
    ("json", &[("app", "json"), ("env", "dev"), ("host", "a-2")]),
    ("logfmt", &[("app", "logfmt"), ("env", "prod"), ("host", "b-1")]),
    ("logfmt", &[("app", "logfmt"), ("env", "dev"), ("host", "b-2"), ("level", "warn")]),
    ("nginx", &[("app", "nginx"), ("env", "prod"), ("host", "a-1")]),
    ("plain", &[("app", "plain"), ("env", "prod"), ("host", "c-1")]),
    ("plain", &[("app", "plain"), ("env", "stage")]),
    ("broken", &[("app", "broken"), ("env", "dev"), ("host", "a-1")]),
    ("packed", &[("app", "packed"), ("env", "prod"), ("status", "up")]),
    ("colour", &[("app", "colour"), ("env", "dev"), ("host", "d-1")]),
    ("counter", &[("app", "counter"), ("env", "prod"), ("host", "a-1")]),
    ("counter", &[("app", "counter"), ("env", "prod"), ("host", "a-2")]),
];

/// A line with its metadata.
type Entry = (i64, String, Vec<(&'static str, String)>);

fn entries(kind: &str, stream: u64, start_s: i64) -> Vec<Entry> {
    let mut rng = Rng::fork(0x10_6d1f, stream);
    let mut out: Vec<Entry> = Vec::new();
    let mut t = start_s * SECOND + rng.between(0, 9 * SECOND);
    let mut counted = 0;
    while t < (start_s + LENGTH_S) * SECOND {
        let line = lines::line(kind, &mut rng, &mut counted, stream, out.len());
        out.push((t, line, lines::metadata(&mut rng)));
        if rng.chance(1) {
            // The same entry twice is one.
            out.extend(out.last().cloned());
        }
        // Bursts at one nanosecond, times on whole seconds, and gaps longer than a window.
        t += match rng.below(20) {
            0 => 0,
            1 => 1,
            2 => rng.between(60, 200) * SECOND,
            3 => SECOND - t % SECOND,
            _ => rng.between(0, 20 * SECOND),
        };
    }
    out
}

/// The body of a push of what lies in the slice that begins at `from`, in seconds.
fn slice(all: &[Vec<Entry>], from: i64) -> Value {
    let within = |t: i64| (from * SECOND..(from + SLICE_S) * SECOND).contains(&t);
    let streams = STREAMS.iter().zip(all).filter_map(|((_, labels), entries)| {
        let labels: serde_json::Map<String, Value> =
            labels.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
        let values: Vec<Value> = entries
            .iter()
            .filter(|(t, ..)| within(*t))
            .map(|(t, line, metadata)| {
                let metadata: serde_json::Map<String, Value> =
                    metadata.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
                json!([t.to_string(), line, metadata])
            })
            .collect();
        (!values.is_empty()).then(|| json!({"stream": labels, "values": values}))
    });
    json!({"streams": streams.collect::<Vec<_>>()})
}

/// Pushes all lines, in order of time, from `start_s` on (seconds since the epoch).
pub async fn load(client: &Client, start_s: i64) -> Result<(), String> {
    let all: Vec<Vec<Entry>> =
        (0u64..).zip(STREAMS).map(|(i, (kind, _))| entries(kind, i, start_s)).collect();
    let mut from = start_s;
    while from < start_s + LENGTH_S {
        let body = slice(&all, from).to_string();
        let headers = [("content-type", "application/json")];
        let reply = client.post("/loki/api/v1/push", &headers, body).await;
        if !reply.status.is_success() {
            return Err(format!("{} refuses lines: {}", client.base(), reply.text()));
        }
        from += SLICE_S;
    }
    Ok(())
}
