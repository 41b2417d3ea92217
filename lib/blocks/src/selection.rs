//! Which rows of a block are wanted: sorted, disjoint ranges of row numbers.

use std::ops::Range;

use parquet::arrow::arrow_reader::{RowGroupSelection, RowSelection};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

/// Row numbers count through all row groups of the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows(Vec<Range<usize>>);

// === impl Rows ===

impl Rows {
    pub(crate) fn all(n: usize) -> Self {
        let mut rows = Self::default();
        rows.push(0..n);
        rows
    }

    /// Appends a range that starts at or after the end of the last; neighbours are joined.
    pub(crate) fn push(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => self.0.push(range),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Range::len).sum()
    }

    pub(crate) fn ranges(&self) -> Vec<Range<usize>> {
        self.0.clone()
    }

    /// The row numbers in order.
    pub(crate) fn into_numbers(self) -> impl Iterator<Item = usize> + Send {
        self.0.into_iter().flatten()
    }

    pub(crate) fn intersect(&self, other: &Self) -> Self {
        let mut out = Self::default();
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            out.push(x.start.max(y.start)..x.end.min(y.end));
            if x.end <= y.end {
                a.next()
            } else {
                b.next()
            };
        }
        out
    }

    /// Those of `parts`, sorted and disjoint ranges of rows, that have any of these rows.
    pub(crate) fn overlapping<'a, T>(
        &'a self,
        parts: &'a [T],
        rows_of: impl Fn(&T) -> Range<usize> + 'a,
    ) -> impl Iterator<Item = &'a T> {
        let mut rest = self.0.as_slice();
        parts.iter().filter(move |part| {
            let part = rows_of(part);
            rest = &rest[rest.partition_point(|r| r.end <= part.start)..];
            rest.first().is_some_and(|r| r.start < part.end)
        })
    }

    /// The same rows as the Parquet reader wants them: per row group, groups without any left out.
    pub(crate) fn by_row_group(&self, meta: &ParquetMetaData) -> Vec<RowGroupSelection> {
        let mut out = Vec::new();
        for (i, group) in row_groups(meta).enumerate() {
            let inside = self.intersect(&Self(vec![group.clone()]));
            if inside.is_empty() {
                continue;
            }
            let local = inside.0.iter().map(|r| r.start - group.start..r.end - group.start);
            let selection = RowSelection::from_consecutive_ranges(local, group.len());
            out.push(RowGroupSelection::new(i, Some(selection)));
        }
        out
    }
}

impl FromIterator<Range<usize>> for Rows {
    fn from_iter<T: IntoIterator<Item = Range<usize>>>(ranges: T) -> Self {
        let mut rows = Self::default();
        ranges.into_iter().for_each(|r| rows.push(r));
        rows
    }
}

/// How many row groups have any of `rows`.
pub(crate) fn groups_with(meta: &ParquetMetaData, rows: &Rows) -> usize {
    rows.by_row_group(meta).len()
}

/// The row numbers of each row group.
pub(crate) fn row_groups(meta: &ParquetMetaData) -> impl Iterator<Item = Range<usize>> {
    meta.row_groups().iter().scan(0usize, |start, group| {
        let n = usize::try_from(group.num_rows()).unwrap_or(0);
        let range = *start..start.saturating_add(n);
        *start = range.end;
        Some(range)
    })
}

/// The row numbers of each page of a leaf column; a row group without page index is one page.
pub(crate) fn pages(meta: &ParquetMetaData, leaf: usize) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    for (i, group) in row_groups(meta).enumerate() {
        match starts(meta, i, leaf, &group) {
            Some(starts) => {
                let ends = starts.iter().skip(1).copied().chain([group.end]);
                out.extend(starts.iter().zip(ends).map(|(a, b)| *a..b));
            }
            None => out.push(group),
        }
    }
    out
}

/// First rows of the pages, when they are sane.
fn starts(
    meta: &ParquetMetaData,
    group_idx: usize,
    leaf: usize,
    group: &Range<usize>,
) -> Option<Vec<usize>> {
    let index = meta.page_index()?.offset_index(group_idx, leaf)?;
    let starts: Vec<usize> = index
        .page_locations()
        .iter()
        .map(|p| usize::try_from(p.first_row_index).ok()?.checked_add(group.start))
        .collect::<Option<_>>()?;
    let sane = starts.first() == Some(&group.start)
        && starts.is_sorted()
        && starts.last().is_some_and(|last| *last < group.end);
    sane.then_some(starts)
}

/// The rows of those pages of a string column that may hold one of `values`, by page statistics.
pub(crate) fn pages_with(meta: &ParquetMetaData, leaf: usize, values: &[&str]) -> Rows {
    let may_hold =
        |min: &[u8], max: &[u8]| values.iter().any(|v| min <= v.as_bytes() && v.as_bytes() <= max);
    let mut out = Rows::default();
    for (i, group) in row_groups(meta).enumerate() {
        let index = meta.page_index().and_then(|p| p.column_index(i, leaf));
        let (Some(ColumnIndexMetaData::BYTE_ARRAY(index)), Some(starts)) =
            (index, starts(meta, i, leaf, &group))
        else {
            out.push(group);
            continue;
        };
        let ends = starts.iter().skip(1).copied().chain([group.end]);
        for (page, (start, end)) in starts.iter().zip(ends).enumerate() {
            let keep = match (index.min_value(page), index.max_value(page)) {
                (Some(min), Some(max)) => may_hold(min, max),
                // Only nulls: the label is missing.
                _ => !index.is_null_page(page) || values.contains(&""),
            };
            // A page with some nulls has rows without the label.
            if keep || (values.contains(&"") && index.null_count(page) != Some(0)) {
                out.push(*start..end);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_intersect() {
        let rows: Rows = [0..3, 3..5, 7..7, 9..12].into_iter().collect();
        assert_eq!(rows.ranges(), &[0..5, 9..12]);
        let other: Rows = [2..10, 11..20].into_iter().collect();
        assert_eq!(rows.intersect(&other).ranges(), &[2..5, 9..10, 11..12]);
        assert_eq!(rows.len(), 8);
        assert!(rows.intersect(&Rows::default()).is_empty());
    }
}
