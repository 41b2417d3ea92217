//! Series as the pods of a Kubernetes cluster have them.

use bytes::Bytes;
use skald_blocks::SeriesRow;
use skald_codec::chunk::encode_floats;
use skald_model::Labels;

use crate::{Made, T0};

const INTERVAL: i64 = 15_000;
pub(crate) const LES: [&str; 11] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf"];
const SHARES: [f64; 11] = [0.08, 0.21, 0.42, 0.61, 0.78, 0.9, 0.955, 0.981, 0.994, 0.998, 1.0];

#[derive(Clone, Copy)]
enum Kind {
    Const(f64),
    /// Start, step, units per 1.0.
    Gauge(f64, f64, f64),
    /// Multiples of a page, around so many.
    Memory(f64),
    /// Mean increase of an active series.
    Count(f64),
    Seconds(f64),
    /// Which `le` of a histogram.
    Bucket(usize),
    Sum,
    HistogramCount,
}

struct Slot {
    name: String,
    labels: Vec<(&'static str, String)>,
    kind: Kind,
    shape: &'static str,
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap_or(0)]
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn shape(kind: Kind) -> &'static str {
    match kind {
        Kind::Const(_) => "constants",
        Kind::Gauge(..) => "gauges",
        Kind::Memory(_) => "memory",
        Kind::Count(_) => "counters",
        Kind::Seconds(_) => "cpu seconds",
        Kind::Bucket(_) => "buckets",
        Kind::Sum => "histogram sums",
        Kind::HistogramCount => "histogram counts",
    }
}

