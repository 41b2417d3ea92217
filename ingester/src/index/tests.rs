use proptest::prelude::*;
use skald_model::{Labels, MatchOp, Matcher};

use super::*;

fn add(index: &mut Index, labels: &Labels) -> Ref {
    index.insert(labels.id(), labels, 0).unwrap()
}

fn sample() -> (Index, Vec<Labels>) {
    let mut index = Index::default();
    let all: Vec<Labels> = (0..40)
        .map(|i| {
            Labels::from_pairs([
                ("__name__", if i % 2 == 0 { "a" } else { "b" }),
                ("pod", format!("p{i}").as_str()),
                ("zone", ["", "x", "y"][i % 3]),
            ])
        })
        .collect();
    for labels in &all {
        add(&mut index, labels);
    }
    (index, all)
}

#[test]
fn a_series_keeps_its_labels_and_id() {
    let (index, all) = sample();
    for (labels, r) in all.iter().zip(0..) {
        assert_eq!(index.find(labels.id()), Some(r));
        assert_eq!(&index.labels(r), labels);
    }
    assert_eq!(index.find(SeriesId(1)), None);
    assert_eq!(index.count("__name__", "a"), 20);
    assert_eq!(index.count("__name__", "c"), 0);
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop::sample::select(vec![
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ]);
    let name = prop::sample::select(vec!["__name__", "pod", "zone", "none"]);
    let value =
        prop::sample::select(vec!["a", "a|b", "", "x", "x|y|", "p1.*", ".+", ".*", "p3", "p3|p4"]);
    (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn selects_what_the_matchers_accept(
        matchers in prop::collection::vec(matcher(), 0..4),
        kept in prop::collection::vec(any::<bool>(), 40),
    ) {
        let (mut index, mut all) = sample();
        let check = |index: &Index, all: &[Labels]| {
            let got: Vec<Labels> = index.select(&matchers).into_iter().map(|r| index.labels(r)).collect();
            let want: Vec<Labels> =
                all.iter().filter(|l| Matcher::all(&matchers, l)).cloned().collect();
            assert_eq!(got, want);
        };
        check(&index, &all);
        let remap = index.retain(|r| kept[r as usize]);
        prop_assert_eq!(remap.iter().filter(|r| **r == GONE).count(), kept.iter().filter(|k| !**k).count());
        let mut at = 0;
        all.retain(|_| { at += 1; kept[at - 1] });
        check(&index, &all);
        for (labels, r) in all.iter().zip(0..) {
            prop_assert_eq!(index.find(labels.id()), Some(r));
        }
        let new = Labels::from_pairs([("__name__", "a"), ("pod", "new")]);
        let r = add(&mut index, &new);
        all.push(new);
        prop_assert_eq!(r as usize, all.len() - 1);
        check(&index, &all);
    }
}
