//! What a push stores, answers and refuses.

use skald_codec::batch::{LogsBuilder, MetricsBuilder, with_labels};
use skald_model::{
    BucketCounts, ErrorKind, Exemplar, Histogram, Labels, MatchOp, Matcher, MetricMetadata,
    ResetHint, Signal, TenantId, TimeRange,
};
use skald_rpc::IngesterApi;
use skald_rpc::ingester::SelectEntries;
use skald_runtime::HumanDuration;
use tokio_stream::StreamExt;

use crate::support::*;

#[tokio::test]
async fn what_is_pushed_is_found() {
    let node = Machine::new().start().await;
    let outcome = node.push(samples(0..3, 1000, Send::Labels)).await.unwrap();
    assert_eq!((outcome.samples, outcome.rejections.len()), (3, 0));
    node.push(samples(0..3, 2000, Send::Ids)).await.unwrap();
    assert_eq!(node.floats_once().await, floats(0..3, &[1000, 2000]));

    let tenant = TenantId::single();
    let matcher = [Matcher::new(MatchOp::Regex, "instance", "i[12]").unwrap()];
    let range = TimeRange::new(1500, 2001);
    let found = node.ingester.select_series(&tenant, &matcher, range).await.unwrap().data;
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|s| s.timestamps == [2000]));
    let signal = Signal::Metrics;
    let sets = node.ingester.labels(&tenant, signal, &matcher, range).await.unwrap().data;
    assert_eq!(sets, [labels(1), labels(2)]);
    let late = TimeRange::new(2001, 9000);
    assert!(node.ingester.labels(&tenant, signal, &[], late).await.unwrap().data.is_empty());
}

#[tokio::test]
async fn series_sent_without_labels_are_asked_for() {
    let node = Machine::new().start().await;
    node.push(samples(0..2, 1, Send::Labels)).await.unwrap();
    let batch = samples(0..4, 2, Send::Ids);
    let outcome = node.push(batch.clone()).await.unwrap();
    assert_eq!((outcome.samples, &outcome.unknown_series[..]), (2, &[2, 3][..]));
    let of = |id| (0..4).map(labels).find(|l| l.id() == id);
    let again = with_labels(&batch, &outcome.unknown_series, of).unwrap();
    assert_eq!(node.push(again.into()).await.unwrap().samples, 2);
    let outcome = node.push(lines(0..2, 1, Send::Ids)).await.unwrap();
    assert_eq!((outcome.entries, &outcome.unknown_series[..]), (0, &[0, 1][..]));
    assert_eq!(node.floats_once().await.len(), 6);
}

#[tokio::test]
async fn a_retry_changes_nothing() {
    let node = Machine::new().start().await;
    for _ in 0..2 {
        assert_eq!(node.push(samples(0..5, 1, Send::Labels)).await.unwrap().samples, 5);
        assert_eq!(node.push(lines(0..5, 1, Send::Labels)).await.unwrap().entries, 5);
    }
    assert_eq!(node.floats_once().await, floats(0..5, &[1]));
    assert_eq!(node.lines().await.len(), 5);
    node.ingester.flush(0).await.unwrap();
    // The newest sample is known after a flush, too.
    assert_eq!(node.push(samples(0..5, 1, Send::Labels)).await.unwrap().samples, 5);
    assert_eq!(node.floats_once().await, floats(0..5, &[1]));
    let conflict = node.push(one(0, 1, 5.0)).await.unwrap();
    assert_eq!(conflict.rejections[0].id, "err-skald-sample-duplicate-timestamp");
}

#[tokio::test]
async fn a_push_of_many_samples_can_be_repeated_behind_a_flush_and_a_crash() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    let series = labels(0);
    let batch = |times: std::ops::Range<i64>| {
        let all: Vec<(i64, f64)> = times.map(|t| (t, value(0, t))).collect();
        let mut b = MetricsBuilder::new(0);
        b.series(series.id(), Some(&series), &all, &[], &[]);
        b.finish()
    };
    node.push(batch(0..5)).await.unwrap();
    node.ingester.flush(0).await.unwrap();
    node.push(batch(5..10)).await.unwrap();
    assert_eq!(node.push(batch(0..10)).await.unwrap().samples, 10);
    machine.kill(node);
    let node = machine.start().await;
    let again = node.push(batch(0..10)).await.unwrap();
    assert_eq!((again.samples, again.rejections.len()), (10, 0));
    assert_eq!(node.floats().await, floats(0..1, &(0..10).collect::<Vec<_>>()));
}

