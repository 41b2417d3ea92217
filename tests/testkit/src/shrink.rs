//! Makes a query smaller while two servers still disagree about it.

/// How many times they must go on to disagree about a query before it is believed is `repeats`;
/// `differ` asks both, `smaller` makes smaller queries, `alike` says whether a difference is that one still.
/// None when they do not always disagree.
pub async fn shrink<D>(
    query: &str,
    repeats: usize,
    differ: impl AsyncFn(&str) -> Option<D>,
    smaller: impl Fn(&str) -> Vec<String>,
    alike: impl Fn(&D, &D) -> bool,
) -> Option<(String, D)> {
    let mut query = query.to_owned();
    let mut difference = differ(&query).await?;
    for _ in 0..repeats {
        differ(&query).await?;
    }
    'smaller: loop {
        for part in smaller(&query) {
            if let Some(d) = differ(&part).await.filter(|d| alike(d, &difference)) {
                (query, difference) = (part, d);
                continue 'smaller;
            }
        }
        return Some((query, difference));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn shorter(query: &str) -> Vec<String> {
        (0..query.len()).map(|i| format!("{}{}", &query[..i], &query[i + 1..])).collect()
    }

    #[tokio::test]
    async fn what_is_left_is_needed_and_differs_alike() {
        let differ = async |query: &str| query.contains('x').then(|| query.contains('y'));
        let (query, _) = shrink("axbyc", 3, differ, shorter, |a, b| a == b).await.unwrap();
        assert_eq!(query, "xy");
        let (query, _) = shrink("axbyc", 3, differ, shorter, |_, _| true).await.unwrap();
        assert_eq!(query, "x");
    }

    #[tokio::test]
    async fn what_does_not_always_differ_is_not_believed() {
        let asked = AtomicUsize::new(0);
        let differ = async |_: &str| (asked.fetch_add(1, Ordering::Relaxed) < 3).then_some(());
        assert!(shrink("abc", 3, differ, shorter, |(), ()| true).await.is_none());
        assert_eq!(asked.into_inner(), 4);
    }
}
