//! The data both sides get: two hours every 15 s, with everything that is hard for a query engine.

mod histogram;

use skald_proto::public::prometheus::{Histogram, Label};
use skald_testkit::Client;
use skald_testkit::payload::exact::{Sample, TimeSeries, WriteRequest};
use skald_testkit::payload::{REMOTE_WRITE_V1, snappy};

use self::histogram::Buckets;
use skald_testkit::rng::Rng;

/// Seconds since the epoch.
pub const START_S: i64 = 1_700_006_400;
pub const END_S: i64 = START_S + 7200;

const INTERVAL_MS: i64 = 15_000;
/// Samples of so much time go into one request.
const SLICE_MS: i64 = 600_000;
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// One series with its samples in time order.
#[derive(Debug, Default)]
struct Series {
    labels: Vec<(&'static str, String)>,
    floats: Vec<(i64, f64)>,
    histograms: Vec<Histogram>,
}

/// Times at which a target was scraped, in milliseconds: with its offset, some jitter, and gaps.
fn scrapes(rng: &mut Rng) -> Vec<i64> {
    let offset = rng.between(0, INTERVAL_MS);
    let n = (END_S - START_S) * 1000 / INTERVAL_MS;
    let mut out = Vec::new();
    for i in 0..n {
        let jitter = if rng.chance(10) { rng.between(-4, 5) } else { 0 };
        if !rng.chance(2) {
            out.push((START_S * 1000 + offset + i * INTERVAL_MS + jitter).max(START_S * 1000));
        }
    }
    out
}

impl Series {
    fn new(name: &'static str, labels: &[(&'static str, &str)]) -> Self {
        let mut all = vec![("__name__", name.to_owned())];
        all.extend(labels.iter().map(|(n, v)| (*n, (*v).to_owned())));
        all.sort_unstable();
        Self { labels: all, ..Self::default() }
    }

    /// What lies in the slice that begins at `from`; runs of floats and of histograms apart, because
    /// either would be out of order behind the other.
    fn slice(&self, from: i64) -> Vec<TimeSeries> {
        let within = |t: i64| (from..from + SLICE_MS).contains(&t);
        let label = |(n, v): &(&str, String)| Label { name: (*n).to_owned(), value: v.clone() };
        let labels: Vec<Label> = self.labels.iter().map(label).collect();
        let mut floats = self.floats.iter().filter(|(t, _)| within(*t)).peekable();
        let mut histograms = self.histograms.iter().filter(|h| within(h.timestamp)).peekable();
        let mut out = Vec::new();
        loop {
            let until = histograms.peek().map_or(i64::MAX, |h| h.timestamp);
            let samples: Vec<Sample> = std::iter::from_fn(|| {
                floats.next_if(|(t, _)| *t < until).map(|(t, v)| Sample::new(*t, *v))
            })
            .collect();
            let until = floats.peek().map_or(i64::MAX, |(t, _)| *t);
            let run: Vec<Histogram> =
                std::iter::from_fn(|| histograms.next_if(|h| h.timestamp < until).cloned())
                    .collect();
            if samples.is_empty() && run.is_empty() {
                return out;
            }
            let of = |samples, histograms| TimeSeries {
                labels: labels.clone(),
                samples,
                exemplars: Vec::new(),
                histograms,
            };
            out.extend([of(samples, Vec::new()), of(Vec::new(), run)]);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn all() -> Vec<Series> {
    let mut rng = Rng::new(3);
    let mut out = Vec::new();
    for job in ["api", "db"] {
        for instance in ["i1", "i2", "i3"] {
            let times = scrapes(&mut rng);
            let target: [(&'static str, &str); 2] = [("job", job), ("instance", instance)];
            for code in ["200", "404", "500"] {
                let [a, b] = target;
                let mut s = Series::new("requests_total", &[a, b, ("code", code)]);
                s.floats = counter(&mut rng, &times);
                out.push(s);
            }
            let mut s = Series::new("memory_bytes", &target);
            s.floats = times.iter().map(|t| (*t, rng.between(1, 4000) as f64 * 1024.0)).collect();
            out.push(s);
            let mut s = Series::new("native", &target);
            s.histograms = Buckets::new(1).counter(&mut rng, &times);
            out.push(s);
            // A new version from the middle on; the old one goes stale.
            let middle = times.len() / 2;
            for (version, part) in [("1", &times[..middle]), ("2", &times[middle..])] {
                let [a, b] = target;
                let mut s = Series::new("target_info", &[a, b, ("version", version)]);
                s.floats = part.iter().map(|t| (*t, 1.0)).collect();
                if version == "1" {
                    s.floats.extend(times.get(middle).map(|t| (*t, STALE)));
                }
                out.push(s);
            }
        }
        out.extend(classic(&mut rng, job));
        let times = scrapes(&mut rng);
        let mut s = Series::new("native_gauge", &[("job", job)]);
        s.histograms = Buckets::new(0).gauge(&mut rng, &times);
        out.push(s);
        let mut s = Series::new("custom", &[("job", job)]);
        let bounds: &[f64] = if job == "api" { &[0.1, 1.0, 5.0] } else { &[0.5, 1.0, 5.0, 10.0] };
        s.histograms = Buckets::custom(bounds).counter(&mut rng, &times);
        out.push(s);
    }
    for (room, base) in [("attic", 25.0), ("cellar", 12.0), ("kitchen", 21.0)] {
        let mut s = Series::new("temperature", &[("room", room)]);
        s.floats = gauge(&mut rng, base);
        out.push(s);
    }
    out.extend(odd(&mut rng));
    // Which of equal samples `topk` takes depends on the order of series, which is by age in Prometheus.
    out.sort_by(|a, b| a.labels.cmp(&b.labels));
    out
}

/// Counts up, and begins anew now and then.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn counter(rng: &mut Rng, times: &[i64]) -> Vec<(i64, f64)> {
    let mut total = 0.0;
    let step = |t: &i64| {
        total = if rng.chance(1) { 0.0 } else { total + rng.between(0, 30) as f64 };
        (*t, total)
    };
    times.iter().map(step).collect()
}

/// A random walk with stale markers before its gaps.
fn gauge(rng: &mut Rng, base: f64) -> Vec<(i64, f64)> {
    let times = scrapes(rng);
    let mut v = base;
    let mut out = Vec::new();
    let mut away = 0;
    for t in times {
        if away > 0 {
            away -= 1;
        } else if rng.chance(2) {
            out.push((t, STALE));
            away = rng.between(0, 30);
        } else {
            v += rng.unit() - 0.5;
            out.push((t, v));
        }
    }
    out
}

/// The buckets, sum and count of a classic histogram.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn classic(rng: &mut Rng, job: &str) -> Vec<Series> {
    const BOUNDS: [&str; 6] = ["0.1", "0.5", "1", "5", "10", "+Inf"];
    let times = scrapes(rng);
    let mut out: Vec<Series> = BOUNDS
        .iter()
        .map(|le| Series::new("latency_bucket", &[("job", job), ("le", le)]))
        .chain(["latency_sum", "latency_count"].map(|name| Series::new(name, &[("job", job)])))
        .collect();
    let mut counts = [0.0; BOUNDS.len()];
    let mut sum = 0.0;
    for t in times {
        if rng.chance(1) {
            (counts, sum) = ([0.0; BOUNDS.len()], 0.0);
        }
        let mut more = 0.0;
        for count in &mut counts {
            more += rng.between(0, 5) as f64;
            *count += more;
        }
        sum += more * rng.unit();
        let all = counts.iter().chain([&sum, &counts[BOUNDS.len() - 1]]);
        out.iter_mut().zip(all).for_each(|(s, v)| s.floats.push((t, *v)));
    }
    out
}

/// Values at the edges, and series that come late or have samples of both kinds.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn odd(rng: &mut Rng) -> Vec<Series> {
    let times = scrapes(rng);
    let with = |kind: &str, v: &mut dyn FnMut(usize) -> f64| {
        let mut s = Series::new("odd", &[("kind", kind)]);
        s.floats = times.iter().enumerate().map(|(i, t)| (*t, v(i))).collect();
        s
    };
    let nan = f64::from_bits(0x7ff8_0000_0000_0001);
    let mut out = vec![
        with("nan", &mut |_| nan),
        with("inf", &mut |_| f64::INFINITY),
        with("neginf", &mut |_| f64::NEG_INFINITY),
        with("negzero", &mut |_| -0.0),
        with("zero", &mut |_| 0.0),
        with("tiny", &mut |i| 5e-324 * (i % 7) as f64),
        with("huge", &mut |i| if i % 3 == 0 { f64::MAX } else { 1e308 }),
        with("turns", &mut |i| [1.0, nan, -1.0, f64::INFINITY, 0.0][i % 5]),
        with("fraction", &mut |i| i as f64 / 3.0 - 50.0),
    ];
    let mut late = Series::new("sparse", &[("kind", "late")]);
    late.floats = times.iter().skip(times.len() / 2).step_by(9).map(|t| (*t, 1.5)).collect();
    out.push(late);
    for (value, ab) in [(1.0, "x"), (2.0, "y")] {
        let mut dotted = Series::new("dotted.name", &[("a.b", ab)]);
        dotted.floats = times.iter().map(|t| (*t, value)).collect();
        out.push(dotted);
    }
    for (kind, every) in [("alternating", 2), ("rarely", 40)] {
        let mut s = Series::new("mixed", &[("kind", kind)]);
        let (mut floats, mut others) = (Vec::new(), Vec::new());
        for (i, t) in times.iter().enumerate() {
            if i % every == 0 { others.push(*t) } else { floats.push(*t) }
        }
        s.floats = counter(rng, &floats);
        s.histograms = Buckets::new(0).counter(rng, &others);
        out.push(s);
    }
    out
}

/// Pushes everything through remote write at `path`, oldest first.
pub async fn load(client: &Client, path: &str) -> Result<(), String> {
    let series = all();
    let mut from = START_S * 1000;
    while from < END_S * 1000 + SLICE_MS {
        let slices = series.iter().flat_map(|s| s.slice(from));
        let timeseries = slices.filter(|s| !s.samples.is_empty() || !s.histograms.is_empty());
        let body = WriteRequest { timeseries: timeseries.collect(), metadata: Vec::new() };
        let reply = client.post(path, &REMOTE_WRITE_V1, snappy(&body)).await;
        if !reply.status.is_success() {
            return Err(format!("{}{path}: {} {}", client.base(), reply.status, reply.text()));
        }
        from += SLICE_MS;
    }
    Ok(())
}
