//! Random histories of two tenants on a failing store, compared after each step with a store that has no blocks.
//!
//! Replicas write copies, overlapping and out of order; lines and samples are deleted on request and requests withdrawn; compactors,
//! up to two at once, merge, expire, collect garbage, and are cut short anywhere; processes are replaced. What a reader sees must
//! at any time be what was written and neither deleted nor past its retention: nothing lost, doubled, or back from the dead.
//!
//! A history is named by its seed. `COMPACTION_HISTORIES=5000 cargo test -p skald-compactor histories` makes more
//! of them, `COMPACTION_SEED=7` begins with that one and `COMPACTION_TRACE=1` tells its steps.

use std::collections::BTreeSet;

use skald_blocks::verify_block;
use skald_catalog::{DeleteRequest, Signal};
use skald_limits::StreamRetention;
use skald_model::{Labels, LogEntry, Signal as Kind, TimeRange};
use skald_runtime::ByteSize;

use super::*;
use crate::Stored;

const HOUR_MS: i64 = 3_600_000;
const NS_PER_MS: i64 = 1_000_000;
const STEPS: u64 = 18;
const TENANTS: [&str; 2] = ["t1", "t2"];

type NamesSeries = fn(&Labels) -> bool;
type NamesLine = fn(&Labels, &str) -> bool;