#[tokio::test]
async fn late_samples_are_taken_within_the_window() {
    let mut machine = Machine::new();
    machine.limits.out_of_order_time_window = HumanDuration::from_secs(1);
    let node = machine.start().await;
    node.push(one(0, 10_000, 1.0)).await.unwrap();
    assert_eq!(node.push(one(0, 9_000, 1.0)).await.unwrap().samples, 1);
    let outcome = node.push(one(0, 8_999, 1.0)).await.unwrap();
    let refusal = &outcome.rejections[0];
    assert_eq!((outcome.samples, refusal.count, refusal.kind), (0, 1, ErrorKind::Invalid));
    assert_eq!(refusal.id, "err-skald-sample-timestamp-too-old");
    for part in ["8999", "10000", "out_of_order_time_window", "1s", "i0"] {
        assert!(refusal.message.contains(part), "{part} in {}", refusal.message);
    }
    assert_eq!(node.floats_once().await.len(), 2);

    machine.limits.out_of_order_time_window = HumanDuration::default();
    machine.kill(node);
    let node = machine.start().await;
    // What was accepted is replayed under any window.
    assert_eq!(node.floats_once().await.len(), 2);
    node.push(one(0, 12_000, 1.0)).await.unwrap();
    let outcome = node.push(one(0, 11_000, 1.0)).await.unwrap();
    assert_eq!(outcome.rejections[0].id, "err-skald-sample-out-of-order");
}

#[tokio::test]
async fn refused_samples_do_not_come_back_by_replay() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    let mut b = MetricsBuilder::new(0);
    let (a, c) = (labels(0), labels(1));
    b.series(a.id(), Some(&a), &[(10, 1.0), (10, 2.0), (5, 3.0), (20, 4.0)], &[], &[]);
    b.series(c.id(), None, &[(10, 1.0)], &[], &[]);
    let outcome = node.push(b.finish()).await.unwrap();
    assert_eq!((outcome.samples, outcome.unknown_series.len()), (2, 1));
    assert_eq!(outcome.rejections.iter().map(|r| r.count).sum::<u64>(), 2);
    let before = node.floats_once().await;
    assert_eq!(before.keys().map(|(_, t)| *t).collect::<Vec<_>>(), [10, 20]);
    machine.kill(node);
    assert_eq!(machine.start().await.floats_once().await, before);
}

#[tokio::test]
async fn a_bad_batch_changes_nothing() {
    let node = Machine::new().start().await;
    let good = samples(0..3, 1, Send::Labels);
    for n in 0..good.len() {
        let e = node.push(good.slice(..n)).await.unwrap_err();
        assert_eq!(e.kind, ErrorKind::Invalid, "{n}");
    }
    let mut b = MetricsBuilder::new(0);
    b.series(labels(0).id(), Some(&labels(0)), &[(1, 1.0)], &[], &[]);
    b.series(labels(1).id(), Some(&labels(2)), &[(1, 1.0)], &[], &[]);
    let e = node.push(b.finish()).await.unwrap_err();
    assert!(e.message.starts_with("err-skald-invalid-batch"), "{}", e.message);
    assert!(node.head().await.is_empty());
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let node = Machine::new().start().await;
    let [a, b] = ["a", "b"].map(|t| TenantId::parse(t).unwrap());
    node.push_as(&a, samples(0..2, 1, Send::Labels)).await.unwrap();
    node.push_as(&a, lines(0..2, 1, Send::Labels)).await.unwrap();
    // The ids are known to one tenant only.
    let outcome = node.push_as(&b, samples(0..2, 1, Send::Ids)).await.unwrap();
    assert_eq!(outcome.unknown_series.len(), 2);
    let i = &node.ingester;
    assert!(i.select_series(&b, &[], TimeRange::ALL).await.unwrap().data.is_empty());
    assert!(i.select_entries(&b, &everything()).await.unwrap().data.is_empty());
    assert!(i.labels(&b, Signal::Logs, &[], TimeRange::ALL).await.unwrap().data.is_empty());
    assert_eq!(i.select_series(&a, &[], TimeRange::ALL).await.unwrap().data.len(), 2);
}

