//! One live tail from its first frame to its last.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use bytes::Bytes;
use futures_util::stream;
use futures_util::{Stream, StreamExt};
use skald_logql::{Direction, Pipeline, RangeParams, ResultStream, Value, Work, merged_streams};
use skald_model::{Labels, StreamEntries};
use skald_ring::quorum;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::debug;

use super::Order;
use super::queue::{Queue, queue};
use super::seen::Seen;
use crate::json::Json;
use crate::loki::query::{engine, of_engine};
use crate::loki::result::{categorized, merged};
use crate::loki::source;
use crate::{Error, Querier};

const PING_EVERY: Duration = Duration::from_secs(1);
/// Most lost entries that are named; the rest is only counted in the metrics.
const MAX_NAMED: usize = 1000;
/// Bytes of lines that wait for their delay; more are sent at once.
const MAX_PENDING: usize = 4 << 20;

/// A batch of an ingester, or the end of its tail.
enum Event {
    Batch(Vec<StreamEntries>),
    Ended(u32),
}

/// Replicas whose tails are open, by partition: now, and how few are too few.
type Alive = HashMap<u32, (usize, usize)>;

pub(super) struct Session {
    pipeline: Pipeline,
    work: Work,
    seen: Seen,
    pending: Vec<ResultStream>,
    pending_bytes: usize,
    flush_at: Option<Instant>,
    dropped: Vec<(Labels, i64)>,
    n_dropped: u64,
    delay: Duration,
    categorize: bool,
    frames: Queue,
}

// === impl Session ===

