//! The log merger alone, fed in pieces as small as they come.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::testing::{Line, line};

/// Runs a merger over `inputs`, each cut into batches of `batch` entries; returns the outputs.
fn run(inputs: &[Vec<Line>], batch: usize, cutoff: Option<i64>, memory: usize) -> Vec<Vec<Line>> {
    let mut feeds: Vec<VecDeque<Vec<StreamEntries>>> = Vec::new();
    for lines in inputs {
        let mut sorted = lines.clone();
        sorted.sort();
        let batches = sorted.chunks(batch).map(|lines| {
            let mut pieces: Vec<StreamEntries> = Vec::new();
            for (labels, entry) in lines.iter().cloned() {
                match pieces.last_mut() {
                    Some(piece) if piece.labels == labels => piece.entries.push(entry),
                    _ => pieces.push(StreamEntries { labels, entries: vec![entry] }),
                }
            }
            pieces
        });
        feeds.push(batches.collect());
    }
    let mut merger = LogMerger::new(inputs.len(), cutoff, memory);
    let mut outputs = Vec::new();
    loop {
        let step = merger.advance().unwrap();
        if let Step::Feed(input) = step {
            let pieces = feeds[input].pop_front();
            let pieces = pieces.map(|p| p.into_iter().map(LogPiece::Entries).collect());
            merger.feed(input, pieces).unwrap();
            continue;
        }
        let lines_of = |piece: LogPiece| {
            let labels = piece.labels().clone();
            piece.entries().iter().map(|e| (labels.clone(), e.clone())).collect::<Vec<_>>()
        };
        outputs.push(merger.take_pieces().into_iter().flat_map(lines_of).collect());
        if step == Step::Done {
            return outputs;
        }
    }
}

#[test]
fn equal_times_keep_the_order_in_which_they_were_written() {
    let inputs = [vec![line(1, 5, "b", ""), line(1, 5, "a", "")], Vec::new()];
    // The feed sorts; what matters is that copies do not reorder.
    let copies = [inputs[0].clone(), inputs[0].clone()];
    let once: Vec<_> = run(&inputs, 10, None, usize::MAX).concat();
    assert_eq!(run(&copies, 10, None, usize::MAX).concat(), once);
}

#[test]
fn an_unsorted_input_is_named() {
    let mut merger = LogMerger::new(2, None, 1);
    let pieces = [line(2, 1, "x", ""), line(1, 1, "x", "")]
        .map(|(labels, entry)| StreamEntries { labels, entries: vec![entry] })
        .map(LogPiece::Entries);
    assert_eq!(merger.feed(1, Some(pieces.to_vec())).unwrap_err().input, 1);
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let one = (0u64..3, 0i64..15, "[ab]", "[xy]?");
    let one = one.prop_map(|(stream, ns, text, metadata)| line(stream, ns, &text, &metadata));
    // A block has no two equal entries.
    prop::collection::btree_set(one, 0..30).prop_map(|set| set.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn each_line_comes_out_once_in_whatever_pieces_it_goes_in(
        inputs in prop::collection::vec(lines(), 1..5),
        batch in 1usize..8,
        memory in prop::sample::select(vec![0, 1, 200, 2_000, usize::MAX]),
        cutoff in prop::option::of(0i64..15),
    ) {
        let wanted: BTreeSet<Line> = inputs
            .iter()
            .flatten()
            .filter(|(_, e)| cutoff.is_none_or(|c| e.timestamp_ns >= c))
            .cloned()
            .collect();
        let mut got: Vec<Line> = Vec::new();
        for output in run(&inputs, batch, cutoff, memory) {
            // The writer drops copies within one output, so they may come here; across outputs none may.
            let set: BTreeSet<Line> = output.into_iter().collect();
            got.extend(set);
        }
        got.sort();
        prop_assert_eq!(got, wanted.into_iter().collect::<Vec<_>>());
    }
}
