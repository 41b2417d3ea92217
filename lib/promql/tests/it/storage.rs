//! A source in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use skald_model::{BucketCounts, Histogram, Labels, Matcher, ResetHint, Series, Span};
use skald_promql::{FloatHistogram, Samples, Select, SeriesSet, SeriesSource, SourceError};

use crate::dsl::{Item, SeriesLine};

#[derive(Clone, Debug)]
enum Sample {
    Float(f64),
    Histogram(Histogram),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    series: BTreeMap<Labels, BTreeMap<i64, Sample>>,
    /// Start timestamps of samples that have one.
    starts: BTreeMap<Labels, BTreeMap<i64, i64>>,
}

/// Series with their start timestamps.
#[derive(Debug, Default)]
struct Found(Vec<(Series, BTreeMap<i64, i64>)>);

impl Memory {
    pub(crate) fn load(&mut self, step_ms: i64, lines: &[SeriesLine], nhcb: bool) {
        for line in lines {
            let series = self.series.entry(line.labels.clone()).or_default();
            let starts = self.starts.entry(line.labels.clone()).or_default();
            for (i, item) in line.items.iter().enumerate() {
                let t = step_ms * i64::try_from(i).unwrap();
                if let Some(Some(offset)) = line.starts.get(i) {
                    starts.insert(t, t + offset);
                }
                match item {
                    Item::Gap => {}
                    Item::Float(v) => drop(series.insert(t, Sample::Float(*v))),
                    Item::Histogram(h, _) => {
                        drop(series.insert(t, Sample::Histogram((**h).clone())));
                    }
                }
            }
        }
        if nhcb {
            self.convert(step_ms, lines);
        }
        self.hint();
    }

    /// Says "no reset" where there was none, as a time series database does that has looked.
    fn hint(&mut self) {
        for samples in self.series.values_mut() {
            let mut before: Option<FloatHistogram> = None;
            for sample in samples.values_mut() {
                let Sample::Histogram(h) = sample else {
                    before = None;
                    continue;
                };
                let mut now = FloatHistogram::from(&*h);
                if h.reset_hint == ResetHint::Unknown || h.reset_hint == ResetHint::No {
                    now.reset_hint = ResetHint::Unknown;
                    let goes_on = before.as_ref().is_some_and(|b| {
                        b.reset_hint != ResetHint::Gauge && !now.is_reset_after(b)
                    });
                    h.reset_hint = if goes_on { ResetHint::No } else { ResetHint::Unknown };
                }
                before = (!h.is_stale()).then_some(now);
            }
        }
    }

    /// Adds custom-bucket histograms made of the classic ones.
    fn convert(&mut self, step_ms: i64, lines: &[SeriesLine]) {
        type Parts = (Vec<(f64, f64)>, Option<f64>, Option<f64>);
        let mut groups: BTreeMap<(Labels, i64), Parts> = BTreeMap::new();
        for line in lines {
            let name = line.labels.metric_name().unwrap_or("");
            let suffix = ["_bucket", "_count", "_sum"].into_iter().find(|s| name.ends_with(s));
            let Some(suffix) = suffix else { continue };
            let mut base = line.labels.to_builder();
            base.set(Labels::NAME, name.strip_suffix(suffix).unwrap()).remove("le");
            let base = base.build();
            let le = line.labels.get("le").and_then(|le| le.parse::<f64>().ok());
            for (i, item) in line.items.iter().enumerate() {
                let Item::Float(v) = item else { continue };
                let t = step_ms * i64::try_from(i).unwrap();
                let parts = groups.entry((base.clone(), t)).or_default();
                match suffix {
                    "_count" => parts.1 = Some(*v),
                    "_sum" => parts.2 = Some(*v),
                    _ => parts.0.extend(le.filter(|le| !le.is_nan()).map(|le| (le, *v))),
                }
            }
        }
        for ((labels, t), (mut buckets, count, sum)) in groups {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let highest = buckets.last().map_or(0.0, |b| b.1);
            let count = count.unwrap_or(highest);
            if buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
                buckets.push((f64::INFINITY, count));
            }
            let mut before = 0.0;
            let counts: Vec<f64> = buckets
                .iter()
                .map(|(_, c)| {
                    let own = c - before;
                    before = *c;
                    own
                })
                .collect();
            let bounds = buckets.iter().map(|b| b.0).filter(|b| b.is_finite()).collect();
            let histogram = Histogram {
                schema: Histogram::CUSTOM_BUCKETS,
                reset_hint: ResetHint::Unknown,
                zero_threshold: 0.0,
                sum: sum.unwrap_or(0.0),
                positive_spans: vec![Span {
                    offset: 0,
                    length: u32::try_from(counts.len()).unwrap(),
                }],
                negative_spans: vec![],
                custom_values: bounds,
                counts: BucketCounts::Float {
                    count,
                    zero_count: 0.0,
                    positive: counts,
                    negative: vec![],
                },
            };
            self.series.entry(labels).or_default().insert(t, Sample::Histogram(histogram));
        }
    }
}

#[async_trait]
impl SeriesSource for Memory {
    async fn select(&self, req: &Select) -> Result<Box<dyn SeriesSet>, SourceError> {
        let mut out = Vec::new();
        for (labels, samples) in &self.series {
            if req.range.is_empty() || !Matcher::all(&req.matchers, labels) {
                continue;
            }
            let mut series = Series::new(labels.clone());
            for (t, sample) in samples.range(req.range.start..req.range.end) {
                match sample {
                    Sample::Float(v) => {
                        series.timestamps.push(*t);
                        series.values.push(*v);
                    }
                    Sample::Histogram(h) => series.histograms.push((*t, h.clone())),
                }
            }
            if !series.is_empty() {
                let starts = self.starts.get(labels).cloned().unwrap_or_default();
                out.push((series, starts));
            }
        }
        // Sources promise no order.
        out.reverse();
        Ok(Box::new(Found(out)))
    }
}

impl SeriesSet for Found {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.0[i].0.labels.clone()
    }

    fn n_samples(&self, i: usize) -> usize {
        self.0[i].0.n_samples()
    }

    fn size_bytes(&self) -> usize {
        self.0.iter().map(|(s, _)| s.size_bytes()).sum()
    }

    fn read(&self, i: usize, out: &mut Samples) -> Result<(), SourceError> {
        let (series, starts) = &self.0[i];
        out.clear();
        out.times.extend_from_slice(&series.timestamps);
        out.values.extend_from_slice(&series.values);
        for (t, h) in &series.histograms {
            out.histogram_times.push(*t);
            out.histograms.push(std::sync::Arc::new(FloatHistogram::from(h)));
        }
        if !starts.is_empty() {
            let start = |t: &i64| starts.get(t).copied().unwrap_or(0);
            out.starts.extend(out.times.iter().map(start));
            out.histogram_starts.extend(out.histogram_times.iter().map(start));
        }
        Ok(())
    }
}
