use bytes::Bytes;
use proptest::prelude::*;
use skald_codec::batch::LogsBuilder;
use skald_limits::Limits;
use skald_model::{StreamEntries, TenantId, TimeRange};
use skald_rpc::ingester::SelectEntries;

use super::*;
use crate::apply::{Mode, Rules, plan_logs, store_logs};
use crate::parsed::{LogsBatch, Parsed};

fn batch(entries: &[(i64, String)]) -> LogsBatch {
    let labels = Labels::from_pairs([("app", "x")]);
    let mut b = LogsBuilder::new(0);
    b.stream(labels.id(), Some(&labels));
    for (t, line) in entries {
        let metadata = if *t % 3 == 0 { Labels::empty() } else { Labels::from_pairs([("k", "v")]) };
        b.entry(*t, line.as_bytes(), &metadata);
    }
    match Parsed::parse(&b.finish()).unwrap() {
        Parsed::Logs(batch) => batch,
        Parsed::Metrics(_) => panic!("a logs batch"),
    }
}

fn push(head: &mut LogsHead, entries: &[(i64, String)]) {
    let tenant = TenantId::single();
    let limits = Limits::default();
    let rules = Rules { tenant: &tenant, limits: &limits, mode: Mode::Replay };
    let batch = batch(entries);
    let planned = plan_logs(head, &batch, &rules);
    assert_eq!(planned.outcome.entries, entries.len() as u64);
    store_logs(head, &batch, &Kept::in_memory(batch.bytes.clone()));
}

fn pick(head: &LogsHead, range: TimeRange) -> Selection {
    let (refs, mut selection) = head.begin(&[]);
    head.pick(&refs, range, &mut selection);
    selection
}

fn all() -> SelectEntries {
    SelectEntries {
        matchers: vec![],
        range: TimeRange::ALL,
        needles: vec![],
        limit: 0,
        backward: false,
    }
}

fn lines(streams: &[StreamEntries]) -> Vec<(i64, String)> {
    let entries = streams.iter().flat_map(|s| &s.entries);
    entries.map(|e| (e.timestamp_ns, e.text().to_owned())).collect()
}

fn line(t: i64, text: &str) -> (i64, String) {
    (t, text.to_owned())
}

#[test]
fn a_retried_batch_counts_once() {
    let mut head = LogsHead::default();
    let entries = [line(2, "b"), line(1, "a"), line(2, "c"), line(2, "b")];
    push(&mut head, &entries);
    push(&mut head, &entries);
    let snapshot = head.cut(Ageing::Counts).unwrap();
    push(&mut head, &entries);
    push(&mut head, &[line(9, "new")]);
    let picked = pick(&head, TimeRange::ALL);
    let want = [line(1, "a"), line(2, "b"), line(2, "c"), line(9, "new")];
    assert_eq!(lines(&picked.entries(&all()).unwrap()), want);
    let stats = picked.stats(TimeRange::ALL).unwrap();
    assert_eq!((stats.entries, stats.bytes), (4, 6));
    let runs: Vec<_> = snapshot.data[0].runs().collect();
    assert_eq!(runs.len(), 2);
    assert_eq!(entries_of(runs[1], &snapshot.batches).unwrap().len(), 4);
}

#[test]
fn long_runs_of_one_time_keep_their_order() {
    let mut head = LogsHead::default();
    let entries: Vec<_> = (0..3000).map(|i| line(7, &format!("{}", i % 1000))).collect();
    push(&mut head, &entries);
    let got = lines(&pick(&head, TimeRange::ALL).entries(&all()).unwrap());
    assert_eq!(got, entries[..1000]);
}

#[test]
fn many_batches_are_all_found() {
    let mut head = LogsHead::default();
    for i in 0..600 {
        push(&mut head, &[line(i, &format!("line {i}"))]);
    }
    let got = lines(&pick(&head, TimeRange::ALL).entries(&all()).unwrap());
    assert_eq!(got.len(), 600);
    assert_eq!(got[599], line(599, "line 599"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn agrees_with_sorting(
        entries in prop::collection::vec((0i64..60, "[ab]{1,2}"), 1..80),
        repeat in 1usize..40,
        limit in 0usize..20,
        backward in any::<bool>(),
        start in 0i64..60,
    ) {
        // Enough of them to fill parts.
        let entries: Vec<(i64, String)> =
            (0..repeat).flat_map(|i| entries.iter().map(move |(t, l)| (t + i as i64, l.clone()))).collect();
        let mut head = LogsHead::default();
        let (old, new) = entries.split_at(entries.len() / 2);
        push(&mut head, old);
        if repeat % 2 == 0 {
            head.cut(Ageing::Counts);
        }
        push(&mut head, new);
        let request = SelectEntries {
            range: TimeRange::new(start, start + 40),
            needles: vec![Bytes::from_static(b"a")],
            limit,
            backward,
            ..all()
        };
        let got = lines(&pick(&head, request.range).entries(&request).unwrap());
        let mut want: Vec<(i64, String)> = entries
            .into_iter()
            .filter(|(t, l)| request.range.contains(*t) && l.contains('a'))
            .collect();
        want.sort_by_key(|(t, _)| *t);
        let mut seen = std::collections::HashSet::new();
        want.retain(|e| seen.insert(e.clone()));
        if limit > 0 && want.len() > limit {
            if backward {
                let oldest = want[want.len() - limit].0;
                want.retain(|(t, _)| *t >= oldest);
            } else {
                let newest = want[limit - 1].0;
                want.retain(|(t, _)| *t <= newest);
            }
        }
        prop_assert_eq!(got, want);
    }
}
