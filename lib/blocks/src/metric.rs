//! Metric blocks: one row per series, its labels in columns, its samples as encoded chunks.
//!
//! ```text
//! l___name__  l_<hot label>*  l_rest?  series_id  min_time  max_time  n_samples  exemplars?  histograms?  floats
//! ```
//!
//! Rows are sorted by name, cluster, namespace, job, container, pod, le, then by the whole label
//! set, so that a query by name touches neighbouring pages. `docs/formats/metric-block.md`.

mod bases;
mod grids;
mod index;
mod page;
mod predict;
mod read;
mod rows;
mod set;
mod times;
mod write;

use bytes::Bytes;
use skald_model::{Exemplar, Labels};

pub(crate) use self::grids::{Grids, lies_at as grids_at};
pub(crate) use self::index::Column;
pub(crate) use self::page::Page;
pub use self::read::{LabelWant, MetricReader};
pub use self::rows::MetricRows;
pub use self::set::MetricSet;
pub use self::write::MetricBlockWriter;

/// One series with its samples still encoded (`skald_codec::chunk`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesRow {
    pub labels: Labels,
    /// Float chunks, in time order when possible.
    pub floats: Vec<Bytes>,
    /// Histogram chunks.
    pub histograms: Vec<Bytes>,
    pub exemplars: Vec<Exemplar>,
}