#[tokio::test]
async fn lines_are_selected_by_needle_range_and_limit() {
    let node = Machine::new().start().await;
    for t in 0..50 {
        node.push(lines(0..2, t, Send::Labels)).await.unwrap();
    }
    let tenant = TenantId::single();
    let request = SelectEntries {
        matchers: vec![Matcher::equal("instance", "i1")],
        range: TimeRange::new(10, 40),
        needles: vec!["at 3".into()],
        limit: 3,
        backward: true,
    };
    let found = node.ingester.select_entries(&tenant, &request).await.unwrap().data;
    assert_eq!(found.len(), 1);
    let times: Vec<i64> = found[0].entries.iter().map(|e| e.timestamp_ns).collect();
    assert_eq!(times, [37, 38, 39]);
    assert_eq!(found[0].entries[0].metadata.get("trace"), Some("abc"));
    let range = TimeRange::new(0, 10);
    let stats = node.ingester.stats(&tenant, &[], range).await.unwrap().data;
    assert_eq!((stats.streams, stats.entries, stats.bytes), (2, 20, 20 * 13));
}

#[tokio::test]
async fn tails_get_new_lines_and_slow_ones_lose_some() {
    let mut machine = Machine::new();
    machine.config.tail_buffer = 2;
    let node = machine.start().await;
    let tenant = TenantId::single();
    let matchers = [Matcher::equal("instance", "i1")];
    let mut tail = node.ingester.tail(&tenant, &matchers).await.unwrap();
    for t in 0..5 {
        node.push(lines(0..3, t, Send::Labels)).await.unwrap();
    }
    for t in 0..2 {
        let got = tail.next().await.unwrap();
        assert_eq!((got.len(), &got[0].labels), (1, &labels(1)));
        assert_eq!(got[0].entries[0].text(), line(1, t));
    }
    node.push(lines(0..3, 9, Send::Ids)).await.unwrap();
    assert_eq!(tail.next().await.unwrap()[0].entries[0].timestamp_ns, 9);
}

fn histogram(n: u64) -> Histogram {
    Histogram {
        schema: 2,
        reset_hint: ResetHint::No,
        zero_threshold: 0.1,
        sum: 1.5,
        positive_spans: vec![],
        negative_spans: vec![],
        custom_values: vec![],
        counts: BucketCounts::Integer {
            count: n,
            zero_count: n,
            positive: vec![],
            negative: vec![],
        },
    }
}

#[tokio::test]
async fn histograms_exemplars_and_metadata_survive_a_crash_and_a_flush() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    let series = labels(0);
    let exemplar =
        |t| Exemplar { labels: Labels::from_pairs([("trace", "x")]), timestamp_ms: t, value: 1.0 };
    let mut b = MetricsBuilder::new(0);
    let histograms: Vec<_> = (0..40).map(|t| (t, histogram(7))).collect();
    b.series(series.id(), Some(&series), &[], &histograms, &[exemplar(1), exemplar(2)]);
    let metadata =
        MetricMetadata { name: "m".into(), kind: "counter".into(), ..Default::default() };
    b.metadata(&metadata);
    let outcome = node.push(b.finish()).await.unwrap();
    assert_eq!((outcome.histograms, outcome.exemplars), (40, 2));
    machine.kill(node);

    let node = machine.start().await;
    let tenant = TenantId::single();
    assert_eq!(node.ingester.metadata(&tenant).await.unwrap(), std::slice::from_ref(&metadata));
    for _ in 0..2 {
        assert_eq!(node.histograms().await, histograms);
        assert_eq!(node.exemplar_times().await, [1, 2]);
        node.ingester.flush(0).await.unwrap();
    }
    assert!(node.head().await.is_empty());
    let view = node.catalog.refresh(&tenant).await.unwrap();
    assert_eq!(view.metadata["m"].kind, "counter");
    assert_eq!(view.blocks.len(), 1);
}

#[tokio::test]
async fn a_failed_sync_fails_every_push_and_says_so() {
    let machine = &mut Machine::new();
    let node = machine.start().await;
    node.push(samples(0..1, 1, Send::Labels)).await.unwrap();
    machine.fs.fail_next(skald_wal::fs::mem::Op::Sync, std::io::ErrorKind::Other);
    let e = node.push(samples(0..1, 2, Send::Labels)).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Unavailable);
    node.ingester.failed().await;
    node.push(samples(0..1, 3, Send::Labels)).await.unwrap_err();
}

#[tokio::test]
async fn entries_of_one_time_are_all_kept() {
    let node = Machine::new().start().await;
    let stream = labels(0);
    let mut b = LogsBuilder::new(0);
    b.stream(stream.id(), Some(&stream));
    for i in [3, 1, 2, 1] {
        b.entry(7, format!("{i}").as_bytes(), &Labels::empty());
    }
    node.push(b.finish()).await.unwrap();
    let tenant = TenantId::single();
    let found = node.ingester.select_entries(&tenant, &everything()).await.unwrap().data;
    let text: Vec<&str> = found[0].entries.iter().map(|e| e.text()).collect();
    assert_eq!(text, ["3", "1", "2"]);
}
