//! Log queries on a block, whose columns rule lines out, against the same queries on whole lines.

use std::ops::ControlFlow;

use bytes::Bytes;
use object_store::memory::InMemory;
use proptest::prelude::*;
use skald_blocks::{
    BlockId, FooterCache, LogBlockWriter, LogReader, LogSearch, Streams, WriterOptions, put_block,
};
use skald_logql::{Engine, EngineOptions, RangeParams};
use skald_model::{Labels, LogEntry, Matcher, TenantId};

use super::*;

const QUERIES: &[&str] = &[
    "| json | n >= 5",
    "| json | n >= 5 | k=`a`",
    "| json | n > 40, k!=`b`",
    "| json | n > 1 or n = 0",
    "| json | n > 1 or k = `b`",
    "| json | n > 1s",
    "| json | n > 1KB",
    "| json | n < 1e3 | k =~ `a|b.*` | k != `ab`",
    "| json | k=``",
    "| json | absent=`` | n != 7",
    "| json | absent > 1",
    "| json | n_extracted > 2",
    "| json | k=`a` | __error__=``",
    "| json | n > 100 | __error__!=``",
    "| json | k = ip(`10.0.0.0/8`)",
    "| json | n > 10 or k = ip(`10.0.0.0/8`)",
    "| json | o_n = 2 | n=1",
    "|= `\"k\"` | json | n >= 5 | n <= 70",
    "| app=`x` | json | n >= 5",
    "| json | n >= 5 | line_format `{{.k}}` | drop k",
    "| json | n =~ ``",
    "| json | n !~ ``",
    "| logfmt | n >= 5",
    "| logfmt | n > 50ms | k=`a`",
    "| logfmt --strict | n >= 5 | k!=``",
    "| logfmt --keep-empty | k=``",
    "| logfmt | n =~ `1.*` or n > 30",
];

/// Answers from a block, or from the entries that it was made of.
#[derive(Debug)]
struct Source {
    reader: Option<LogReader>,
    streams: Vec<StreamEntries>,
}

#[async_trait]
impl EntrySource for Source {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        let mut streams = self.streams.clone();
        streams.retain(|s| Matcher::all(&req.matchers, &s.labels));
        streams.iter_mut().for_each(|s| s.entries.retain(|e| req.range.contains(e.timestamp_ns)));
        Ok(streams)
    }

    async fn scan(&self, req: &SelectEntries, sink: Arc<dyn EntrySink>) -> Result<(), SourceError> {
        let Some(reader) = &self.reader else {
            let streams = self.select(req).await?;
            let _ = sink.take(streams);
            return Ok(());
        };
        let early = req.early.as_ref().map(|test| Early {
            fields: fields(&test.fields),
            test: Arc::new(First(test.clone())),
        });
        let search = LogSearch {
            matchers: req.matchers.clone(),
            range: req.range,
            needles: req.needles.clone(),
            wanted: LogSelect::default(),
            streams: Streams::All,
            early,
            useful: req.useful.clone(),
        };
        let each = move |streams| -> ControlFlow<()> { sink.take(streams) };
        reader.scan(&search, each).await.unwrap();
        Ok(())
    }
}

async fn answer(source: &Source, stages: &str) -> String {
    let params = RangeParams {
        query: format!("{{app=`x`}} {stages}"),
        start_ns: 0,
        end_ns: 1_000_000,
        step_ns: 1,
        interval_ns: 0,
        limit: 5_000,
        direction: Direction::Backward,
    };
    let result = Engine::new(EngineOptions::default()).query_range(source, &params).await;
    format!("{:?}", result.unwrap().value)
}

fn agree(streams: Vec<(Labels, Vec<LogEntry>)>) {
    let mut writer = LogBlockWriter::new(WriterOptions::new(BlockId::new(1, 42)));
    for (labels, entries) in &streams {
        writer.push(labels.clone(), entries.clone()).unwrap();
    }
    let block = writer.finish().unwrap();
    let streams =
        streams.into_iter().map(|(labels, entries)| StreamEntries { labels, entries }).collect();
    let whole = Source { reader: None, streams };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (store, tenant) = (Arc::new(InMemory::new()) as Arc<_>, TenantId::single());
        put_block(&store, &tenant, &block).await.unwrap();
        let cache = Arc::new(FooterCache::new(64 << 20));
        let reader = LogReader::open(store, &tenant, &block.meta, cache).await.unwrap();
        let packed = Source { reader: Some(reader), streams: Vec::new() };
        for stages in QUERIES {
            let (found, expected) = (answer(&packed, stages).await, answer(&whole, stages).await);
            assert_eq!(found, expected, "{stages}");
        }
    });
}

fn line() -> impl Strategy<Value = String> {
    let text = "[ab]{0,2}|10\\.1\\.2\\.3|a\\\\\"b|é";
    let number = "-?[0-9]{1,2}|[0-9]{1,3}\\.[0-9]{1,3}|null|true|\"7\"|\"x\"|\"2KB\"|1e2";
    prop_oneof![
        (number, text).prop_map(|(n, k)| format!("{{\"k\":\"{k}\",\"n\":{n},\"m\":\"text\"}}")),
        (number, text).prop_map(|(n, k)| format!("{{\"n\": {n}, \"k\": \"{k}\"}}")),
        (number, number).prop_map(|(a, b)| format!("{{\"n\":{a},\"n\":{b}}}")),
        (number, number).prop_map(|(a, b)| format!("{{\"n\":{a},\"o\":{{\"n\":{b}}}}}")),
        number.prop_map(|n| format!("{{\"k\":\"a\",\"n\":{n}")),
        text.prop_map(|k| format!("{{\"k\":\"{k}\"}}")),
        number.prop_map(|n| format!("{{\"n_extracted\":{n},\"k\":\"b\"}}")),
        ("[0-9]{0,3}|[0-9]{2}ms|1=2|\"a b\"", "[ab]{0,2}")
            .prop_map(|(n, k)| format!("k={k} n={n} text=\"some text\"")),
        "[a-c =\"{}:,0-9]{0,12}".prop_map(|s| s),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn columns_rule_out_what_whole_lines_do(
        lines in prop::collection::vec(line(), 1..12),
        label in prop::sample::select(&["pod", "n", "k", "n_extracted"][..]),
        metadata in prop::sample::select(&["", "n", "k", "n_extracted", "other"][..]),
    ) {
        // A template is made of lines that come several times.
        let streams = ["a", "b"].map(|value| {
            let labels = Labels::from_pairs([("app", "x"), (label, value)]);
            let entries = lines.iter().cycle().take(lines.len() * 12).zip(0..).map(|(line, i)| {
                let some = !metadata.is_empty() && i % 5 == 0;
                let metadata = if some { Labels::from_pairs([(metadata, "3")]) } else { Labels::empty() };
                LogEntry { timestamp_ns: i * 3_000, line: Bytes::copy_from_slice(line.as_bytes()), metadata }
            });
            (labels, entries.collect())
        });
        agree(streams.to_vec());
    }
}
