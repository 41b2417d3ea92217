//! Lists of streams and series written a piece at a time: what is written is let go of, and one
//! stream may take many pieces.

use skald_model::Labels;

use crate::http::body::PIECE;
use crate::json::Json;

/// Labels and what belongs to them.
pub(super) struct Group<T> {
    pub(super) labels: Labels,
    pub(super) items: Vec<T>,
}

/// Groups that are not yet written.
pub(super) struct Groups<I, T, W> {
    head: Option<&'static str>,
    key: &'static str,
    left: I,
    open: Option<std::vec::IntoIter<T>>,
    first_group: bool,
    first_item: bool,
    write: W,
}

// === impl Groups ===

impl<I, T, W> Groups<I, T, W>
where
    I: Iterator<Item = Group<T>> + Send + 'static,
    T: Send + 'static,
    W: FnMut(&mut Json, &T) + Send + 'static,
{
    /// `head` opens the list, `key` is the name of a group's labels.
    pub(super) fn new(head: &'static str, key: &'static str, left: I, write: W) -> Self {
        let head = Some(head);
        Self { head, key, left, open: None, first_group: true, first_item: true, write }
    }

    pub(super) fn boxed(mut self) -> Box<dyn FnMut(&mut Json) -> bool + Send> {
        Box::new(move |json| self.next(json))
    }

    /// Writes about a piece; answers whether there is more.
    fn next(&mut self, json: &mut Json) -> bool {
        if let Some(head) = self.head.take() {
            json.raw(head);
        }
        loop {
            if let Some(items) = &mut self.open {
                for item in items {
                    (self.write)(json.sep(&mut self.first_item), &item);
                    if json.len() >= PIECE {
                        return true;
                    }
                }
                json.raw("]}");
                self.open = None;
            }
            let Some(group) = self.left.next() else {
                json.raw("]");
                return false;
            };
            json.sep(&mut self.first_group).raw("{").key(self.key).labels(&group.labels);
            json.raw(r#","values":["#);
            self.first_item = true;
            self.open = Some(group.items.into_iter());
        }
    }
}

/// A plain list after `head`.
pub(super) fn list<T: Send + 'static>(
    head: &'static str,
    items: Vec<T>,
    mut write: impl FnMut(&mut Json, &T) + Send + 'static,
) -> Box<dyn FnMut(&mut Json) -> bool + Send> {
    let (mut head, mut items, mut first) = (Some(head), items.into_iter(), true);
    Box::new(move |json| {
        if let Some(head) = head.take() {
            json.raw(head);
        }
        while json.len() < PIECE {
            let Some(item) = items.next() else {
                json.raw("]");
                return false;
            };
            write(json.sep(&mut first), &item);
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_stream_takes_many_pieces_of_a_bounded_size() {
        let group = |n: u64| Group {
            labels: Labels::from_pairs([("n", n.to_string().as_str())]),
            items: (1..=n).collect::<Vec<u64>>(),
        };
        let write = |json: &mut Json, n: &u64| {
            json.uint(*n).raw("000000000");
        };
        let groups = [group(0), group(50_000), group(1)].into_iter();
        let mut next = Groups::new("[", "labels", groups, write).boxed();
        let (mut text, mut n_pieces) = (Vec::new(), 0);
        loop {
            let mut json = Json::default();
            let more = next(&mut json);
            assert!(json.len() < PIECE + 100, "{}", json.len());
            text.extend(json.into_vec());
            n_pieces += 1;
            if !more {
                break;
            }
        }
        assert!(n_pieces > 5, "{n_pieces}");
        let v: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let lens: Vec<_> =
            v.as_array().unwrap().iter().map(|g| g["values"].as_array().unwrap().len()).collect();
        assert_eq!(lens, [0, 50_000, 1]);
    }
}
