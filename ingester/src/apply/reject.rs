//! Refusals: stable ids, and messages that name what, number, limit and setting.

use skald_model::{ErrorKind, Labels};
use skald_rpc::ingester::{PushOutcome, Rejection};

use super::{Rules, shown};
use crate::head::metrics::Conflict;

/// Adds a refusal; the message is made for the first of its reason only.
pub(super) fn reject(
    outcome: &mut PushOutcome,
    id: &str,
    kind: ErrorKind,
    count: u64,
    message: impl FnOnce() -> String,
) {
    match outcome.rejections.iter_mut().find(|r| r.id == id) {
        Some(known) => known.count += count,
        None => outcome.rejections.push(Rejection {
            id: id.to_owned(),
            kind,
            count,
            message: message(),
        }),
    }
}

/// One refused sample.
pub(super) struct Sample<'a> {
    pub(super) labels: &'a dyn Fn() -> Labels,
    pub(super) timestamp_ms: i64,
    /// `None` for a histogram.
    pub(super) value: Option<f64>,
}

/// Adds a sample that conflicts with what is stored.
pub(super) fn reject_sample(
    outcome: &mut PushOutcome,
    rules: &Rules<'_>,
    conflict: Conflict,
    sample: &Sample<'_>,
) {
    let value = |v: Option<f64>| v.map_or("a histogram".to_owned(), |v| format!("value {v}"));
    let of = || {
        let labels = shown(&(sample.labels)());
        let (ts, v) = (sample.timestamp_ms, value(sample.value));
        format!("sample of series {labels} at {ts} ms with {v}")
    };
    let window = rules.limits.out_of_order_time_window;
    let setting = "out_of_order_time_window";
    let (id, message): (&str, &dyn Fn() -> String) = match conflict {
        Conflict::DuplicateTimestamp { stored } => {
            ("err-skald-sample-duplicate-timestamp", &move || {
                format!("{}: {} is stored for that time already", of(), value(stored))
            })
        }
        Conflict::OutOfOrder { newest } => ("err-skald-sample-out-of-order", &move || {
            format!(
                "{}: the newest sample of the series is at {newest} ms and out-of-order samples \
                 are not taken; to take them set limits.{setting} (now {window})",
                of()
            )
        }),
        Conflict::TooOld { newest } => ("err-skald-sample-timestamp-too-old", &move || {
            format!(
                "{}: the newest sample of the series is at {newest} ms, which is later by more \
                 than limits.{setting} ({window})",
                of()
            )
        }),
    };
    reject(outcome, id, ErrorKind::Invalid, 1, message);
}
