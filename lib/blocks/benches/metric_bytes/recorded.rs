//! Series of recorded scrapes of an exporter.

use std::collections::BTreeMap;

use skald_blocks::SeriesRow;
use skald_model::Labels;

use crate::generated::chunks;
use crate::{Made, Outcome};

#[derive(Default)]
struct Column {
    times: Vec<i64>,
    values: Vec<f64>,
}

/// The rows of scrapes in the text format, chunks of `len` samples.
pub(crate) fn rows(text: &str, len: usize) -> Outcome<Vec<Made>> {
    let mut columns: BTreeMap<&str, Column> = BTreeMap::new();
    let mut now = 0;
    for line in text.lines() {
        if let Some(time) = line.strip_prefix("# scrape ") {
            now = time.parse()?;
        } else if let Some((series, value)) = line.rsplit_once(' ') {
            let column = columns.entry(series).or_default();
            column.times.push(now);
            column.values.push(value.parse()?);
        }
    }
    let made = |(series, column): (&str, Column)| {
        let (name, rest) = series.split_once('{').unwrap_or((series, ""));
        let floats = chunks(&column.times, &column.values, len);
        // The labels as one: who the series is matters, not what its labels are.
        let labels = Labels::from_pairs([
            ("__name__", name),
            ("instance", "node-1:9100"),
            ("job", "node"),
            ("labels", rest),
        ]);
        let constant = column.values.windows(2).all(|w| w[0].to_bits() == w[1].to_bits());
        let shape = if constant { "constants" } else { "others" };
        Made { row: SeriesRow { labels, floats, ..SeriesRow::default() }, shape }
    };
    Ok(columns.into_iter().map(made).collect())
}
