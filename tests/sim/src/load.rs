//! Writers that send pushes, again until they are stored, and readers that check every answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::Request;
use serde_json::Value;
use skald_model::Signal;
use skald_runtime::{Clock, Rng};
use skald_testkit::payload;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::clock::BASE_MS;
use crate::ledger::{Item, Read};
use crate::process::Front;
use crate::world::World;

/// Series, and streams, of each writer.
const LANES: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(40);
const ATTEMPTS: u32 = 12;

/// Sends pushes of a tenant until it is told to stop.
#[derive(Debug)]
pub struct Writer {
    pub world: Arc<World>,
    pub n: usize,
    pub rng: Rng,
}

/// A push that can be sent several times.
struct Push {
    ids: Vec<u64>,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Bytes,
}

// === impl Writer ===

impl Writer {
    pub async fn run(self) {
        while !self.world.load_is_over() {
            sleep(Duration::from_millis(200 + self.rng.below(2500))).await;
            let push = match self.rng.below(2) {
                0 => self.samples(),
                _ => self.lines(),
            };
            self.send(push).await;
        }
    }

    /// Sends one push of each signal, which must be stored.
    pub async fn probe(self) -> Result<(), String> {
        for push in [self.samples(), self.lines()] {
            let path = push.path;
            if !self.send(push).await {
                return Err(format!("writer {} cannot push by {path}", self.n));
            }
        }
        Ok(())
    }

    fn tenant(&self) -> usize {
        self.n % self.world.tenants.len()
    }

    fn items<T>(&self, signal: Signal, each: impl Fn(u64, i64, u64) -> T) -> (Vec<u64>, Vec<T>) {
        let now_ns = self.world.true_time.now_ns();
        let first = self.rng.below(LANES);
        let lanes = (0..=self.rng.below(LANES)).map(|i| (first + i) % LANES);
        let item = |lane| {
            let time = match signal {
                Signal::Metrics => now_ns / 1_000_000,
                Signal::Logs => now_ns,
            };
            let id = self.world.ledger.sent(Item { tenant: self.tenant(), signal, time, lane });
            (id, each(lane, time, id))
        };
        lanes.map(item).unzip()
    }

    fn samples(&self) -> Push {
        let writer = self.n.to_string();
        let (ids, series) = self.items(Signal::Metrics, |lane, time, id| {
            let lane = lane.to_string();
            let labels = [("__name__", "sim"), ("writer", writer.as_str()), ("lane", &lane)];
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            payload::series(&labels, &[(time, id as f64)])
        });
        let body = payload::write_v1(series);
        Push { ids, path: "/api/v1/push", headers: &payload::REMOTE_WRITE_V1, body }
    }

    fn lines(&self) -> Push {
        let writer = self.n.to_string();
        let (ids, streams) = self.items(Signal::Logs, |lane, time, id| {
            let labels =
                serde_json::json!({"app": "sim", "writer": writer, "lane": lane.to_string()});
            let line = format!("id={id} of writer {writer}");
            serde_json::json!({"stream": labels, "values": [[time.to_string(), line]]})
        });
        let body = serde_json::json!({ "streams": streams }).to_string().into();
        const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
        Push { ids, path: "/loki/api/v1/push", headers: &JSON, body }
    }

    /// Whether it was acknowledged.
    async fn send(&self, push: Push) -> bool {
        let trace = &self.world.trace;
        let n = self.n;
        for attempt in 0..ATTEMPTS {
            let mut request = Request::post(push.path);
            for (name, value) in push.headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::from(push.body.clone()));
            let Ok(request) = request else { return false };
            let answer = match self.world.any_front(&self.rng) {
                Some((scope, front)) => {
                    let router = front.of(&self.world.tenants[self.tenant()]);
                    let call = scope.spawn("request", async move {
                        let response = router.oneshot(request).await;
                        let Ok(response) = response;
                        let status = response.status().as_u16();
                        let body = to_bytes(response.into_body(), 1 << 20).await;
                        (status, body.unwrap_or_default())
                    });
                    match timeout(PATIENCE, call).await {
                        Ok(Ok(answer)) => answer,
                        Ok(Err(_)) => (0, "connection reset".into()),
                        Err(_) => (0, "no answer".into()),
                    }
                }
                None => (0, "nobody there".into()),
            };
            let (status, text) = (answer.0, String::from_utf8_lossy(&answer.1).into_owned());
            let (first, last) = (push.ids.first(), push.ids.last());
            trace.note(format_args!(
                "writer {n} sent {first:?}..{last:?} by {}: {status} {text}",
                push.path
            ));
            match status {
                200..300 => {
                    self.world.ledger.acked(&push.ids);
                    return true;
                }
                400..=428 | 430..500 => return false,
                _ => {}
            }
            let wait = 100u64 << attempt.min(5);
            sleep(Duration::from_millis(wait + self.rng.below(wait))).await;
        }
        false
    }
}

