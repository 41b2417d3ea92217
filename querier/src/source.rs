//! The engines' view of the fan-out: series for PromQL, entries for LogQL.

mod entries;
pub(crate) mod found;
mod reading;
mod series;
mod shown;

pub(crate) use self::entries::LogSource;
pub(crate) use self::series::MetricSource;
pub(crate) use self::shown::shown;