fn slots() -> Vec<Slot> {
    let mut out = Vec::new();
    let mut add = |name: &str, labels: &[(&'static str, &str)], kind: Kind| {
        let labels = labels.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        out.push(Slot { name: name.to_owned(), labels, kind, shape: shape(kind) });
    };
    for handler in ["/api/v1/items", "/api/v1/items/:id", "/api/v1/checkout", "/healthz"] {
        let of = ("handler", handler);
        for (i, le) in LES.iter().enumerate() {
            let labels = [of, ("le", *le)];
            add("http_request_duration_seconds_bucket", &labels, Kind::Bucket(i));
        }
        add("http_request_duration_seconds_sum", &[of], Kind::Sum);
        add("http_request_duration_seconds_count", &[of], Kind::HistogramCount);
        for method in ["GET", "POST"] {
            for (code, rate) in [("200", 40.0), ("404", 2.0), ("500", 0.1)] {
                let labels = [of, ("method", method), ("code", code)];
                add("http_requests_total", &labels, Kind::Count(rate));
            }
        }
    }
    for method in ["Get", "List"] {
        for (code, rate) in
            [("OK", 25.0), ("NotFound", 1.0), ("Unavailable", 0.02), ("DeadlineExceeded", 0.05)]
        {
            let labels = [("grpc_method", method), ("grpc_code", code)];
            add("grpc_server_handled_total", &labels, Kind::Count(rate));
        }
    }
    for (i, size) in [3e8, 2.6e8, 6e7, 3.5e8, 5e7, 7e7, 2.7e8].into_iter().enumerate() {
        add(&format!("memory_{i}_bytes"), &[], Kind::Memory(size));
    }
    for (i, rate) in
        [150.0, 3.0, 9e4, 300.0, 9e4, 300.0, 2e4, 2e4, 0.3, 0.0005].into_iter().enumerate()
    {
        add(&format!("counter_{i}_total"), &[], Kind::Count(rate));
    }
    for (i, rate) in [2.5, 0.0004, 2.2].into_iter().enumerate() {
        add(&format!("seconds_{i}_total"), &[], Kind::Seconds(rate));
    }
    let gauges = [
        (140.0, 4.0, 1.0),
        (14.0, 0.6, 1.0),
        (60.0, 2.0, 1.0),
        (0.012, 0.003, 1e9),
        (3.0, 1.5, 1.0),
        (48.0, 0.6, 10.0),
    ];
    for (i, (start, step, units)) in gauges.into_iter().enumerate() {
        add(&format!("gauge_{i}"), &[], Kind::Gauge(start, step, units));
    }
    for i in 0..15 {
        let v = [0.0, 1.0, 0.25, 1_763_000_000.25, 1_073_741_824.0][i % 5];
        add(&format!("constant_{i:02}"), &[], Kind::Const(v));
    }
    out
}

/// Moves the series of a pod on by one scrape.
fn step(slots: &[Slot], classes: &[u8], values: &mut [f64], activity: f64, rng: &mut Rng) {
    let reset = rng.below(5000) == 0;
    let (mut observed, mut last) = (0.0, 0.0);
    for ((slot, class), v) in slots.iter().zip(classes).zip(values) {
        let counter = !matches!(slot.kind, Kind::Const(_) | Kind::Gauge(..) | Kind::Memory(_));
        if reset && counter {
            *v = 0.0;
        }
        match slot.kind {
            Kind::Const(c) => *v = c,
            Kind::Gauge(start, step, units) if rng.below(100) < 50 => {
                let next = *v + (rng.unit() - 0.5) * 2.0 * step + (start - *v) * 0.02;
                *v = (next.max(0.0) * units).round() / units;
            }
            Kind::Memory(size) if rng.below(100) < 40 => {
                let next = *v + (rng.unit() - 0.5) * 0.01 * size + (size - *v) * 0.005;
                *v = (next.max(0.0) / 4096.0).round() * 4096.0;
            }
            Kind::Count(rate) => match class {
                0 => {}
                1 if rng.below(100) < 10 => *v += (1 + rng.below(3)) as f64,
                1 => {}
                _ => *v += (rate * activity * (0.5 + rng.unit()) + rng.unit()).floor(),
            },
            Kind::Seconds(rate) if *class != 0 => {
                *v = ((*v + rate * activity * (0.5 + rng.unit())) * 1e9).round() / 1e9;
            }
            Kind::Bucket(i) => {
                if i == 0 {
                    observed = match class {
                        0 => 0.0,
                        1 => rng.below(3) as f64,
                        _ => (60.0 * activity * (0.5 + rng.unit())).floor(),
                    };
                    last = 0.0;
                }
                if observed > 0.0 {
                    last = (observed * SHARES[i] + rng.unit()).floor().clamp(last, observed);
                    last = if i == 10 { observed } else { last };
                    *v += last;
                }
            }
            Kind::Sum if observed > 0.0 => *v += observed * 0.07 * (0.5 + rng.unit()),
            Kind::HistogramCount => *v += observed,
            _ => {}
        }
    }
}

/// The rows of a pod, chunks of `len` samples.
pub(crate) fn pod(n: u64, scrapes: usize, len: usize, jitter: u64) -> Vec<Made> {
    let slots = slots();
    let mut rng = Rng((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let shares = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3];
    let classes: Vec<u8> = slots.iter().map(|_| rng.one_of(&shares)).collect();
    let activity = rng.one_of(&[0.05, 0.4, 1.0, 4.0]);
    let mut values: Vec<f64> = slots
        .iter()
        .map(|slot| match slot.kind {
            Kind::Gauge(start, _, units) => (start * (0.5 + rng.unit()) * units).round() / units,
            Kind::Memory(size) => (size * (0.5 + rng.unit()) / 4096.0).round() * 4096.0,
            _ => 0.0,
        })
        .collect();
    let offset = rng.below(13_500).cast_signed();
    let mut times = Vec::with_capacity(scrapes);
    let mut columns: Vec<Vec<f64>> = vec![Vec::with_capacity(scrapes); slots.len()];
    for i in 0..scrapes {
        let late = rng.below(jitter + 1).cast_signed();
        times.push(T0 + i as i64 * INTERVAL + offset + late);
        step(&slots, &classes, &mut values, activity, &mut rng);
        columns.iter_mut().zip(&values).for_each(|(column, v)| column.push(*v));
    }
    let app = n / 5;
    let target = [
        ("app", format!("app-{app}")),
        ("cluster", format!("prod-{}", app % 3)),
        ("container", format!("app-{app}")),
        ("endpoint", "http-metrics".to_owned()),
        ("instance", format!("10.{}.{}.7:8080", n % 250, n / 250)),
        ("job", format!("team-{}/app-{app}", app % 40)),
        ("namespace", format!("team-{}", app % 40)),
        ("node", format!("ip-10-0-0-{}.eu-west-1.compute.internal", n % 11)),
        ("pod", format!("app-{app}-{:010x}-{:05x}", Rng(app + 1).next() >> 24, rng.next() >> 44)),
        ("region", "eu-west-1".to_owned()),
    ];
    slots
        .iter()
        .zip(columns)
        .map(|(slot, column)| {
            let name = [("__name__", slot.name.clone())];
            let labels = name.into_iter().chain(target.clone()).chain(slot.labels.clone());
            let floats = chunks(&times, &column, len);
            let labels = Labels::from_pairs(labels);
            Made { row: SeriesRow { labels, floats, ..SeriesRow::default() }, shape: slot.shape }
        })
        .collect()
}

/// A column in chunks of `len` samples.
pub(crate) fn chunks(times: &[i64], values: &[f64], len: usize) -> Vec<Bytes> {
    let chunk = |(times, values): (&[i64], &[f64])| {
        let mut out = Vec::new();
        encode_floats(times, values, &mut out);
        Bytes::from(out)
    };
    times.chunks(len).zip(values.chunks(len)).map(chunk).collect()
}