/// Reads everything of a tenant through `front`; `None` if the query failed.
pub async fn read(
    world: &World,
    front: &Front,
    scope: &skald_runtime::Scope,
    tenant: usize,
    signal: Signal,
) -> Result<Vec<Read>, String> {
    let now_ms = world.true_time.now_ms() + 1000;
    let path = match signal {
        Signal::Metrics => {
            let time = format!("{}.{:03}", now_ms / 1000, now_ms % 1000);
            format!("/api/v1/query?query=sim%5B3h%5D&time={time}")
        }
        Signal::Logs => format!(
            "/loki/api/v1/query_range?query=%7Bapp%3D%22sim%22%7D&start={}&end={}&limit=5000&direction=forward",
            (BASE_MS - 1000) * 1_000_000,
            now_ms * 1_000_000,
        ),
    };
    let request = Request::get(path).body(Body::empty()).map_err(|e| e.to_string())?;
    let router = front.of(&world.tenants[tenant]);
    let call = scope.spawn("query", async move {
        let Ok(response) = router.oneshot(request).await;
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), 64 << 20).await)
    });
    let answer = timeout(PATIENCE, call).await.map_err(|_| "no answer".to_owned())?;
    let (status, body) = answer.map_err(|_| "connection reset".to_owned())?;
    let body = body.map_err(|e| e.to_string())?;
    if status != 200 {
        return Err(format!("{status} {}", String::from_utf8_lossy(&body)));
    }
    let json: Value = serde_json::from_slice(&body).map_err(|e| format!("no JSON: {e}"))?;
    parse(&json, signal).ok_or_else(|| format!("unexpected answer: {json}"))
}

fn parse(json: &Value, signal: Signal) -> Option<Vec<Read>> {
    let mut reads = Vec::new();
    let labels = if signal == Signal::Metrics { "metric" } else { "stream" };
    for series in json["data"]["result"].as_array()? {
        let lane = series[labels]["lane"].as_str()?.parse().ok()?;
        for value in series["values"].as_array()? {
            let (time, text) = (&value[0], value[1].as_str()?);
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds of our time")]
            let read = match signal {
                Signal::Metrics => Read {
                    id: text.parse().ok()?,
                    time: (time.as_f64()? * 1000.0).round() as i64,
                    lane,
                },
                Signal::Logs => {
                    let id = text.strip_prefix("id=")?.split(' ').next()?.parse().ok()?;
                    Read { id, time: time.as_str()?.parse().ok()?, lane }
                }
            };
            reads.push(read);
        }
    }
    Some(reads)
}

/// Asks through any front, and checks the answer if there is one. What was acknowledged before must be there.
pub async fn query(world: &World, rng: &Rng) -> Option<Result<usize, String>> {
    let tenant = usize::try_from(rng.below(world.tenants.len() as u64)).unwrap_or(0);
    let signal = if rng.below(2) == 0 { Signal::Metrics } else { Signal::Logs };
    let (scope, front) = world.any_front(rng)?;
    let acked: BTreeSet<u64> = world.ledger.acked_of(tenant, signal);
    let answer = read(world, &front, &scope, tenant, signal).await;
    match answer {
        Ok(reads) => {
            world.trace.note(format_args!(
                "query of {signal:?} of tenant {tenant}: {} read, {} acknowledged before",
                reads.len(),
                acked.len()
            ));
            let checked = world.ledger.check(tenant, signal, &acked, &reads);
            let named = |e| format!("{signal:?} of tenant {tenant}: {e}");
            Some(checked.map(|()| reads.len()).map_err(named))
        }
        Err(e) => {
            world.trace.note(format_args!("query of {signal:?} of tenant {tenant} failed: {e}"));
            None
        }
    }
}