impl Session {
    /// Serves `socket` until either side ends it.
    pub(super) async fn run(querier: &Querier, order: Order, socket: WebSocket) {
        let (sink, mut incoming) = socket.split();
        let (frames, waiting) = queue(querier.config().tail_queue);
        let writer = skald_runtime::spawn("tail-writer", waiting.write(sink));
        let closing = frames.clone();
        let tenant = order.scope.tenant.clone();
        let client = async {
            while let Some(Ok(message)) = incoming.next().await {
                if matches!(message, Message::Close(_)) {
                    break;
                }
            }
        };
        let ended = tokio::select! {
            ended = Self::follow(querier, order, frames) => ended,
            () = client => Ok(()),
        };
        let frame = match &ended {
            Ok(()) => CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() },
            Err(e) => {
                debug!(%tenant, error = %e, "tail ended");
                CloseFrame { code: close_code::ERROR, reason: reason(e) }
            }
        };
        // A full queue means a reader that does not read: then the connection is just dropped.
        let sent = closing.put(Message::Close(Some(frame)));
        drop(closing);
        if !sent {
            writer.abort();
        }
    }

    async fn follow(querier: &Querier, order: Order, frames: Queue) -> Result<(), Error> {
        let pipeline = Pipeline::compile(&order.log).map_err(|e| Error::Invalid(e.to_string()))?;
        let (events, mut alive) = open(querier, &order).await?;
        let mut session = Self {
            pipeline,
            work: Work::default(),
            seen: Seen::default(),
            pending: Vec::new(),
            pending_bytes: 0,
            flush_at: None,
            dropped: Vec::new(),
            n_dropped: 0,
            delay: order.delay,
            categorize: order.categorize,
            frames,
        };
        let history = history(querier, &order).await?;
        session.add(history);
        session.flush();
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut end = pin!(tokio::time::sleep(querier.config().tail_max_duration.0));
        let mut events = pin!(events);
        loop {
            let flush_at = session.flush_at;
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Batch(batch)) => session.take(&batch),
                    Some(Event::Ended(partition)) => lose(&mut alive, partition)?,
                    None => return Ok(()),
                },
                () = until(flush_at) => session.flush(),
                // A reader too slow for frames needs no ping either.
                _ = ping.tick() => drop(session.frames.put(Message::Ping(Bytes::new()))),
                () = &mut end => return Ok(()),
                () = session.frames.closed() => return Ok(()),
            }
            querier.metrics().tail_dropped.inc_by(std::mem::take(&mut session.n_dropped));
        }
    }

    fn take(&mut self, batch: &[StreamEntries]) {
        let mut passed = Vec::new();
        for stream in batch {
            passed.append(&mut self.pipeline.run(&mut self.work, stream));
        }
        self.add(passed);
        if self.delay.is_zero() || self.pending_bytes >= MAX_PENDING {
            self.flush();
        }
    }

    fn add(&mut self, mut streams: Vec<ResultStream>) {
        self.seen.keep_new(&mut streams);
        if !streams.is_empty() {
            let size =
                |s: &ResultStream| s.entries.iter().map(|e| e.line.len() + 64).sum::<usize>();
            self.pending_bytes += streams.iter().map(size).sum::<usize>();
            self.pending.append(&mut streams);
            self.flush_at.get_or_insert_with(|| Instant::now() + self.delay);
        }
    }

    /// Sends what is pending, or notes that it is lost.
    fn flush(&mut self) {
        self.flush_at = None;
        self.pending_bytes = 0;
        if self.pending.is_empty() {
            return;
        }
        let streams = united(std::mem::take(&mut self.pending));
        let frame = frame(&streams, &self.dropped, self.categorize);
        if self.frames.put(frame) {
            self.dropped.clear();
        } else {
            self.lost(&streams);
        }
    }

    fn lost(&mut self, streams: &[ResultStream]) {
        for stream in streams {
            self.n_dropped += stream.entries.len() as u64;
            let room = MAX_NAMED.saturating_sub(self.dropped.len());
            let names = stream.entries.iter().take(room);
            self.dropped.extend(names.map(|e| (stream.stream_labels.clone(), e.timestamp_ns)));
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A close reason holds at most 123 bytes.
fn reason(e: &Error) -> Utf8Bytes {
    let mut text = e.to_string();
    let mut end = text.len().min(120);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.into()
}

/// Opens the tails of all replicas; each partition needs a read quorum.
async fn open(
    querier: &Querier,
    order: &Order,
) -> Result<(impl Stream<Item = Event> + Send, Alive), Error> {
    let tenant = &order.scope.tenant;
    let matchers = &order.log.matchers;
    let calls =
        querier.fanout().ingesters.all()?.into_iter().map(|(partition, ingester)| async move {
            (partition, ingester.tail(tenant, matchers).await)
        });
    let mut total: HashMap<u32, usize> = HashMap::new();
    let mut alive = Alive::new();
    let mut tails = Vec::new();
    let mut failure = None;
    for (partition, opened) in futures_util::future::join_all(calls).await {
        *total.entry(partition).or_default() += 1;
        let count = alive.entry(partition).or_default();
        match opened {
            Ok(tail) => {
                count.0 += 1;
                let end = stream::iter([Event::Ended(partition)]);
                tails.push(tail.map(Event::Batch).chain(end).boxed());
            }
            Err(e) => failure = Some(e),
        }
    }
    for (partition, count) in &mut alive {
        count.1 = quorum::read(total.get(partition).copied().unwrap_or(1));
        if count.0 < count.1 {
            let cause = failure.as_ref().map_or("", |e| e.message.as_str());
            let text = format!("partition {partition}: too few replicas answered: {cause}");
            return Err(Error::Unavailable(text));
        }
    }
    Ok((stream::select_all(tails), alive))
}

fn lose(alive: &mut Alive, partition: u32) -> Result<(), Error> {
    let Some((now, needed)) = alive.get_mut(&partition) else { return Ok(()) };
    *now = now.saturating_sub(1);
    if now < needed {
        let text = format!("partition {partition}: an ingester went away, please reconnect");
        return Err(Error::Unavailable(text));
    }
    Ok(())
}

/// The newest lines from before the tail began.
async fn history(querier: &Querier, order: &Order) -> Result<Vec<ResultStream>, Error> {
    let source = source(querier, &order.scope).await?;
    let request = RangeParams {
        query: order.query.clone(),
        start_ns: order.start_ns,
        end_ns: querier.now_ns().max(order.start_ns),
        step_ns: super::NS_PER_S,
        interval_ns: 0,
        limit: order.limit,
        direction: Direction::Backward,
    };
    let engine = engine(&order.scope);
    let query = engine.query_range(source.as_ref(), &request);
    let limit = order.scope.limits.query_timeout.0;
    let result = if limit.is_zero() {
        query.await
    } else {
        let late = |_| Error::Timeout(format!("query timed out after {limit:?}"));
        tokio::time::timeout(limit, query).await.map_err(late)?
    };
    match result.map_err(of_engine)?.value {
        Value::Streams(streams) => Ok(streams),
        _ => Ok(Vec::new()),
    }
}

/// One entry per stream, its lines oldest first.
fn united(streams: Vec<ResultStream>) -> Vec<ResultStream> {
    let mut out: Vec<ResultStream> = Vec::new();
    let mut index: HashMap<Labels, usize> = HashMap::new();
    for mut stream in streams {
        match index.get(&stream.stream_labels) {
            Some(at) => out[*at].entries.append(&mut stream.entries),
            None => {
                index.insert(stream.stream_labels.clone(), out.len());
                out.push(stream);
            }
        }
    }
    for stream in &mut out {
        stream.entries.sort_by_key(|e| e.timestamp_ns);
    }
    out
}

fn frame(streams: &[ResultStream], dropped: &[(Labels, i64)], categorize: bool) -> Message {
    let mut json = Json::default();
    let mut first = true;
    json.raw(r#"{"streams":["#);
    if categorize {
        for stream in streams {
            categorized(json.sep(&mut first), stream);
        }
        json.raw(r#"],"encodingFlags":["categorize-labels"]"#);
    } else {
        for stream in &merged_streams(streams) {
            merged(json.sep(&mut first), stream);
        }
        json.raw("]");
    }
    if !dropped.is_empty() {
        json.raw(r#","dropped_entries":["#);
        let mut first = true;
        for (labels, timestamp_ns) in dropped {
            json.sep(&mut first).raw(r#"{"labels":"#).labels(labels);
            json.raw(r#","timestamp":""#).int(*timestamp_ns).raw("\"}");
        }
        json.raw("]");
    }
    json.raw("}");
    // The writer escapes to UTF-8 always.
    Utf8Bytes::try_from(json.into_bytes())
        .map_or_else(|_| Message::Ping(Bytes::new()), Message::Text)
}

#[cfg(test)]
mod tests {
    use skald_logql::Expr;
    use skald_model::LogEntry;

    use super::*;

    fn arrives(times: std::ops::Range<i64>) -> Vec<StreamEntries> {
        let entry = |t| LogEntry {
            timestamp_ns: t,
            line: Bytes::from_static(b"x"),
            metadata: Labels::empty(),
        };
        let labels = Labels::from_pairs([("app", "x")]);
        vec![StreamEntries { labels, entries: times.map(entry).collect() }]
    }

    #[test]
    fn a_slow_reader_is_told_what_it_lost() {
        let Ok(Expr::Log(log)) = skald_logql::parse(r#"{app="x"}"#) else { panic!("a log query") };
        let (frames, mut waiting) = queue(1);
        let mut session = Session {
            pipeline: Pipeline::compile(&log).unwrap(),
            work: Work::default(),
            seen: Seen::default(),
            pending: Vec::new(),
            pending_bytes: 0,
            flush_at: None,
            dropped: Vec::new(),
            n_dropped: 0,
            delay: Duration::ZERO,
            categorize: false,
            frames,
        };
        let mut next = || match waiting.take() {
            Some(Message::Text(text)) => serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            other => panic!("{other:?}"),
        };
        session.take(&arrives(0..1));
        session.take(&arrives(1..3));
        assert_eq!(next()["streams"][0]["values"][0][0], "0");
        session.take(&arrives(3..4));
        let frame = next();
        assert_eq!(frame["streams"][0]["values"][0][0], "3");
        let lost = serde_json::json!([
            {"labels": {"app": "x"}, "timestamp": "1"}, {"labels": {"app": "x"}, "timestamp": "2"}
        ]);
        assert_eq!(frame["dropped_entries"], lost);
        session.take(&arrives(2 * MAX_NAMED as i64..5 * MAX_NAMED as i64));
        session.take(&arrives(10 * MAX_NAMED as i64..15 * MAX_NAMED as i64));
        assert_eq!(session.dropped.len(), MAX_NAMED);
        assert_eq!(session.n_dropped, 2 + 5 * MAX_NAMED as u64);
    }
}