/// What requests for samples may name, and whether a series is meant.
const SERIES: [(&str, NamesSeries); 4] = [
    ("m1", |l| l.get("__name__") == Some("m1")),
    (r#"{pod="p2"}"#, |l| l.get("pod") == Some("p2")),
    (r#"{pod=~"p[045]",job="j"}"#, |l| ["p0", "p4", "p5"].map(Some).contains(&l.get("pod"))),
    (r#"{__name__=~".+"}"#, |_| true),
];

/// The same for lines.
const LINES: [(&str, NamesLine); 4] = [
    (r#"{app="a1"}"#, |l, _| l.get("app") == Some("a1")),
    (r#"{app="a2"} |= "b""#, |l, text| l.get("app") == Some("a2") && text.contains('b')),
    (r#"{app=~"a.*"} !~ "^a""#, |_, text| !text.starts_with('a')),
    (r#"{app=~".+"} |= "aa""#, |_, text| text.contains("aa")),
];

/// A request to delete, of those that are open.
#[derive(Clone, Debug)]
struct Request {
    /// Of samples in milliseconds, else of lines in nanoseconds; both ends included.
    times: (i64, i64),
    of_samples: bool,
    what: usize,
    /// From when on compactors carry it out.
    due_ms: i64,
    /// Whether one may have begun to.
    may_have_begun: bool,
}

/// What one tenant has.
#[derive(Debug, Default)]
struct Model {
    samples: BTreeMap<(Labels, i64), Value>,
    lines: BTreeSet<Line>,
    /// All values that were ever written at a time.
    written: BTreeMap<(Labels, i64), BTreeSet<Value>>,
    requests: BTreeMap<String, Request>,
    /// Named by a request that was withdrawn when some of it may have been deleted.
    unsure_samples: BTreeSet<(Labels, i64)>,
    unsure_lines: BTreeSet<Line>,
}

/// A history.
struct World {
    rng: Rng,
    store: Arc<FaultyStore>,
    clock: Arc<ManualClock>,
    limits: Limits,
    config: Config,
    max_block: u64,
    /// After how many failed requests a commit is given up, its outcome not known.
    attempts: u32,
    process: Process,
    models: BTreeMap<TenantId, Model>,
    serial: u64,
    /// Whether blocks go because there are too many bytes.
    by_bytes: bool,
    trace: Vec<String>,
    seen: Seen,
}

/// What happened in histories: were it nothing, they would show nothing.
#[derive(Debug, Default)]
struct Seen {
    merges: u64,
    /// Rounds in which a merge wrote more than one block.
    splits: u64,
    faults: usize,
    given_up: u64,
}

// === impl Request ===

impl Request {
    fn names_sample(&self, (labels, ts): &(Labels, i64)) -> bool {
        self.of_samples && (self.times.0..=self.times.1).contains(ts) && SERIES[self.what].1(labels)
    }

    fn names_line(&self, (labels, entry): &Line) -> bool {
        let (from, to) = self.times;
        !self.of_samples
            && (from..=to).contains(&entry.timestamp_ns)
            && LINES[self.what].1(labels, entry.text())
    }
}

// === impl Model ===

impl Model {
    fn write_sample(&mut self, labels: &Labels, ts: i64, value: &Value) {
        let key = (labels.clone(), ts);
        self.written.entry(key.clone()).or_default().insert(value.clone());
        let at = self.samples.entry(key).or_insert_with(|| value.clone());
        // What merges keep: `Value` is ordered so.
        *at = value.max(at).clone();
    }

    fn hides_sample(&self, key: &(Labels, i64)) -> bool {
        self.requests.values().any(|request| request.names_sample(key))
    }

    fn hides_line(&self, line: &Line) -> bool {
        self.requests.values().any(|request| request.names_line(line))
    }

    /// A request was carried out.
    fn finish(&mut self, id: &str) {
        let Some(request) = self.requests.remove(id) else { return };
        self.samples.retain(|key, _| !request.names_sample(key));
        self.lines.retain(|line| !request.names_line(line));
    }

    fn withdraw(&mut self, id: &str) {
        let Some(request) = self.requests.remove(id) else { return };
        if request.may_have_begun {
            let samples = self.samples.keys().filter(|key| request.names_sample(key));
            self.unsure_samples.extend(samples.cloned());
            let lines = self.lines.iter().filter(|line| request.names_line(line));
            self.unsure_lines.extend(lines.cloned());
        }
    }
}

// === impl World ===

impl World {
    fn new(seed: u64) -> Self {
        let rng = Rng::seeded(seed);
        let store = FaultyStore::new(memory(), seed);
        let clock = ManualClock::at_ms(START_MS);
        let hours = |n: u64| HumanDuration::from_secs(n * 3600);
        let mut limits = Limits { delete_request_cancel_period: hours(1), ..Limits::default() };
        let by_bytes = rng.below(5) == 0;
        if by_bytes {
            limits.compactor_blocks_retention_bytes = ByteSize(4_000 + rng.below(16_000));
            limits.retention_bytes = ByteSize(4_000 + rng.below(16_000));
        }
        if rng.below(3) == 0 {
            limits.compactor_blocks_retention_period = hours(10 + rng.below(60));
            limits.retention_period = hours(10 + rng.below(60));
        }
        if !by_bytes && rng.below(3) == 0 {
            let selector = r#"{app="a1"}"#.to_owned();
            let period = hours(5 + rng.below(60));
            limits.retention_stream = vec![StreamRetention { selector, priority: 1, period }];
        }
        let config = Config {
            min_blocks_to_merge: 2 + usize::try_from(rng.below(3)).unwrap(),
            max_blocks_per_merge: 4 + usize::try_from(rng.below(6)).unwrap(),
            delete_settle: hours(1),
            log_lines: [skald_blocks::LineForm::Packed, skald_blocks::LineForm::Plain]
                [usize::from(rng.below(4) == 0)],
            concurrency: 1 + usize::try_from(rng.below(2)).unwrap(),
            ..Config::default()
        };
        let max_block = [2_000, 4_000, 128 << 20][usize::try_from(rng.below(3)).unwrap()];
        let attempts = [1, 4][usize::try_from(rng.below(2)).unwrap()];
        let process = open(&store, &clock, &limits, &config, (max_block, attempts), seed << 16);
        let tenant = |name: &str| (TenantId::parse(name).unwrap(), Model::default());
        let models = TENANTS.map(tenant).into();
        let (serial, trace) = (0, Vec::new());
        Self {
            rng,
            store,
            clock,
            limits,
            config,
            max_block,
            attempts,
            process,
            models,
            serial,
            by_bytes,
            trace,
            seen: Seen::default(),
        }
    }

    fn below(&self, n: u64) -> i64 {
        i64::try_from(self.rng.below(n)).unwrap()
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn now_ms(&self) -> i64 {
        self.process.compactor.inner.parts.clock.now_ms()
    }

    fn other_process(&mut self, deletion_delay: Duration) -> Process {
        let seed = self.next_serial();
        let (store, config) = (&self.store, &self.config);
        let mut process = open(
            store,
            &self.clock,
            &self.limits,
            config,
            (self.max_block, self.attempts),
            seed | 1 << 40,
        );
        let inner = Arc::get_mut(&mut process.compactor.inner).unwrap();
        inner.parts.auto_deletion_delay = deletion_delay;
        process
    }

    fn any_tenant(&self) -> TenantId {
        TenantId::parse(TENANTS[usize::try_from(self.rng.below(2)).unwrap()]).unwrap()
    }

    async fn step(&mut self) {
        let what = self.rng.below(24);
        let told = match what {
            0..=3 => self.write_samples().await,
            4..=7 => self.write_lines().await,
            8 | 9 => self.request().await,
            10 => self.withdraw().await,
            11..=13 => {
                let ms = self.below(30) * HOUR_MS + self.below(5);
                self.clock.advance_ms(ms);
                format!("{ms} ms pass")
            }
            14 => self.compact(self.effort()).await,
            15 | 16 => self.compact_with_faults().await,
            17 => self.compact_and_give_up().await,
            18 | 19 => self.compact_twice_at_once().await,
            // As soon as it may be.
            20 | 21 => {
                let asked = self.request().await;
                self.clock.advance_ms(2 * HOUR_MS);
                format!("{asked}, 2 hours pass, {}", self.compact_with_faults().await)
            }
            22 => self.write_packs().await,
            _ => {
                let ms = self.rng.below(5) * 1_000;
                self.process = self.other_process(Duration::from_millis(ms));
                "another process".to_owned()
            }
        };
        self.trace.push(told);
    }

    /// The same samples as one to three replicas have them, each without some.
    async fn write_samples(&mut self) -> String {
        let tenant = self.any_tenant();
        let from = START_MS + self.below(40) * HOUR_MS / 2;
        let step = 1 + self.below(HOUR_MS.unsigned_abs() / 2);
        let series: Vec<(u64, i64)> =
            (0..1 + self.rng.below(6)).map(|_| (self.rng.below(10), self.below(5))).collect();
        let mut blocks = Vec::new();
        for source in ["a", "b", "c"].iter().take(1 + usize::try_from(self.rng.below(3)).unwrap()) {
            let mut rows = Vec::new();
            for (n, offset) in &series {
                let all: Vec<i64> = (0..12).map(|i| from + offset + i * step).collect();
                let times: Vec<i64> = all.into_iter().filter(|_| self.rng.below(8) > 0).collect();
                rows.push(self.row(*n, &times));
            }
            let model = self.models.get_mut(&tenant).unwrap();
            let mut samples = Samples::new();
            rows.iter().for_each(|row| samples_of(row, &mut samples));
            for ((labels, ts), values) in &samples {
                values.iter().for_each(|value| model.write_sample(labels, *ts, value));
            }
            if !samples.is_empty() {
                let id = u128::from(self.next_serial());
                let store = self.store.inner();
                blocks.push(metric_block_of(&store, &tenant, id, source, rows).await);
            }
        }
        self.commit(&tenant, &blocks).await;
        format!("{tenant} has samples in {} blocks from {from}", blocks.len())
    }

    /// A row whose values follow from its series and times, but for one in thirty.
    fn row(&self, n: u64, times: &[i64]) -> SeriesRow {
        let other = |t: &i64| if self.rng.below(30) == 0 { t + 1 } else { *t };
        let is_native = n % 3 == 2 && self.rng.below(8) > 0;
        if is_native {
            let at = |t: &i64| (*t, native(n + (other(t) % 3).unsigned_abs()));
            let all: Vec<_> = times.iter().map(at).collect();
            let histograms = all.chunks(5).map(histogram_chunk).collect();
            return SeriesRow { labels: series(n), histograms, ..SeriesRow::default() };
        }
        let values = [0.0, -0.0, 1.5, skald_model::stale_nan(), -7.0];
        let at = |t: &i64| (*t, values[usize::try_from(other(t).rem_euclid(5)).unwrap()]);
        let all: Vec<_> = times.iter().map(at).collect();
        SeriesRow {
            labels: series(n),
            floats: all.chunks(7).map(float_chunk).collect(),
            ..SeriesRow::default()
        }
    }

    async fn write_lines(&mut self) -> String {
        let tenant = self.any_tenant();
        let from = (START_MS + self.below(40) * HOUR_MS / 2) * NS_PER_MS;
        let step =
            [0, 1, 1_000_000, 1_800_000_000_001][usize::try_from(self.rng.below(4)).unwrap()];
        let texts = ["a", "b", "aa", "ba", "c aa b"];
        let all: Vec<Line> = (0..1 + self.below(20))
            .map(|i| {
                let text = texts[usize::try_from(self.rng.below(5)).unwrap()];
                let metadata = ["x", ""][usize::try_from(self.rng.below(2)).unwrap()];
                line(1 + self.rng.below(3), from + i / 2 * step, text, metadata)
            })
            .collect();
        let mut blocks = Vec::new();
        for source in ["a", "b", "c"].iter().take(1 + usize::try_from(self.rng.below(3)).unwrap()) {
            let lines: Vec<Line> = all.iter().filter(|_| self.rng.below(8) > 0).cloned().collect();
            if !lines.is_empty() {
                self.models.get_mut(&tenant).unwrap().lines.extend(lines.iter().cloned());
                let id = u128::from(self.next_serial());
                let store = self.store.inner();
                blocks.push(log_block_of(&store, &tenant, id, source, lines).await);
            }
        }
        self.commit(&tenant, &blocks).await;
        format!("{tenant} has lines in {} blocks from {from}", blocks.len())
    }

    /// Lines of one stream that are so many that they are copied from block to block as they are packed.
    async fn write_packs(&mut self) -> String {
        let tenant = self.any_tenant();
        let (from, stream) = (START_MS + self.below(40) * HOUR_MS / 2, 1 + self.rng.below(3));
        let text = ["a", "b"][usize::try_from(self.rng.below(2)).unwrap()].repeat(1_500);
        let of = |i: i64| line(stream, (from + i / 2) * NS_PER_MS, &format!("{text} {i}"), "x");
        let lines: Vec<Line> = (0..200).map(of).collect();
        self.models.get_mut(&tenant).unwrap().lines.extend(lines.iter().cloned());
        let id = u128::from(self.next_serial());
        let block = log_block_of(&self.store.inner(), &tenant, id, "a", lines).await;
        self.commit(&tenant, &[block]).await;
        format!("{tenant} has a pack of lines from {from}")
    }

    async fn commit(&self, tenant: &TenantId, blocks: &[BlockMeta]) {
        // As replicas flush: one after the other.
        for block in blocks {
            let change = Change { adds: vec![meta::to_catalog(block)], ..Change::default() };
            self.process.catalog.commit(tenant, change).await.unwrap();
        }
    }

    async fn request(&mut self) -> String {
        if self.by_bytes {
            return "nothing".to_owned();
        }
        let (tenant, of_samples) = (self.any_tenant(), self.rng.below(2) == 0);
        let unit = if of_samples { 1 } else { NS_PER_MS };
        let from = START_MS + self.below(40) * HOUR_MS / 2;
        let times = (from * unit, (from + self.below(20) * HOUR_MS) * unit);
        let what = usize::try_from(self.rng.below(4)).unwrap();
        let id = format!("d{}", self.next_serial());
        let query = if of_samples { SERIES[what].0 } else { LINES[what].0 };
        let signal = if of_samples { Signal::Metrics } else { Signal::Unspecified };
        let ns = |t: i64| if of_samples { t * NS_PER_MS } else { t };
        let delete = DeleteRequest {
            id: id.clone(),
            query: query.to_owned(),
            start_ns: ns(times.0),
            end_ns: ns(times.1),
            created_ms: self.now_ms(),
            finished_ms: 0,
            signal: signal.into(),
        };
        let change = Change { deletes: vec![delete], ..Change::default() };
        self.process.catalog.commit(&tenant, change).await.unwrap();
        let due_ms = self.now_ms() + 2 * HOUR_MS;
        let request = Request { times, of_samples, what, due_ms, may_have_begun: false };
        let told = format!("{tenant} asks {id} {query} {times:?}");
        self.models.get_mut(&tenant).unwrap().requests.insert(id, request);
        told
    }

    async fn withdraw(&mut self) -> String {
        let tenant = self.any_tenant();
        let model = self.models.get_mut(&tenant).unwrap();
        let Some(id) = model.requests.keys().next().cloned() else { return "nothing".to_owned() };
        model.withdraw(&id);
        let change = Change { forget_deletes: vec![id.clone()], ..Change::default() };
        self.process.catalog.commit(&tenant, change).await.unwrap();
        format!("{tenant} withdraws {id}")
    }

    fn effort(&self) -> Effort {
        if self.rng.below(2) == 0 { Effort::Full } else { Effort::Routine }
    }

    /// Requests that are due may be carried out from now on.
    fn note_due(&mut self) {
        let now = self.now_ms();
        for request in self.models.values_mut().flat_map(|model| model.requests.values_mut()) {
            request.may_have_begun |= request.due_ms <= now;
        }
    }

    async fn compact(&mut self, effort: Effort) -> String {
        self.note_due();
        let report = self.process.compactor.round(effort).await.expect("compact without faults");
        self.seen.merges += report.merges;
        self.seen.splits += u64::from(report.blocks_written > report.merges);
        format!("compacted: {report:?}")
    }

    async fn compact_with_faults(&mut self) -> String {
        self.note_due();
        let faults = [
            Fault::ErrorBefore,
            Fault::ErrorAfter,
            Fault::FalseConflict,
            Fault::OwnConflict,
            Fault::TornGet,
            Fault::BrokenGet,
            Fault::StaleList,
        ];
        for op in [Op::Put, Op::Get, Op::Head, Op::Delete, Op::List] {
            let fault = faults[usize::try_from(self.rng.below(7)).unwrap()];
            self.store.sometimes(op, fault, 0.02 * self.below(10) as f64);
        }
        let op = [Op::Put, Op::Get, Op::Head][usize::try_from(self.rng.below(3)).unwrap()];
        match self.rng.below(4) {
            0 | 1 => self.store.on_nth(op, 1 + self.rng.below(20), Fault::Halt),
            // A commit may have landed, and nobody can say.
            2 => {
                self.store.on_nth(Op::Put, 1 + self.rng.below(6), Fault::ErrorAfter);
                self.store.sometimes(Op::Get, Fault::ErrorBefore, 0.1);
            }
            _ => {}
        }
        let before = self.store.injected().len();
        let report = self.process.compactor.round(self.effort()).await;
        self.seen.faults += self.store.injected().len() - before;
        self.store.clear();
        format!("compacted with faults: {report:?}")
    }

    async fn compact_and_give_up(&mut self) -> String {
        self.note_due();
        for op in [Op::Put, Op::Get, Op::Head] {
            self.store.sometimes(op, Fault::Latency(Duration::from_secs(1)), 0.5);
        }
        let wait = Duration::from_millis(self.rng.below(40_000));
        let done = tokio::time::timeout(wait, self.process.compactor.round(self.effort())).await;
        self.store.clear();
        self.seen.given_up += u64::from(done.is_err());
        format!("compacted for {wait:?}: {done:?}")
    }

    async fn compact_twice_at_once(&mut self) -> String {
        self.note_due();
        for op in [Op::Put, Op::Get] {
            self.store.sometimes(op, Fault::Latency(Duration::from_millis(10)), 0.5);
        }
        // Neither knows what the other reads.
        let other = self.other_process(Duration::from_secs(3600));
        let this = self.process.compactor.clone();
        let done = tokio::join!(this.round(self.effort()), other.compactor.round(self.effort()));
        self.store.clear();
        format!("compacted twice: {done:?}")
    }

    /// Compares what is stored with the models.
    async fn check(&mut self) {
        let store = self.store.inner();
        let cpu = self.process.compactor.inner.parts.cpu.clone();
        let now_ns = self.now_ms() * NS_PER_MS;
        let reader =
            open(&self.store, &self.clock, &self.limits, &self.config, (1, 4), 1 << 50).catalog;
        for (tenant, model) in &mut self.models {
            let view = reader.refresh(tenant).await.unwrap();
            let ids: Vec<String> = model.requests.keys().cloned().collect();
            for id in ids {
                if view.deletes[&id].finished_ms != 0 {
                    assert!(model.requests[&id].due_ms <= now_ns / NS_PER_MS, "{id} was early");
                    model.finish(&id);
                }
            }
            let blocks: Vec<BlockMeta> =
                view.blocks.iter().map(|b| meta::from_catalog(b).unwrap()).collect();
            for block in &blocks {
                verify_block(&store, tenant, block).await.unwrap();
                let one = block.n_series == 1 || block.signal == Kind::Logs;
                let small = block.level == 0 || block.size_bytes <= self.max_block || one;
                assert!(small, "{block:?}");
            }
            let first_end = |kind: Kind| {
                let of_kind = blocks.iter().filter(|b| b.signal == kind);
                of_kind.map(|b| b.max_time).min().unwrap_or(i64::MAX)
            };
            let stored =
                Stored { store: Arc::clone(&store), tenant: tenant.clone(), cpu: cpu.clone() };
            let expiry = Expiry {
                limits: &self.limits,
                now_ns,
                sample_end: if self.by_bytes { first_end(Kind::Metrics) } else { i64::MIN },
                line_end: if self.by_bytes { first_end(Kind::Logs) } else { i64::MIN },
            };
            check_samples(model, &stored, &view, &blocks, &expiry).await;
            check_lines(model, &stored, &view, &blocks, &expiry).await;
        }
    }
}

/// What may have gone by itself.
struct Expiry<'a> {
    limits: &'a Limits,
    now_ns: i64,
    /// What is not behind this may have gone because there were too many bytes.
    sample_end: i64,
    line_end: i64,
}

// === impl Expiry ===

impl Expiry<'_> {
    fn has_sample(&self, ts: i64) -> bool {
        let period = self.limits.compactor_blocks_retention_period;
        let is_past = !period.is_zero() && ts < self.now_ns / NS_PER_MS - period.as_millis();
        is_past || ts <= self.sample_end
    }

    fn has_line(&self, (labels, entry): &Line) -> bool {
        let of_stream = self.limits.retention_stream.first();
        let rule = of_stream.filter(|_| labels.get("app") == Some("a1"));
        let period = rule.map_or(self.limits.retention_period, |rule| rule.period);
        let is_past = !period.is_zero() && entry.timestamp_ns < self.now_ns - period.as_nanos();
        is_past || entry.timestamp_ns <= self.line_end
    }
}

async fn check_samples(
    model: &mut Model,
    stored: &Stored,
    view: &skald_catalog::View,
    blocks: &[BlockMeta],
    expiry: &Expiry<'_>,
) {
    // A reader that knows nothing of merging.
    let rows = metric_rows_of(&stored.store, &stored.tenant, blocks).await;
    let mut found = Samples::new();
    rows.iter().for_each(|row| samples_of(row, &mut found));
    let found: BTreeMap<(Labels, i64), Value> = found
        .into_iter()
        .filter(|(key, _)| !model.hides_sample(key))
        .map(|(key, values)| (key, values.into_iter().max().unwrap()))
        .collect();
    for (key, value) in &found {
        let wanted = model.samples.get(key);
        assert!(wanted.is_some(), "{key:?} is {value:?} and should not be there");
        if wanted != Some(value) {
            let may_differ = model.unsure_samples.contains(key) || expiry.has_sample(key.1);
            assert!(
                may_differ && model.written[key].contains(value),
                "{key:?} is {value:?} instead of {wanted:?}"
            );
        }
    }
    let visible: Vec<_> =
        model.samples.keys().filter(|key| !model.hides_sample(key)).cloned().collect();
    for key in visible {
        let may_be_gone = model.unsure_samples.remove(&key) || expiry.has_sample(key.1);
        match found.get(&key) {
            Some(value) => {
                model.samples.insert(key, value.clone());
            }
            None => {
                assert!(may_be_gone, "{key:?} is lost");
                model.samples.remove(&key);
            }
        }
    }
    // And the one that exports use.
    let mut read = stored
        .samples(view, &of_kind(blocks, Kind::Metrics), Vec::new(), TimeRange::ALL)
        .await
        .unwrap();
    let mut exported = BTreeMap::new();
    while let Some(batch) = read.next().await.unwrap() {
        for s in batch {
            let floats =
                s.timestamps.iter().zip(&s.values).map(|(t, v)| (*t, Value::Float(v.to_bits())));
            let histograms = s.histograms.iter().map(|(t, h)| (*t, Value::Histogram(encoded(h))));
            for (t, value) in floats.chain(histograms) {
                let before = exported.insert((s.labels.clone(), t), value);
                assert!(before.is_none(), "{:?} has {t} twice", s.labels);
            }
        }
    }
    assert!(exported == found, "an export differs");
}

fn of_kind(blocks: &[BlockMeta], kind: Kind) -> Vec<BlockMeta> {
    blocks.iter().filter(|b| b.signal == kind).cloned().collect()
}

fn encoded(histogram: &skald_model::Histogram) -> Vec<u8> {
    let mut bytes = Vec::new();
    skald_codec::histogram::encode(histogram, &mut bytes);
    bytes
}

async fn check_lines(
    model: &mut Model,
    stored: &Stored,
    view: &skald_catalog::View,
    blocks: &[BlockMeta],
    expiry: &Expiry<'_>,
) {
    let found: BTreeSet<Line> = all_lines_of(&stored.store, &stored.tenant, blocks)
        .await
        .into_iter()
        .filter(|line| !model.hides_line(line))
        .collect();
    let stray = found.iter().find(|line| !model.lines.contains(line));
    assert!(stray.is_none(), "{stray:?} should not be there");
    let visible: Vec<_> =
        model.lines.iter().filter(|line| !model.hides_line(line)).cloned().collect();
    for line in visible {
        let may_be_gone = model.unsure_lines.remove(&line) || expiry.has_line(&line);
        if !found.contains(&line) {
            assert!(may_be_gone, "{line:?} is lost");
            model.lines.remove(&line);
        }
    }
    let mut read =
        stored.lines(view, &of_kind(blocks, Kind::Logs), None, TimeRange::ALL).await.unwrap();
    let mut exported = BTreeSet::new();
    while let Some(batch) = read.next().await.unwrap() {
        for stream in batch {
            for entry in stream.entries {
                let line: (Labels, LogEntry) = (stream.labels.clone(), entry);
                assert!(exported.insert(line.clone()), "{line:?} is there twice");
            }
        }
    }
    assert!(exported == found, "an export differs");
}

fn open(
    store: &Arc<FaultyStore>,
    clock: &Arc<ManualClock>,
    limits: &Limits,
    config: &Config,
    (max_block, attempts): (u64, u32),
    seed: u64,
) -> Process {
    let settings = skald_catalog::Config {
        checkpoint_interval: 3,
        commit_attempts: attempts,
        ..Default::default()
    };
    let store = Arc::clone(store) as Arc<dyn ObjectStore>;
    let (config, limits) = (config.clone(), limits.clone());
    let mut process = Process::at(store, config, limits, seed, clock, settings);
    // Smaller than anybody may ask for: there are few rows.
    let inner = Arc::get_mut(&mut process.compactor.inner).unwrap();
    inner.config.max_block_size = ByteSize(max_block);
    inner.config.merge_memory = ByteSize(if max_block < 3_000 { 700 } else { 256 << 20 });
    process
}

/// One history, and what was told of it when it failed.
#[expect(clippy::print_stderr, reason = "tells the steps of a history that failed")]
fn history(seed: u64) -> Result<Seen, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let mut world = World::new(seed);
    let run = std::panic::AssertUnwindSafe(|| {
        runtime.unwrap().block_on(async {
            for _ in 0..STEPS {
                world.step().await;
                world.check().await;
            }
            // All that is due is done in the end, and then there is nothing to do.
            world.clock.advance_ms(26 * HOUR_MS);
            world.process = world.other_process(Duration::ZERO);
            let all = world.compact(Effort::Full).await;
            world.trace.push(all);
            world.check().await;
            for model in world.models.values() {
                assert!(model.requests.is_empty(), "{:?} is not carried out", model.requests);
            }
            // Blocks that were large before something was deleted may be merged then.
            let mut rounds = 0;
            loop {
                let again = world.process.compactor.compact_all().await.unwrap();
                if (again.merges, again.blocks_expired, again.conflicts) == (0, 0, 0) {
                    break;
                }
                rounds += 1;
                assert!(rounds < 4, "there is no end: {again:?}");
            }
            world.check().await;
        });
    });
    let result = std::panic::catch_unwind(run);
    if result.is_err() || std::env::var("COMPACTION_TRACE").is_ok() {
        eprintln!("history {seed}:\n  {}", world.trace.join("\n  "));
    }
    let seen = world.seen;
    result
        .map(|()| seen)
        .map_err(|_| format!("history {seed} fails; COMPACTION_SEED={seed} repeats it"))
}

#[test]
fn histories_lose_nothing_double_nothing_and_bring_nothing_back() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let first = number("COMPACTION_SEED").unwrap_or(0);
    let default = if number("COMPACTION_SEED").is_some() { 1 } else { 12 };
    let n = number("COMPACTION_HISTORIES").unwrap_or(default);
    let mut all = Seen::default();
    for seed in first..first + n {
        let seen = history(seed).unwrap_or_else(|told| panic!("{told}"));
        all.merges += seen.merges;
        all.splits += seen.splits;
        all.faults += seen.faults;
        all.given_up += seen.given_up;
    }
    let Seen { merges, splits, faults, given_up } = all;
    assert!(n < 12 || (merges > 0 && splits > 0 && faults > 0 && given_up > 0), "{all:?}");
}
